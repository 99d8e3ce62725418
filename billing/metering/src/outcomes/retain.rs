use std::time::Duration;

use service::config::Settings;
use service::shutdown::Shutdown;
use service::store::StoreError;
use service::task::{Pace, every};
use sqlx::PgPool;

use crate::db::outcome_minute;

/// How often to look for what is too old.
const EVERY: Duration = Duration::from_secs(60);
/// Rows in one statement.
const STATEMENT_ROWS_MAX: i64 = 10_000;

/// For how long outcomes are kept. [`RetentionConfig::read`] has the default.
#[derive(Debug, Clone, Copy)]
pub struct RetentionConfig {
    /// Hours, from the minute of receipt.
    pub hours: u32,
}

impl RetentionConfig {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Self {
        let hours = settings.number(
            "WEIR_OUTCOME_RETENTION_HOURS",
            7 * 24,
            1..=366 * 24,
            "hours for which tenants can see what became of their events by the minute",
        );
        Self { hours }
    }
}

/// Deletes outcomes that are too old until `shutdown` is ordered. Any number of processes may run it.
pub(crate) async fn run(pool: PgPool, config: RetentionConfig, shutdown: Shutdown) {
    let mut rounds = every("deletion of old outcomes", Pace::at_once(EVERY), shutdown);
    while rounds.due().await {
        let round = async {
            while forget(&pool, config, STATEMENT_ROWS_MAX).await? == STATEMENT_ROWS_MAX.unsigned_abs() {}
            Ok::<_, StoreError>(())
        };
        rounds.attempt(round).await;
    }
}

/// Deletes up to `rows_max` of the oldest rows that are too old, except those that another process deletes at this
/// moment. How many that were.
///
/// # Errors
/// If Postgres fails.
pub async fn forget(pool: &PgPool, config: RetentionConfig, rows_max: i64) -> Result<u64, StoreError> {
    Ok(outcome_minute::delete_old(pool, i64::from(config.hours), rows_max).await?)
}
