//! The SQL of each table.

pub(crate) mod batch_ledger;
pub(crate) mod dead_letter;
pub(crate) mod erasure;
pub(crate) mod event_log;
pub(crate) mod events;
pub(crate) mod known_ids;
pub(crate) mod lock;
pub(crate) mod partition_cursor;
pub(crate) mod processor_node;

/// A partition as Postgres holds it.
fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// An offset as Postgres holds it. Offsets stay below 2^48.
fn offset(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
