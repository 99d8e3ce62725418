//! Walking through a segment from record to record, and looking at what stands behind a bad one.

use std::fs::File;
use std::io;
use std::path::Path;

use super::disk::read_up_to;
use super::record::{CHUNK_BYTES, Decoded, RECORD_HEAD_LEN, RecordHead, Seed, decode};
use crate::LogError;

/// What the next step of a scan came upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A record, and the position at which it begins.
    Record(RecordHead, u64),
    /// The end of the file.
    End,
    /// Bytes that are not the record that must follow.
    Bad(&'static str),
}

/// Walks through a segment's records; stays in front of a bad one.
pub(super) struct Scan<'a> {
    file: &'a File,
    seed: Seed,
    /// Bytes of the file when the scan began.
    pub(super) len: u64,
    /// Where the next record begins.
    pub(super) position: u64,
    /// The offset that the next record must have.
    pub(super) next: u64,
    synced: u64,
    chunk: Vec<u8>,
    chunk_at: u64,
}

impl<'a> Scan<'a> {
    /// Begins at the record with the offset `next`, which stands at `position`.
    pub(super) fn new(file: &'a File, seed: Seed, position: u64, next: u64) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, seed, len, position, next, synced: 0, chunk: Vec::new(), chunk_at: position })
    }

    pub(super) fn step(&mut self) -> io::Result<Step> {
        if self.position >= self.len {
            return Ok(Step::End);
        }
        let mut decoded = decode(self.ahead(), self.seed);
        if matches!(decoded, Decoded::Short(_)) && self.chunk_at + (self.chunk.len() as u64) < self.len {
            self.load()?;
            decoded = decode(self.ahead(), self.seed);
        }
        Ok(match decoded {
            Decoded::Whole(head) if head.offset != self.next => {
                Step::Bad("it is not the record that must follow")
            }
            Decoded::Whole(head) if head.synced_before > head.offset || head.synced_before < self.synced => {
                Step::Bad("it contradicts the records before it")
            }
            Decoded::Whole(head) => {
                let at = self.position;
                self.position += head.total_len() as u64;
                self.next += 1;
                self.synced = head.synced_before;
                Step::Record(head, at)
            }
            Decoded::Short(_) => Step::Bad("it is cut off by the end of the file"),
            Decoded::Bad(why) => Step::Bad(why),
        })
    }

    fn ahead(&self) -> &[u8] {
        usize::try_from(self.position - self.chunk_at)
            .ok()
            .and_then(|at| self.chunk.get(at..))
            .unwrap_or_default()
    }

    fn load(&mut self) -> io::Result<()> {
        self.chunk.resize(CHUNK_BYTES, 0);
        self.chunk_at = self.position;
        let read = read_up_to(self.file, &mut self.chunk, self.position)?;
        self.chunk.truncate(read);
        Ok(())
    }
}

/// Whole records that stand behind a bad one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Behind {
    /// Offset of the first of them.
    pub(super) first: Option<u64>,
    /// Offset of one that was written when the bad one was durable.
    pub(super) voucher: Option<u64>,
}

/// Searches for whole records behind the bad record with the offset `bad`, which begins at `position`, until one
/// vouches for it. No record begins at a known position there, so every position is tried.
pub(super) fn behind(file: &File, seed: Seed, position: u64, bad: u64) -> io::Result<Behind> {
    let len = file.metadata()?.len();
    let mut found = Behind::default();
    let mut window = vec![0; CHUNK_BYTES];
    let mut record = vec![0; CHUNK_BYTES];
    let mut at = position + 1;
    while at + RECORD_HEAD_LEN as u64 <= len {
        let read = read_up_to(file, &mut window, at)?;
        let mut skip = 0;
        while skip + RECORD_HEAD_LEN <= read {
            let here = at + skip as u64;
            let farthest = bad + (here - position) / RECORD_HEAD_LEN as u64;
            let likely = RecordHead::peek(&window[skip..read]).filter(|head| {
                (bad + 1..=farthest).contains(&head.offset) && head.synced_before <= head.offset
            });
            let whole = match likely {
                Some(head) => {
                    let record = &mut record[..head.total_len()];
                    read_up_to(file, record, here)? == record.len()
                        && decode(record, seed) == Decoded::Whole(head)
                }
                None => false,
            };
            let Some(head) = likely.filter(|_| whole) else {
                skip += 1;
                continue;
            };
            found.first = found.first.or(Some(head.offset));
            if head.synced_before > bad {
                found.voucher = Some(head.offset);
                return Ok(found);
            }
            skip += head.total_len();
        }
        if read < window.len() {
            break;
        }
        at += skip as u64;
    }
    Ok(found)
}

/// Damage that no crash explains.
pub(super) struct Damage<'a> {
    pub(super) partition: u32,
    pub(super) segment: &'a Path,
    pub(super) byte: u64,
    /// The first offset that is lost.
    pub(super) from: u64,
    /// One past the last that is lost, if it is known.
    pub(super) to: Option<u64>,
    pub(super) why: String,
}

impl From<Damage<'_>> for LogError {
    fn from(damage: Damage<'_>) -> Self {
        let Damage { partition, segment, byte, from, to, why } = damage;
        let to = to.map_or_else(|| "...".to_owned(), |to| to.to_string());
        let segment = segment.display();
        let why = format!(
            "partition {partition} is damaged: {segment}, byte {byte}: the records [{from}, {to}) can't be \
             read: {why}. \
             They had been acknowledged, so nothing was dropped or changed. Stop weir, keep a copy of the directory \
             and restore this file from a backup or the disk's mirror; the events of these offsets that ClickHouse \
             has are not affected"
        );
        Self::PartitionDamaged { partition, why }
    }
}
