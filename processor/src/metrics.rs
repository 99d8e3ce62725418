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
/// Counter: replaced geo databases, by `result` (ok, failed: the old one stays).
pub const GEO_RELOADS: &str = "weir_processor_geo_reloads_total";
/// Gauge: when the geo database in use was made, unix seconds.
pub const GEO_BUILT_SECONDS: &str = "weir_processor_geo_built_seconds";
/// Counter: inserts whose outcome was unclear or failed, each followed by a read-back.
pub const INSERT_RETRIES: &str = "weir_processor_insert_retries_total";
