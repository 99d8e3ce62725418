//! What comes again and again. Each chore may be killed at any point and begins again.

use std::time::Duration;

use accounts::{audit, sweep, tenant};
use jobs::kind::run;
use jobs::{Ended, Kind, Schedule};
use service::clock::Clock;
use service::store::StoreError;
use sqlx::PgPool;

const SWEEP_ACCOUNTS: &str = "accounts.sweep";
const SWEEP_JOBS: &str = "jobs.sweep";
const ERASE_TENANTS: &str = "tenants.erase";
const ANCHOR: &str = "audit.anchor";

/// For how long dead jobs wait for an operator.
const DEAD_KEPT: Duration = Duration::from_secs(90 * 86_400);
const DEAD_ROWS: i64 = 10_000;

/// When they come.
pub(crate) const SCHEDULES: [Schedule; 4] = [
    Schedule::hourly(SWEEP_ACCOUNTS, 17),
    Schedule::hourly(ERASE_TENANTS, 47),
    Schedule::daily(ANCHOR, 2, 40),
    Schedule::daily(SWEEP_JOBS, 3, 20),
];

/// What they do.
pub(crate) fn kinds(pool: &PgPool, clock: &Clock) -> Vec<Kind> {
    let both = || (pool.clone(), clock.clone());
    let sweep_accounts = {
        let (pool, clock) = both();
        run(move |_| {
            let (pool, clock) = (pool.clone(), clock.clone());
            async move { Ok(sweep::sweep(&pool, &clock).await.map(|()| Ended::DONE)?) }
        })
    };
    let erase_tenants = {
        let (pool, clock) = both();
        run(move |_| {
            let (pool, clock) = (pool.clone(), clock.clone());
            async move {
                let tenants = tenant::erase_expired(&pool, &clock).await.map_err(StoreError::from)?;
                if tenants > 0 {
                    tracing::info!(tenants, "tenants that were deleted long enough ago were erased");
                }
                Ok(Ended::DONE)
            }
        })
    };
    let anchor = {
        let (pool, clock) = both();
        run(move |_| {
            let (pool, clock) = (pool.clone(), clock.clone());
            async move {
                let chains = audit::anchor(&pool, &clock).await?;
                tracing::info!(chains, "the heads of the audit's chains were anchored");
                Ok(Ended::DONE)
            }
        })
    };
    let sweep_jobs = {
        let pool = pool.clone();
        run(move |job| {
            let pool = pool.clone();
            async move {
                let mut tx = pool.begin().await?;
                jobs::sweep_dead(&mut tx, DEAD_KEPT, DEAD_ROWS).await?;
                let ended = job.finish(&mut tx).await?;
                tx.commit().await?;
                Ok(ended)
            }
        })
    };
    let chore = |name, run| Kind {
        name,
        concurrency: 1,
        // A sweep that was not done for months is long.
        deadline: Duration::from_secs(1_800),
        attempts_max: 8,
        run,
    };
    vec![
        chore(SWEEP_ACCOUNTS, sweep_accounts),
        chore(ERASE_TENANTS, erase_tenants),
        chore(ANCHOR, anchor),
        chore(SWEEP_JOBS, sweep_jobs),
    ]
}
