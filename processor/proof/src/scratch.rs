//! A folder on disk for what a proof sets aside.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use eventlog::Room;
use service::store::StoreError;
use uuid::Uuid;

/// The file in a folder that is locked.
const LOCK: &str = "lock";
/// Bytes of the disk that stay free: the local log may be on the same.
const ROOM_BYTES: u64 = 1 << 30;
/// What [`StoreError`] calls the disk.
const SCRATCH: &str = "the folder in which a proof sets events aside (in WEIR_DATA_DIR)";

/// The disk as a store that failed.
pub(crate) fn disk_failed(error: io::Error) -> StoreError {
    StoreError::retry(SCRATCH, error)
}

/// Does what blocks where it holds up nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(disk_failed),
        Err(error) => Err(disk_failed(io::Error::other(error))),
    }
}

/// Whether `need` bytes can be set aside in the folder.
pub(crate) fn has_room(scratch: &Path, need: u64) -> io::Result<()> {
    fs::create_dir_all(scratch)?;
    let free = Room::of(scratch)?.free_bytes;
    if free < need.saturating_add(ROOM_BYTES) {
        let why = format!("it needs {need} bytes, and {ROOM_BYTES} that stay free; {free} are free");
        return Err(io::Error::new(io::ErrorKind::StorageFull, why));
    }
    Ok(())
}

/// A folder of this proof alone, which goes with it, or with the next proof if this process is killed.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Locked for as long as the folder is used.
    _lock: File,
}

impl Folder {
    pub(crate) fn make(scratch: &Path) -> io::Result<Self> {
        fs::create_dir_all(scratch)?;
        for left in fs::read_dir(scratch)? {
            let left = left?.path();
            // One that is being made has another name until it is locked.
            let is_used = File::open(left.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_err());
            if !is_used && left.extension().is_none() {
                fs::remove_dir_all(&left)?;
            }
        }
        let path = scratch.join(Uuid::now_v7().simple().to_string());
        let begun = path.with_extension("new");
        fs::create_dir(&begun)?;
        let lock = File::create(begun.join(LOCK))?;
        lock.lock()?;
        fs::rename(&begun, &path)?;
        Ok(Self { path, _lock: lock })
    }

    /// The file of that number.
    pub(crate) fn file(&self, number: u64) -> PathBuf {
        self.path.join(number.to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(folder = %self.path.display(), %error, "what a proof set aside is still there");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_has_left_goes_with_the_next_and_what_is_used_stays() {
        let scratch = std::env::temp_dir().join(format!("weir-scratch-{}", Uuid::now_v7().simple()));
        let used = Folder::make(&scratch).unwrap();
        let left = Folder::make(&scratch).unwrap();
        // As if the process had been killed: the lock is gone, and the folder is there.
        let path = left.path.clone();
        drop(left);
        fs::create_dir(&path).unwrap();
        fs::write(path.join(LOCK), "").unwrap();
        fs::write(path.join("0"), "events").unwrap();
        let next = Folder::make(&scratch).unwrap();
        assert!(!path.exists() && used.path.exists() && next.path.exists());
        drop((used, next));
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
        fs::remove_dir(&scratch).unwrap();
    }
}
