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
/// Gauge: erasures that are asked for and not done.
pub const ERASURES_OPEN: &str = "weir_processor_erasures_open";
/// Gauge: seconds since the oldest of them was asked for.
pub const ERASURE_AGE_SECONDS: &str = "weir_processor_erasure_age_seconds";
/// Counter: events that were counted to be erased.
pub const ERASED: &str = "weir_processor_erased_events_total";
