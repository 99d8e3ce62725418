//! The life of the worker.

use jobs::{Timing, Worker};
use service::clock::Clock;
use service::shutdown::Shutdown;
use service::task::TaskError;
use sqlx::PgPool;

use crate::config::WorkerConfig;
use crate::error::StartError;
use crate::{chores, failed_logins, mails};

/// A worker that is ready to run.
pub struct Working(Worker);

impl Working {
    /// Puts it together. Nothing is asked of Postgres or the mail relay yet. `pool` is of the admin API's role, and the
    /// worker's own.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn build(config: &WorkerConfig, pool: PgPool, clock: Clock) -> Result<Self, StartError> {
        let mut kinds = chores::kinds(&pool, &clock);
        kinds.push(mails::kind(config, &pool, &clock)?);
        kinds.push(failed_logins::kind(&pool, &clock));
        let (schedules, timing) = (chores::SCHEDULES.to_vec(), Timing::default());
        Ok(Self(Worker { pool, kinds, schedules, timing }))
    }

    /// Works until `shutdown` is ordered.
    ///
    /// # Errors
    /// [`TaskError`] if a task of it ended by itself.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), TaskError> {
        self.0.run(shutdown).await
    }
}
