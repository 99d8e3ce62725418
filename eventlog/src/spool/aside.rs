//! Records that the log takes never: each in a file of its own, `aside/<offset in the spool>`, with its partition
//! (u32) and time (i64, milliseconds) before the frame, little-endian.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::local::sync_dir;
use crate::metrics::SPOOL_ASIDE_RECORDS;
use crate::{Append, LogError};

/// Keeps a record for a person to look at. When this returns, it is durable.
pub(super) fn keep(dir: &Path, offset: u64, record: &Append, why: &str) -> Result<(), LogError> {
    let folder = dir.join("aside");
    let path = folder.join(format!("{offset:020}"));
    let kept = || -> io::Result<()> {
        fs::create_dir_all(&folder)?;
        sync_dir(dir)?;
        let mut file = File::create(&path)?;
        file.write_all(&record.partition.to_le_bytes())?;
        file.write_all(&record.timestamp_ms.to_le_bytes())?;
        file.write_all(&record.payload)?;
        file.sync_all()?;
        sync_dir(&folder)
    };
    kept().map_err(|error| LogError::Unavailable(format!("{}: {error}", path.display())))?;
    metrics::counter!(SPOOL_ASIDE_RECORDS).increment(1);
    tracing::error!(
        path = %path.display(), partition = record.partition, why,
        "the log does not take a record that was accepted: it is kept aside, and needs a person"
    );
    Ok(())
}
