//! How much room a file system has.

use std::io;
use std::path::Path;

/// The room of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that are left for this process.
    pub free_bytes: u64,
    /// Bytes that it has in all.
    pub total_bytes: u64,
}

impl Room {
    /// That of the file system of `folder`. Blocks.
    ///
    /// # Errors
    /// If the folder can't be asked about.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Self { free_bytes: bytes(stat.f_bavail), total_bytes: bytes(stat.f_blocks) })
    }
}
