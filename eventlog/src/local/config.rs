//! Settings.

use std::path::PathBuf;
use std::time::Duration;

/// How a local log is kept.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// The directory; made if it is missing. On a file system of its own, a full disk harms nobody else.
    pub dir: PathBuf,
    /// How many partitions the log is made with, 1 to 1000; later it must be the same.
    pub partitions: u32,
    /// Bytes after which a new segment is begun; one group of records may pass it.
    pub segment_bytes_max: u64,
    /// Bytes that may wait to be written, in all partitions together; beyond it, records are refused.
    pub queue_bytes_max: usize,
    /// Bytes of the longest record that is taken; 1 MiB less 32 at most.
    pub payload_bytes_max: usize,
    /// How long records are kept at least, counted from when they were written.
    pub retention: Duration,
    /// Records are refused while the file system has less room than this.
    pub disk_free_bytes_min: u64,
}

impl LocalConfig {
    /// The defaults: segments of 128 MiB, a queue of 64 MiB, a frame as the longest record, retention of 7 days, 256
    /// MiB kept free.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, partitions: u32) -> Self {
        Self {
            dir: dir.into(),
            partitions,
            segment_bytes_max: 128 << 20,
            queue_bytes_max: 64 << 20,
            payload_bytes_max: schemas::limit::FRAME_BYTES_MAX,
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            disk_free_bytes_min: 256 << 20,
        }
    }
}
