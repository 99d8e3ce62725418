//! The SQL of each table: first Postgres's, then ClickHouse's.

pub(crate) mod lock;
pub(crate) mod snapshot;
pub(crate) mod partition_cursor;
pub(crate) mod batch_ledger;
pub(crate) mod usage_hour;
pub(crate) mod quota_period;
pub(crate) mod dead_letter;
pub(crate) mod mismatched_range;
pub(crate) mod reconciled_partition;
pub(crate) mod reconciliation;
pub(crate) mod verification;
pub(crate) mod evidence_key;
pub(crate) mod hour_seal;
pub(crate) mod tenant;
pub(crate) mod erasure;
pub(crate) mod erased_range;
pub(crate) mod erased_hour;
pub(crate) mod rollup_hour;
pub(crate) mod events;
pub(crate) mod known_ids;
pub(crate) mod erased_ids;
pub(crate) mod leaves;
pub(crate) mod events_hourly;

use schemas::time::Micros;
use sqlx::types::chrono::{DateTime, Utc};

/// An instant as Postgres holds it; what the calendar does not know becomes its end.
fn timestamp(at: Micros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// A number of a partition as the database has it.
fn partition(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

/// An offset as the database has it.
fn offset(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// An offset as the database takes it. Offsets stay below 2^48.
fn as_number(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
