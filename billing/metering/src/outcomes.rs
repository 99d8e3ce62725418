//! What ingest made of each tenant's events, by minute: written by ingest nodes, shown to the tenant, forgotten after
//! some days.
//!
//! Unlike usage these are no money: a node that is killed loses its last seconds of them.

mod read;
mod retain;

use service::store::StoreError;
use sqlx::PgPool;
use uuid::Uuid;

use crate::db::outcome_minute;

pub use crate::db::outcome_minute::Row;
pub use read::{Cursor, Interval, OutcomeCount, OutcomePage, OutcomeQuery, PAGE_ROWS_MAX, of_tenant};
pub(crate) use retain::run;
pub use retain::{RetentionConfig, forget};

/// Writes what `run` has counted so far. Counts only grow, so the same rows may be written again, and an older
/// statement that comes late changes nothing.
///
/// # Errors
/// If Postgres fails; then it is not known what was written.
pub async fn write(pool: &PgPool, run: Uuid, rows: &[Row]) -> Result<(), StoreError> {
    Ok(outcome_minute::write(pool, run, rows).await?)
}
