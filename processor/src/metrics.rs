//! Names of the processor's metrics.

/// Counter: events that reached an outcome, by `outcome` (stored, duplicate, dead), at commit.
pub const EVENTS: &str = "weir_processor_events_total";
/// Histogram: seconds a batch spends in a stage, by `stage` (read, read_back, decode, dedup, encode, insert, commit).
pub const STAGE_SECONDS: &str = "weir_processor_stage_seconds";
/// Gauge: seconds between the receipt of the newest committed event and its commit.
pub const LAG_SECONDS: &str = "weir_processor_lag_seconds";
/// Gauge: log records of the partitions owned that are not committed yet.
pub const LAG_RECORDS: &str = "weir_processor_lag_records";
/// Gauge: partitions owned.
pub const PARTITIONS: &str = "weir_processor_partitions";
/// Gauge: ids held for deduplication.
pub const IDS_HELD: &str = "weir_processor_ids_held";
/// Counter: inserts whose outcome was unclear or failed, each followed by a read-back.
pub const INSERT_RETRIES: &str = "weir_processor_insert_retries_total";
