//! Events of the log, set aside on disk by their ids: however many there are, all of one id come together again, and
//! no more than one part of them is in memory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use eventlog::Room;
use schemas::id::{EventHash, Position, ProjectId};
use schemas::time::Micros;
use uuid::Uuid;

/// Bytes of an event.
const ENTRY_BYTES: usize = 64;
/// Events that a part should have: 128 MiB of memory.
const PART_EVENTS: u64 = 2 << 20;
/// Files that are open at the same time, at most.
const PARTS_MAX: u64 = 512;
/// The file in a folder that is locked.
const LOCK: &str = "lock";
/// Bytes of the disk that stay free: the local log may be on the same.
const ROOM_BYTES: u64 = 1 << 30;
/// Bytes that are written to a part at once.
const WRITE_BYTES: usize = 16 << 10;

/// What decides over an event, and what it counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) project: ProjectId,
    pub(super) hash: EventHash,
    pub(super) partition: u32,
    /// The place of its account; [`Entry::KNOWN`]: it stands before the log's first record, and is stored.
    pub(super) account: u32,
    pub(super) position: Position,
    pub(super) received_at: Micros,
    /// When the newest event of its partition was received, up to this one.
    pub(super) newest: Micros,
    /// The low bits of the hash of its row, as it would be written today.
    pub(super) contents: i64,
}

impl Entry {
    /// In place of an account.
    pub(super) const KNOWN: u32 = u32::MAX;

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut bytes = [0; ENTRY_BYTES];
        let mut rest = &mut bytes[..];
        rest.write_all(&self.project.0.to_le_bytes())?;
        rest.write_all(&self.hash.0.to_le_bytes())?;
        rest.write_all(&self.partition.to_le_bytes())?;
        rest.write_all(&self.account.to_le_bytes())?;
        rest.write_all(&self.position.number().to_le_bytes())?;
        rest.write_all(&self.received_at.0.to_le_bytes())?;
        rest.write_all(&self.newest.0.to_le_bytes())?;
        rest.write_all(&self.contents.to_le_bytes())?;
        out.write_all(&bytes)
    }

    fn read(mut bytes: &[u8]) -> io::Result<Self> {
        fn next<const N: usize>(bytes: &mut &[u8]) -> io::Result<[u8; N]> {
            let mut number = [0; N];
            bytes.read_exact(&mut number)?;
            Ok(number)
        }
        let bytes = &mut bytes;
        Ok(Self {
            project: ProjectId(i64::from_le_bytes(next(bytes)?)),
            hash: EventHash(u128::from_le_bytes(next(bytes)?)),
            partition: u32::from_le_bytes(next(bytes)?),
            account: u32::from_le_bytes(next(bytes)?),
            position: Position::from_number(u64::from_le_bytes(next(bytes)?)),
            received_at: Micros(i64::from_le_bytes(next(bytes)?)),
            newest: Micros(i64::from_le_bytes(next(bytes)?)),
            contents: i64::from_le_bytes(next(bytes)?),
        })
    }

    /// What is the same for all events of an id, then their order.
    fn key(&self) -> (ProjectId, u128, u32, Position) {
        (self.project, self.hash.0, self.partition, self.position)
    }

    /// Whether the other has the same id.
    pub(super) fn is_of_id(&self, other: &Self) -> bool {
        (self.project, self.hash) == (other.project, other.hash)
    }
}

/// What is set aside, in parts. Its folder goes with it.
pub(super) struct Aside {
    parts: Vec<BufWriter<File>>,
    folder: Folder,
}

impl Aside {
    /// For about so many events.
    pub(super) fn begin(scratch: &Path, events: u64) -> io::Result<Self> {
        fs::create_dir_all(scratch)?;
        let (need, free) = (events.saturating_mul(ENTRY_BYTES as u64), Room::of(scratch)?.free_bytes);
        if free < need.saturating_add(ROOM_BYTES) {
            let why = format!("it needs {need} bytes, and {ROOM_BYTES} that stay free; {free} are free");
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        Self::in_parts(scratch, events.div_ceil(PART_EVENTS).clamp(1, PARTS_MAX))
    }

    pub(super) fn in_parts(scratch: &Path, parts: u64) -> io::Result<Self> {
        let folder = Folder::make(scratch)?;
        let part = |number| Ok(BufWriter::with_capacity(WRITE_BYTES, File::create(folder.part(number))?));
        Ok(Self { parts: (0..parts).map(part).collect::<io::Result<_>>()?, folder })
    }

    pub(super) fn add(&mut self, entries: &[Entry]) -> io::Result<()> {
        let parts = self.parts.len() as u128;
        for entry in entries {
            // The highest bits: events of an id are in one part.
            let part = usize::try_from(((entry.hash.0 >> 64) * parts) >> 64).unwrap_or_default();
            if let Some(part) = self.parts.get_mut(part) {
                entry.write(part)?;
            }
        }
        Ok(())
    }

    /// All is set aside: it is given back in parts.
    pub(super) fn finish(self) -> io::Result<Parts> {
        let count = self.parts.len() as u64;
        for file in self.parts {
            file.into_inner().map_err(io::IntoInnerError::into_error)?;
        }
        Ok(Parts { numbers: 0..count, folder: self.folder })
    }
}

/// What was set aside, a part at a time.
pub(super) struct Parts {
    numbers: Range<u64>,
    folder: Folder,
}

impl Parts {
    /// The next part's events, those of an id together and in the order of their positions; `None` after the last.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<Entry>>> {
        let Some(number) = self.numbers.next() else { return Ok(None) };
        let path = self.folder.part(number);
        let mut file = File::open(&path)?;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or_default() / ENTRY_BYTES;
        let mut entries = Vec::with_capacity(len);
        let mut bytes = vec![0; ENTRY_BYTES << 10];
        for from in (0..len).step_by(1 << 10) {
            let bytes = &mut bytes[..ENTRY_BYTES * (len - from).min(1 << 10)];
            file.read_exact(bytes)?;
            for entry in bytes.chunks_exact(ENTRY_BYTES) {
                entries.push(Entry::read(entry)?);
            }
        }
        drop(file);
        fs::remove_file(&path)?;
        entries.sort_unstable_by_key(Entry::key);
        Ok(Some(entries))
    }
}

/// A folder of this proof alone, which goes with it, or with the next proof if this process is killed.
struct Folder {
    path: PathBuf,
    /// Locked for as long as the folder is used.
    _lock: File,
}

impl Folder {
    fn make(scratch: &Path) -> io::Result<Self> {
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

    fn part(&self, number: u64) -> PathBuf {
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
        let scratch = std::env::temp_dir().join(format!("weir-aside-{}", Uuid::now_v7().simple()));
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
