//! The names of what the log measures of itself.

/// Counter: payload bytes appended and durable.
pub const APPEND_BYTES: &str = "weir_log_append_bytes_total";
/// Gauge: bytes handed over and not durable yet.
pub const QUEUE_BYTES: &str = "weir_log_queue_bytes";
/// Histogram: seconds from an append's begin until it was durable.
pub const ACK_SECONDS: &str = "weir_log_ack_seconds";
/// Histogram: seconds that the local log's disk took for one `fdatasync`.
pub const FSYNC_SECONDS: &str = "weir_log_fsync_seconds";
/// Gauge: partitions of the local log that take no records because the disk is full or has failed.
pub const PARTITIONS_REFUSING: &str = "weir_log_partitions_refusing";
