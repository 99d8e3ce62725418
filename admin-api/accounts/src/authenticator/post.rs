//! The way of mails out of the outbox: opened for the job that sends them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use data_encoding::BASE64URL_NOPAD;
use schemas::public_id::MessageId;
use service::clock::Clock;
use sqlx::PgPool;

use super::Authenticator;
use super::mail::{Mail, opened};
use crate::auth_error::AuthError;
use crate::db::outbox;
use crate::db::suppression::{self, Suppressed};
use crate::seal::SealKey;

/// Where the address of a link that ends mails is sealed for.
const UNSUBSCRIBE: &str = "unsubscribe";
/// What every wrong link of that kind is answered.
const LINK: &str = "the link is not one of weir's";

/// Reads the outbox. Cloning it is cheap.
#[derive(Clone)]
pub struct Post {
    pool: PgPool,
    clock: Clock,
    seal: Arc<SealKey>,
}

impl Post {
    /// Reads mails as the admin API's role, under the key that they were sealed with.
    #[must_use]
    pub fn new(pool: PgPool, clock: Clock, seal: SealKey) -> Self {
        Self { pool, clock, seal: Arc::new(seal) }
    }

    /// A mail that waits; `None`: it was sent, or is not to be.
    ///
    /// # Errors
    /// [`AuthError::Store`]; [`AuthError::Sealed`] if it was sealed under another key.
    pub async fn mail(&self, id: MessageId) -> Result<Option<Mail>, AuthError> {
        let row = outbox::one_unsent(&mut *self.pool.acquire().await?, id).await?;
        row.map(|row| opened(&self.seal, row)).transpose()
    }

    /// What a link holds by which the owner of an address wants no more mails that nobody needs.
    ///
    /// # Errors
    /// [`AuthError::Sealed`].
    pub fn unsubscribe_token(&self, address: &str) -> Result<String, AuthError> {
        Ok(BASE64URL_NOPAD.encode(&self.seal.seal(UNSUBSCRIBE, address.as_bytes())?))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.clock.now_micros()).unwrap_or_default()
    }
}

impl Authenticator {
    /// Sends no more mails that nobody needs to the address that the link of one of them is for. The link is good for
    /// all time, and twice.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a link that is none; [`AuthError::Store`].
    pub async fn unsubscribe(&self, token: &str) -> Result<(), AuthError> {
        let refused = || AuthError::Refused(LINK);
        let sealed = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| refused())?;
        let address = self.seal.open(UNSUBSCRIBE, &sealed).map_err(|_| refused())?;
        let address = String::from_utf8(address).map_err(|_| refused())?;
        let (which, reason, now) = (Suppressed::Optional, "unsubscribed", self.now());
        let mut connection = self.pool.acquire().await?;
        Ok(suppression::add(&mut connection, &address, which, reason, now, None).await?)
    }
}
