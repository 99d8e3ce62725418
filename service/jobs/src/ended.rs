//! How a run of a job ends.

use std::error::Error;
use std::time::Duration;

use service::store::StoreError;

/// How a job ended well.
#[derive(Debug)]
pub struct Ended(pub(crate) Where);

#[derive(Debug)]
pub(crate) enum Where {
    /// The worker ends it.
    Worker,
    /// It ended in the transaction of what it did.
    Transaction,
}

impl Ended {
    /// The job is done. It is done again if the process is killed before the worker has noted that.
    pub const DONE: Self = Self(Where::Worker);
}

/// Why a run did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It may go well at another time.
    #[error("the job failed")]
    Retry(#[source] Box<dyn Error + Send + Sync>),
    /// It is too early. This does not count as an attempt.
    #[error("the job is put off for {} s", .0.as_secs())]
    Later(Duration),
    /// Trying again is of no use.
    #[error("the job can't be done")]
    Dead(#[source] Box<dyn Error + Send + Sync>),
    /// Its lease has ended: another worker may be running it, or has.
    #[error("the claim was lost")]
    Lost,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Retry(error.into())
    }
}
