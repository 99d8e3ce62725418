//! Kinds of jobs: what is run, how often it is tried, how long a run may take.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use schemas::public_id::JobId;
use serde::de::DeserializeOwned;
use service::store::StoreError;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::job;

/// A kind of jobs.
#[derive(Clone)]
pub struct Kind {
    /// Its name, as in `mail.send`.
    pub name: &'static str,
    /// How many of them a node runs at once; 0: none, so that they wait for a node that does.
    pub concurrency: usize,
    /// How long a run may take.
    pub deadline: Duration,
    /// After so many failures a job is dead.
    pub attempts_max: i32,
    /// What is run.
    pub run: Run,
}

/// The function of a kind.
pub type Run = Arc<dyn Fn(Job) -> Running + Send + Sync>;
/// A run under way. It is dropped at its deadline, and when its claim is lost.
pub type Running = Pin<Box<dyn Future<Output = Result<Ended, Failure>> + Send>>;

/// Makes a [`Run`] of an async function.
pub fn run<F: Future<Output = Result<Ended, Failure>> + Send + 'static>(
    function: impl Fn(Job) -> F + Send + Sync + 'static,
) -> Run {
    Arc::new(move |job| Box::pin(function(job)))
}

/// A job that was claimed.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id, the same at each attempt.
    pub id: JobId,
    /// Its kind's name.
    pub kind: String,
    /// JSON.
    pub payload: String,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    pub(crate) claim: Uuid,
}

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

impl Job {
    /// The payload, read.
    ///
    /// # Errors
    /// [`Failure::Dead`] if it is something else.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.payload).map_err(|error| Failure::Dead(error.into()))
    }

    /// Ends the job in the transaction of what it did: when that commits, the job is gone. Commit right after it: until
    /// then, this holds the job's row.
    ///
    /// # Errors
    /// [`Failure::Lost`]: then nothing of the transaction must be committed. If Postgres fails.
    pub async fn finish(&self, transaction: &mut PgConnection) -> Result<Ended, Failure> {
        if job::delete_claimed(transaction, self).await? {
            Ok(Ended(Where::Transaction))
        } else {
            Err(Failure::Lost)
        }
    }
}
