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
/// Gauge: 1 while appends go to the spool, else 0.
pub const SPOOLING: &str = "weir_spool_spooling";
/// Gauge: bytes on disk of spooled records that are not drained.
pub const SPOOL_BYTES: &str = "weir_spool_bytes";
/// Gauge: spooled records that are not drained.
pub const SPOOL_RECORDS: &str = "weir_spool_records";
/// Gauge: seconds since the oldest record that is not drained was received; 0 if there is none.
pub const SPOOL_AGE_SECONDS: &str = "weir_spool_age_seconds";
/// Counter: spooled records that the log has confirmed.
pub const SPOOL_DRAINED_RECORDS: &str = "weir_spool_drained_records_total";
/// Counter: spooled records whose events were charged once more, because the log may have a copy.
pub const SPOOL_CHARGED_RECORDS: &str = "weir_spool_charged_records_total";
/// Counter: spooled records that the log will never take, kept aside in the spool's folder.
pub const SPOOL_ASIDE_RECORDS: &str = "weir_spool_aside_records_total";
