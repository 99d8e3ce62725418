//! Why somebody was not let in.

use schemas::problem::Place;
use service::store::StoreError;

use crate::access::NotMade;
use crate::error::AccountError;
use crate::password::{Busy, Weak};
use crate::seal::NotOpened;

/// Why somebody was not let in. What the text says does not depend on whether there is such an account.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// What was presented is wrong, was used, or has expired.
    #[error("{0}")]
    Refused(&'static str),
    /// It asks for something that can't be; the text says what to do instead.
    #[error("{0}")]
    Invalid(String),
    /// The same, and which member or parameter is to blame.
    #[error("{1}")]
    InvalidAt(Place, String),
    /// It is not what the caller expects it to be.
    #[error("{}", AccountError::Changed)]
    Changed,
    /// An invitation is good, and its tenant is frozen.
    #[error("the tenant is frozen: nobody joins it until it is let in again")]
    Frozen,
    /// An invitation is good for nothing any more, although its link is right.
    #[error("who sent the invitation may not do so any more: ask the tenant's people for another one")]
    Void,
    /// Too many attempts: wait.
    #[error("too many attempts: try again in {seconds} s")]
    Wait {
        /// Seconds until the next attempt is looked at.
        seconds: i64,
    },
    /// Too many passwords are being hashed: try again.
    #[error("too many people sign in at once")]
    Busy,
    /// Postgres failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is sealed in the database does not open.
    #[error("the database was sealed under another key")]
    Sealed(#[from] NotOpened),
    /// No key could be made, or none can sign.
    #[error("access tokens can't be signed")]
    Keys,
}

impl From<sqlx::Error> for AuthError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Busy> for AuthError {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

impl From<NotMade> for AuthError {
    fn from(_: NotMade) -> Self {
        Self::Keys
    }
}

impl AuthError {
    /// A password that is not taken, and which member it is.
    pub(crate) fn weak(member: &str, weak: Weak) -> Self {
        Self::InvalidAt(Place::Pointer(format!("/{member}")), weak.to_string())
    }
}

impl From<Weak> for AuthError {
    fn from(weak: Weak) -> Self {
        Self::weak("password", weak)
    }
}

impl From<AccountError> for AuthError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => Self::Store(error),
            AccountError::Changed => Self::Changed,
            AccountError::Wait { seconds } => Self::Wait { seconds },
            AccountError::InvalidAt(place, rule) => Self::InvalidAt(place, rule),
            AccountError::Invalid(_)
            | AccountError::NotFound(_)
            | AccountError::Exists(_)
            | AccountError::Conflict(_)
            | AccountError::Forbidden(_) => Self::Invalid(error.to_string()),
        }
    }
}
