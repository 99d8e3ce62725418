//! The keys that sign access tokens: made at the first start, rotated every 30 days, read again every minute.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Authenticator, Client, Loaded};
use crate::access::{IMPERSONATION_SECONDS, Jwks, KeyRing, MadeKey, SigningKey, VerifyingKey};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::db::chain::{Chain, Note};
use crate::db::scope::PlatformScope;
use crate::db::signing_key::{self, SigningKeyRow};

/// How long a key signs.
const ROTATE_AFTER: TimeDelta = TimeDelta::days(30);
/// How long a key that signs no more verifies: as long as the tokens that are good for longest, and twice what another
/// node goes on to sign with it before it reads the keys again.
const RETIRED_FOR: TimeDelta = TimeDelta::seconds(IMPERSONATION_SECONDS + 120);
/// How old what is known of the keys may be.
const READ_AGAIN_AFTER: TimeDelta = TimeDelta::seconds(60);
/// How often keys are read at most because somebody names one that is not known.
const UNKNOWN_EVERY: TimeDelta = TimeDelta::seconds(1);

impl Authenticator {
    /// The keys that others need to verify access tokens.
    ///
    /// # Errors
    /// [`AuthError::Store`], [`AuthError::Sealed`], [`AuthError::Keys`].
    pub async fn jwks(&self) -> Result<Jwks, AuthError> {
        Ok(self.ring().await?.jwks())
    }

    /// The next key signs from now on, and another one is made to follow it.
    ///
    /// # Errors
    /// As [`Authenticator::jwks`].
    pub async fn rotate_keys(&self) -> Result<(), AuthError> {
        let mut scope = self.platform(&Client::default(), Actor::System).await?;
        signing_key::take_turn(scope.connection()).await?;
        self.advance(&mut scope).await?;
        scope.commit().await?;
        self.ring.write().take();
        Ok(())
    }

    pub(super) async fn ring(&self) -> Result<Arc<KeyRing>, AuthError> {
        self.ring_no_older_than(READ_AGAIN_AFTER).await
    }

    /// The keys, with one that another node may have made a moment ago.
    pub(super) async fn ring_with(&self, kid: &str) -> Result<Arc<KeyRing>, AuthError> {
        let ring = self.ring().await?;
        if ring.find(kid).is_some() { Ok(ring) } else { self.ring_no_older_than(UNKNOWN_EVERY).await }
    }

    async fn ring_no_older_than(&self, age: TimeDelta) -> Result<Arc<KeyRing>, AuthError> {
        if let Some(ring) = self.loaded_ring(age) {
            return Ok(ring);
        }
        // Of many that find it too old, one reads it: the others take no connection.
        let _turn = self.reading.lock().await;
        if let Some(ring) = self.loaded_ring(age) {
            return Ok(ring);
        }
        let at = self.now();
        let ring = Arc::new(self.read_ring().await?);
        *self.ring.write() = Some(Loaded { ring: Arc::clone(&ring), at });
        Ok(ring)
    }

    fn loaded_ring(&self, age: TimeDelta) -> Option<Arc<KeyRing>> {
        let (now, loaded) = (self.now(), self.ring.read().clone()?);
        ((now - loaded.at).abs() < age).then_some(loaded.ring)
    }

    async fn read_ring(&self) -> Result<KeyRing, AuthError> {
        let mut scope = self.platform(&Client::default(), Actor::System).await?;
        let (life, now) = (RETIRED_FOR, scope.now());
        let mut rows = signing_key::in_use(scope.connection(), now, life).await?;
        if is_due(&rows, now) {
            // Of many nodes that find this at once, one acts: the others look again when it has.
            signing_key::take_turn(scope.connection()).await?;
            rows = signing_key::in_use(scope.connection(), now, life).await?;
            if is_due(&rows, now) {
                self.advance(&mut scope).await?;
                rows = signing_key::in_use(scope.connection(), now, life).await?;
            }
        }
        scope.commit().await?;
        self.ring_of(rows)
    }

    fn ring_of(&self, rows: Vec<SigningKeyRow>) -> Result<KeyRing, AuthError> {
        let current = rows.iter().find(|row| row.state == "current").ok_or(AuthError::Keys)?;
        let private = self.seal.open(&place(&current.kid), &current.sealed_private_key)?;
        let signs = SigningKey::new(current.kid.clone(), &private);
        let verify = rows.into_iter().map(|row| (row.kid, VerifyingKey::new(row.public_key))).collect();
        Ok(KeyRing { signs, verify })
    }

    /// What is next becomes current. Where there was nothing next, as at the first start, both are made.
    async fn advance(&self, scope: &mut PlatformScope) -> Result<(), AuthError> {
        let now = scope.now();
        signing_key::advance(scope.connection(), now).await?;
        let rows = signing_key::in_use(scope.connection(), now, TimeDelta::zero()).await?;
        for state in ["current", "next"] {
            if !rows.iter().any(|row| row.state == state) {
                let MadeKey { kid, public, private } = MadeKey::make()?;
                let row = SigningKeyRow {
                    sealed_private_key: self.seal.seal(&place(&kid), &private)?,
                    public_key: public,
                    state: state.to_owned(),
                    current_since: (state == "current").then_some(now),
                    kid,
                };
                signing_key::insert(scope.connection(), &row, now).await?;
                scope.note(Chain::OPERATORS, Note::new("signing_key.create", &row.kid));
            }
        }
        Ok(())
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.clock.now_micros()).unwrap_or_default()
    }
}

fn is_due(rows: &[SigningKeyRow], now: DateTime<Utc>) -> bool {
    let current = rows.iter().find(|row| row.state == "current");
    current.and_then(|row| row.current_since).is_none_or(|since| now - since >= ROTATE_AFTER)
}

/// Where a sealed key stands.
fn place(kid: &str) -> String {
    format!("signing_key {kid}")
}
