//! Names of the store's metrics.

/// Counter: blocks of 4 KiB that were read to look up ids, from the disk or the system's cache.
pub const IDS_DISK_READS: &str = "weir_processor_ids_disk_reads_total";
