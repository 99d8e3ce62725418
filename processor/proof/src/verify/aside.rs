//! Events of a partition of the log, set aside on disk by their ids: however many there are, all of one id come
//! together again, and no more than one part of them is in memory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::path::Path;

use schemas::id::{EventHash, Position, ProjectId};
use schemas::time::Micros;

use crate::scratch::{Folder, has_room};

/// Bytes of an event.
const ENTRY_BYTES: usize = 64;
/// Events that a part should have: 128 MiB of memory.
const PART_EVENTS: u64 = 2 << 20;
/// Files that are open at the same time, at most.
const PARTS_MAX: u64 = 512;
/// Bytes that are written to a part at once.
const WRITE_BYTES: usize = 16 << 10;

/// What decides over an event, and what it counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) project: ProjectId,
    pub(super) hash: EventHash,
    /// The place of the ledger's range in its partition.
    pub(super) range: u32,
    /// The place of who pays, in which period; [`Entry::KNOWN`]: it stands before the log's first record, and is
    /// stored.
    pub(super) account: u32,
    pub(super) position: Position,
    pub(super) received_at: Micros,
    /// When the newest event of the partition was received, up to this one.
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
        rest.write_all(&self.range.to_le_bytes())?;
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
            range: u32::from_le_bytes(next(bytes)?),
            account: u32::from_le_bytes(next(bytes)?),
            position: Position::from_number(u64::from_le_bytes(next(bytes)?)),
            received_at: Micros(i64::from_le_bytes(next(bytes)?)),
            newest: Micros(i64::from_le_bytes(next(bytes)?)),
            contents: i64::from_le_bytes(next(bytes)?),
        })
    }

    /// What is the same for all events of an id, then their order.
    fn key(&self) -> (ProjectId, u128, Position) {
        (self.project, self.hash.0, self.position)
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
        has_room(scratch, events.saturating_mul(ENTRY_BYTES as u64))?;
        Self::in_parts(scratch, events.div_ceil(PART_EVENTS).clamp(1, PARTS_MAX))
    }

    pub(super) fn in_parts(scratch: &Path, parts: u64) -> io::Result<Self> {
        let folder = Folder::make(scratch)?;
        let part = |number| Ok(BufWriter::with_capacity(WRITE_BYTES, File::create(folder.file(number))?));
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
        let path = self.folder.file(number);
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
