//! Signing in with a passkey: after the password, or with nothing else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use passkeys::{Assertion, NotTaken, RequestOptions, StoredKey, UserVerification};
use schemas::public_id::{PasskeyId, PersonId};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::again::WRONG_CODE;
use super::passkey::{challenge_of, descriptors};
use super::{Authenticator, Client, SignedIn};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::db::attempt::{self, Guarded};
use crate::db::chain::{Chain, Note};
use crate::db::one_time::{self, OneTime};
use crate::db::passkey::{self, PasskeyRow};
use crate::db::person;
use crate::db::scope::PlatformScope;

/// What the challenge of a sign-in without a password begins with.
const ALONE: &str = "wp_";
/// How long it is good for.
const LIFE: TimeDelta = TimeDelta::minutes(5);
/// Bytes of its random part, before the time at which it ends.
const RANDOM_BYTES: usize = 16;

/// What a browser needs to sign in with a passkey.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PasskeyLogin {
    /// To be presented with the signature, within five minutes.
    pub challenge: String,
    /// For `navigator.credentials.get`, by `parseRequestOptionsFromJSON`.
    pub options: RequestOptions,
}

/// What a signature shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Who it is.
    Good(PersonId),
    /// Nobody.
    Wrong,
    /// That passkey of that person has signed as often before: one of two may be a copy.
    Copied(PersonId, PasskeyId),
}

impl Authenticator {
    /// Begins a sign-in with nothing but a passkey. Nothing is stored until somebody has shown one: the challenge is
    /// sealed, and says itself until when it is good.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] where browsers have no passkeys.
    pub fn begin_passkey_login(&self) -> Result<PasskeyLogin, AuthError> {
        let party = self.relying_party()?;
        let until = (self.now() + LIFE).timestamp();
        let plain = [&self.random.bytes::<RANDOM_BYTES>()[..], &until.to_be_bytes()].concat();
        let challenge = format!("{ALONE}{}", URL_SAFE_NO_PAD.encode(self.seal.seal(ALONE, &plain)?));
        let options =
            party.request_options(&challenge_of(&challenge), Vec::new(), UserVerification::Required);
        Ok(PasskeyLogin { challenge, options })
    }

    /// Signs in with a passkey: as the second step where `challenge` is a password's, or with nothing else.
    ///
    /// # Errors
    /// [`AuthError::Refused`] with the same text whatever is wrong; [`AuthError::Wait`]; [`AuthError::Store`].
    pub async fn login_passkey(
        &self,
        challenge: &str,
        shown: &Assertion,
        client: &Client,
    ) -> Result<SignedIn, AuthError> {
        match challenge.strip_prefix(ALONE) {
            Some(sealed) => self.login_alone(challenge, sealed, shown, client).await,
            None => self.second_passkey(challenge, shown, client).await,
        }
    }

    async fn login_alone(
        &self,
        challenge: &str,
        sealed: &str,
        shown: &Assertion,
        client: &Client,
    ) -> Result<SignedIn, AuthError> {
        let refused = || AuthError::Refused(WRONG_CODE);
        let until = self.end_of(sealed).ok_or_else(refused)?;
        self.count_source(client).await?;
        let ring = self.ring().await?;
        let mut scope = self.platform(client, Actor::System).await?;
        let now = scope.now();
        if until <= now {
            return Err(refused());
        }
        let verification = UserVerification::Required;
        let verdict = self.judge_assertion(&mut scope, None, challenge, shown, verification).await?;
        let Verdict::Good(id) = verdict else {
            drop(scope);
            self.note_wrong(verdict, client).await?;
            return Err(refused());
        };
        person::hold(scope.connection(), id).await?.ok_or_else(refused)?;
        let hash = Sha256::digest(challenge.as_bytes()).into();
        if !one_time::insert_used(scope.connection(), OneTime::PasskeyLogin, &hash, id, now, until).await? {
            return Err(refused());
        }
        if let Some(source) = client.source() {
            attempt::take_back(scope.connection(), Guarded::Source(&source), now).await?;
        }
        let caller = scope.caller().acting_as(Actor::Person(id));
        scope.acting_as(caller);
        let known = self.knows_device(&mut scope, id, client).await?;
        self.open_session(scope, &ring, id, client, known).await
    }

    /// Until when the challenge is good. `None`: weir has made no such one.
    fn end_of(&self, sealed: &str) -> Option<DateTime<Utc>> {
        let plain = self.seal.open(ALONE, &URL_SAFE_NO_PAD.decode(sealed).ok()?).ok()?;
        let until = plain.get(RANDOM_BYTES..)?.try_into().ok()?;
        DateTime::from_timestamp(i64::from_be_bytes(until), 0)
    }

    /// In a transaction of its own: an attempt counts whatever becomes of it.
    async fn count_source(&self, client: &Client) -> Result<(), AuthError> {
        let Some(source) = client.source() else { return Ok(()) };
        let mut scope = self.platform(client, Actor::System).await?;
        let now = scope.now();
        let counted = attempt::count(scope.connection(), Guarded::Source(&source), now).await?;
        scope.commit().await?;
        counted.map_err(|seconds| AuthError::Wait { seconds })
    }

    /// For the second step of a sign-in: what a browser needs. `None`: the person has no passkey.
    pub(super) async fn passkey_options(
        &self,
        scope: &mut PlatformScope,
        id: PersonId,
        challenge: &str,
    ) -> Result<Option<RequestOptions>, AuthError> {
        let rows = passkey::rows(scope.connection(), id).await?;
        let Some(party) = self.party.as_ref().filter(|_| !rows.is_empty()) else { return Ok(None) };
        let (allow, verification) = (descriptors(rows), UserVerification::Preferred);
        Ok(Some(party.request_options(&challenge_of(challenge), allow, verification)))
    }

    /// Whose passkey signed the challenge, which is `person`'s where one is named. The signature is used up.
    pub(super) async fn judge_assertion(
        &self,
        scope: &mut PlatformScope,
        person: Option<PersonId>,
        challenge: &str,
        shown: &Assertion,
        verification: UserVerification,
    ) -> Result<Verdict, AuthError> {
        let found = passkey::find(scope.connection(), &shown.raw_id.0).await?;
        let Some(PasskeyRow { id, person_id, public_key, sign_count, .. }) = found else {
            return Ok(Verdict::Wrong);
        };
        let handle = shown.response.user_handle.as_ref();
        let is_theirs = handle.is_none_or(|handle| handle.0 == person_id.uuid().as_bytes());
        if !is_theirs || person.is_some_and(|person| person != person_id) {
            return Ok(Verdict::Wrong);
        }
        let key =
            StoredKey { public_key: &public_key, sign_count: u32::try_from(sign_count).unwrap_or(u32::MAX) };
        match self.relying_party()?.authenticate(&challenge_of(challenge), key, shown, verification) {
            Ok(good) => {
                let now = scope.now();
                let (count, is_backed_up) = (good.sign_count, good.is_backed_up);
                let used = passkey::use_up(scope.connection(), id, count, is_backed_up, now).await?;
                Ok(if used { Verdict::Good(person_id) } else { Verdict::Copied(person_id, id) })
            }
            Err(why) => {
                tracing::debug!(%why, "a passkey was refused");
                Ok(if why == NotTaken::Counter { Verdict::Copied(person_id, id) } else { Verdict::Wrong })
            }
        }
    }

    /// Notes a signature that shows that there may be a copy of the authenticator.
    pub(super) async fn note_wrong(&self, verdict: Verdict, client: &Client) -> Result<(), AuthError> {
        let Verdict::Copied(person, passkey) = verdict else { return Ok(()) };
        let mut scope = self.platform(client, Actor::System).await?;
        scope.note(Chain::of_person(person), Note::new("passkey.copied", passkey));
        Ok(scope.commit().await?)
    }
}
