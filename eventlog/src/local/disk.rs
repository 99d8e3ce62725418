//! What the log asks of the file system.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

type Write = dyn Fn(&File, &[u8], u64) -> io::Result<()> + Send + Sync;
type SyncFile = dyn Fn(&File) -> io::Result<()> + Send + Sync;
type FreeBytes = dyn Fn(&Path) -> io::Result<u64> + Send + Sync;

/// The calls of the writers that may fail or hang while the log is in use; tests make them do so.
#[derive(Clone)]
pub(super) struct Disk {
    /// Writes all bytes at a position.
    pub(super) write: Arc<Write>,
    /// Returns when all that was written to the file is on disk.
    pub(super) sync: Arc<SyncFile>,
    /// Bytes that the file system of this directory has left for us.
    pub(super) free_bytes: Arc<FreeBytes>,
}

impl Disk {
    /// The real one.
    pub(super) fn real() -> Self {
        Self {
            write: Arc::new(|file, bytes, position| file.write_all_at(bytes, position)),
            sync: Arc::new(sync_data),
            free_bytes: Arc::new(|dir| {
                let stat = rustix::fs::statvfs(dir)?;
                Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
            }),
        }
    }
}

fn sync_data(file: &File) -> io::Result<()> {
    faults::call("log.sync")?;
    if faults::mutant("log-without-fsync") { Ok(()) } else { file.sync_data() }
}

/// Makes names created, renamed or removed in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Fills `bytes` from `position` on; returns how many there were before the end of the file.
pub(super) fn read_up_to(file: &File, bytes: &mut [u8], position: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], position + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
