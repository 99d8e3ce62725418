//! Notes sign-ins that failed in the audit of the tenants that they were for.

use std::time::Duration;

use accounts::failed_login::{self, FailedLogin};
use accounts::{AccountError, PlatformScope};
use jobs::kind::run;
use jobs::{Ended, Failure, Job, Kind};
use service::clock::Clock;
use service::store::StoreError;
use sqlx::PgPool;

/// Each takes some milliseconds, and locks the ends of its tenants' chains.
const CONCURRENCY: usize = 2;
const DEADLINE: Duration = Duration::from_secs(60);
const ATTEMPTS_MAX: i32 = 20;

pub(crate) fn kind(pool: &PgPool, clock: &Clock) -> Kind {
    let (pool, clock) = (pool.clone(), clock.clone());
    Kind {
        name: failed_login::JOB,
        concurrency: CONCURRENCY,
        deadline: DEADLINE,
        attempts_max: ATTEMPTS_MAX,
        run: run(move |job| note(pool.clone(), clock.clone(), job)),
    }
}

/// In one transaction with the end of the job: each is noted once.
async fn note(pool: PgPool, clock: Clock, job: Job) -> Result<Ended, Failure> {
    let failed: FailedLogin = job.read()?;
    let mut scope = PlatformScope::open_platform(&pool, &clock, failed.caller()).await?;
    failed_login::note(&mut scope, &failed).await?;
    let ended = job.finish(scope.connection()).await?;
    scope.commit().await.map_err(|error: AccountError| StoreError::from(error))?;
    Ok(ended)
}
