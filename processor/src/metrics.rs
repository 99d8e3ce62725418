//! Names of the processor's metrics.

/// Counter: events that reached an outcome, by `outcome` (stored, duplicate, dead), at commit.
pub const EVENTS: &str = "weir_processor_events_total";
/// Histogram: seconds a batch spends in a stage, by `stage` (read, read_back, decode, dedup, encode, insert, commit).
pub const STAGE_SECONDS: &str = "weir_processor_stage_seconds";
/// Gauge: seconds between the receipt of the newest committed event and its commit.
pub const LAG_SECONDS: &str = "weir_processor_lag_seconds";
/// Gauge: log records of the partitions owned that are not committed yet.
pub const LAG_RECORDS: &str = "weir_processor_lag_records";
/// Gauge: partitions that are served.
pub const PARTITIONS: &str = "weir_processor_partitions";
/// Gauge: partitions that are owned and not served yet, because their ids are being read.
pub const PARTITIONS_FILLING: &str = "weir_processor_partitions_filling";
/// Gauge: 1 while a partition is halted, by `partition`. Each processor says it of all partitions.
pub const PARTITION_HALTED: &str = "weir_processor_partition_halted";
/// Gauge: ids held for deduplication, in memory and on disk.
pub const IDS_HELD: &str = "weir_processor_ids_held";
/// Gauge: files in which ids are held on disk.
pub const IDS_RUNS: &str = "weir_processor_ids_runs";
/// Gauge: bytes of these files.
pub const IDS_DISK_BYTES: &str = "weir_processor_ids_disk_bytes";
/// Gauge: bytes of memory that tables, indexes and filters of ids take.
pub const IDS_MEMORY_BYTES: &str = "weir_processor_ids_memory_bytes";
/// Histogram: seconds until the ids of a partition that was taken were complete, by `kind`: the whole window was read
/// from ClickHouse, or the gap since the disk was written.
pub const IDS_FILL_SECONDS: &str = "weir_processor_ids_fill_seconds";
/// Counter: replaced geo databases, by `result` (ok, failed: the old one stays).
pub const GEO_RELOADS: &str = "weir_processor_geo_reloads_total";
/// Gauge: when the geo database in use was made, unix seconds.
pub const GEO_BUILT_SECONDS: &str = "weir_processor_geo_built_seconds";
/// Counter: inserts whose outcome was unclear or failed, each followed by a read-back.
pub const INSERT_RETRIES: &str = "weir_processor_insert_retries_total";
/// Counter: events of dead letters that were appended to the log again.
pub const DEAD_REPLAYED: &str = "weir_processor_dead_replayed_total";
