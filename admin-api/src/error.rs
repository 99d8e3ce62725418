//! What can go wrong, and what a client or operator is told of it.

use schemas::problem::{Code, Problem};

/// Why a request or command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It asks for something that can't be; the text says what to do instead.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// There is such a thing already.
    #[error("{0} exists already")]
    Exists(String),
    /// Postgres failed.
    #[error("Postgres failed")]
    Store(#[from] sqlx::Error),
}

impl From<metering::usage::UsageError> for AdminError {
    fn from(error: metering::usage::UsageError) -> Self {
        match error {
            metering::usage::UsageError::NoTenant(tenant) => Self::NotFound(format!("tenant {tenant}")),
            metering::usage::UsageError::Store(error) => Self::Store(error),
        }
    }
}

impl AdminError {
    /// A database error, with a broken rule of uniqueness told as "exists already".
    pub(crate) fn of_insert(what: impl FnOnce() -> String) -> impl FnOnce(sqlx::Error) -> Self {
        |error| match error.as_database_error() {
            Some(database) if database.is_unique_violation() => Self::Exists(what()),
            _ => Self::Store(error),
        }
    }

    /// The problem document of this error.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Invalid(detail) => Problem::new(Code::InvalidArgument, detail.clone()),
            Self::NotFound(_) => Problem::new(Code::NotFound, self.to_string()),
            Self::Exists(_) => Problem::new(Code::Conflict, self.to_string()),
            Self::Store(_) => Problem::new(Code::Unavailable, "the database did not answer: try again soon"),
        }
    }
}
