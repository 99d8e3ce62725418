//! Names of the processor's metrics.

/// Counter: events that reached an outcome, by `outcome` (stored, duplicate, dead), at commit.
pub const EVENTS: &str = "weir_processor_events_total";
/// Histogram: seconds a batch spends in a stage, by `stage` (repair with decoding, dedup, insert, commit).
pub const STAGE_SECONDS: &str = "weir_processor_stage_seconds";
/// Gauge: seconds between the receipt of the newest committed event and its commit.
pub const LAG_SECONDS: &str = "weir_processor_lag_seconds";
/// Gauge: partitions owned.
pub const PARTITIONS: &str = "weir_processor_partitions";
/// Gauge: ids held for deduplication.
pub const IDS_HELD: &str = "weir_processor_ids_held";
/// Counter: inserts whose outcome was unclear or failed, each followed by a read-back.
pub const INSERT_RETRIES: &str = "weir_processor_insert_retries_total";
/// Counter: events of replayed dead letters, by `outcome` (stored, duplicate).
pub const DEAD_REPLAYED: &str = "weir_processor_dead_replayed_total";
/// Counter: ledger ranges whose rows were compared with the ledger.
pub const RECONCILED_RANGES: &str = "weir_reconcile_ranges_total";
/// Gauge: ledger ranges whose rows did not agree when they were last compared.
pub const MISMATCHED_RANGES: &str = "weir_reconcile_mismatched_ranges";
/// Gauge: seconds since the last run that compared all that it was to.
pub const RECONCILED_AGE_SECONDS: &str = "weir_reconcile_age_seconds";
