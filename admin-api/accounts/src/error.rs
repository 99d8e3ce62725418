//! What can go wrong.

use schemas::problem::Place;
use service::store::{POSTGRES, StoreError};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// It asks for something that can't be; the text says what to do instead.
    #[error("{0}")]
    Invalid(String),
    /// The same, and which member or parameter is to blame.
    #[error("{1}")]
    InvalidAt(Place, String),
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// There is such a thing already.
    #[error("{0} exists already")]
    Exists(String),
    /// What is there does not allow it; the text says what stands in the way.
    #[error("{0}")]
    Conflict(String),
    /// The caller may not; the text says what it takes.
    #[error("{0}")]
    Forbidden(String),
    /// It was done too often: wait.
    #[error("that was done too often: try again in {seconds} s")]
    Wait {
        /// Seconds until it may be done again.
        seconds: i64,
    },
    /// It is not what the caller expects it to be: somebody has changed it.
    #[error("the resource is not what If-Match says: read it again, and decide again")]
    Changed,
    /// Postgres failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Of Postgres: a text holds what it cannot store, the character U+0000.
const NOT_A_TEXT: [&str; 2] = ["22021", "22P05"];

/// For weir's own work, which nobody asks for: whatever else went wrong, the database did not do it.
impl From<AccountError> for StoreError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => error,
            AccountError::Invalid(_)
            | AccountError::InvalidAt(..)
            | AccountError::NotFound(_)
            | AccountError::Exists(_)
            | AccountError::Conflict(_)
            | AccountError::Forbidden(_)
            | AccountError::Wait { .. }
            | AccountError::Changed => Self::reject(POSTGRES, error),
        }
    }
}

impl From<sqlx::Error> for AccountError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        match code {
            Some(code) if NOT_A_TEXT.contains(&code.as_ref()) => Self::Invalid(
                "a text holds the character U+0000, which can't be stored: leave it out".to_owned(),
            ),
            _ => Self::Store(error.into()),
        }
    }
}

impl AccountError {
    /// A member of what was asked for, as in `email`, is against the rule.
    pub(crate) fn member(name: &str, rule: impl Into<String>) -> Self {
        Self::InvalidAt(Place::Pointer(format!("/{name}")), rule.into())
    }

    /// The same for a parameter of the query.
    pub(crate) fn parameter(name: &str, rule: impl Into<String>) -> Self {
        Self::InvalidAt(Place::Parameter(name.to_owned()), rule.into())
    }

    /// A database error, with a broken rule of uniqueness as "exists already".
    pub(crate) fn of_insert(what: impl FnOnce() -> String) -> impl FnOnce(sqlx::Error) -> Self {
        |error| match error.as_database_error() {
            Some(database) if database.is_unique_violation() => Self::Exists(what()),
            // It was there when it was looked for, and was removed since.
            Some(database) if database.is_foreign_key_violation() => {
                Self::NotFound("such role or project any more".to_owned())
            }
            _ => error.into(),
        }
    }

    /// A database error, with a reference to what the tenant does not have as "not found".
    pub(crate) fn of_reference(what: impl FnOnce() -> String) -> impl FnOnce(sqlx::Error) -> Self {
        |error| match error.as_database_error() {
            Some(database) if database.is_foreign_key_violation() => Self::NotFound(what()),
            _ => error.into(),
        }
    }
}
