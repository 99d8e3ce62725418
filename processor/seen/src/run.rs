//! A run: ids in order, in a file that is never changed.
//!
//! ```text
//! header   one block: what follows and its checksums
//! filter   lines of 64 bytes
//! blocks   4 KiB each, from the next multiple of 4 KiB on
//! index    the upper half of the first hash of every n-th block
//! ```

mod header;
mod write;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::block::damaged;
use crate::block::{BLOCK_ENTRIES, BLOCK_LEN, Block, check, entry};
use crate::entry::{Entry, high};
use crate::filter::{Filter, LINE_LEN};
use crate::memory::{Memory, Taken};
pub(super) use header::Header;
pub(super) use write::RunWriter;

/// Entries of a run's index at most, 8 bytes each: between two of them blocks are found by how even hashes are.
const SAMPLES_MAX: u64 = 1 << 16;
/// Bytes of a filter that are read at once.
const FILTER_PIECE: usize = 1 << 20;
/// Reads by interpolation before a look-up halves what is left: where hashes are even, two are seldom needed.
const GUESSES: u32 = 3;

/// An open run.
#[derive(Debug)]
pub(super) struct Run {
    /// Its file's number.
    pub(super) number: u64,
    /// In which span of receipt its ids are.
    pub(super) span: i64,
    pub(super) header: Header,
    file: File,
    index: Vec<u64>,
    filter: OnceLock<(Filter, Taken)>,
    memory: Arc<Memory>,
    _index_bytes: Taken,
}

impl Run {
    /// Opens the run and checks all but its blocks, which are checked as they are read.
    pub(super) fn open(path: &Path, number: u64, span: i64, memory: &Arc<Memory>) -> io::Result<Self> {
        let file = File::open(path)?;
        let header = Header::read(&file)?;
        if file.metadata()?.len() != header.file_len() {
            return Err(damaged("its length is not what its header says".to_owned()));
        }
        let mut bytes = vec![0; header.index_len()];
        file.read_exact_at(&mut bytes, header.index_at())?;
        if crc32c::crc32c(&bytes) != header.index_crc {
            return Err(damaged("its index is damaged".to_owned()));
        }
        let index = bytes.chunks_exact(8).map(|at| at.try_into().map_or(0, u64::from_le_bytes)).collect();
        let index_bytes = memory.take(bytes.len() as u64);
        let run = Self {
            number,
            span,
            header,
            file,
            index,
            filter: OnceLock::new(),
            memory: Arc::clone(memory),
            _index_bytes: index_bytes,
        };
        run.load_filter()?;
        Ok(run)
    }

    /// Reads the filter, if there is memory for it. Without it each look-up reads a block.
    pub(super) fn load_filter(&self) -> io::Result<()> {
        if self.filter.get().is_some() {
            return Ok(());
        }
        let len = usize::try_from(self.header.filter_lines).unwrap_or(usize::MAX).saturating_mul(LINE_LEN);
        let Some(taken) = self.memory.take_if_free(len as u64) else { return Ok(()) };
        let mut filter = Filter::with_capacity(len / LINE_LEN);
        let mut piece = vec![0; FILTER_PIECE.min(len)];
        let (mut done, mut crc) = (0, 0);
        while done < len {
            let piece = &mut piece[..FILTER_PIECE.min(len - done)];
            self.file.read_exact_at(piece, BLOCK_LEN as u64 + done as u64)?;
            crc = crc32c::crc32c_append(crc, piece);
            filter.extend(piece);
            done += piece.len();
        }
        if crc != self.header.filter_crc {
            return Err(damaged("its filter is damaged".to_owned()));
        }
        // Another thread may have been faster: then this one's is dropped.
        let _ = self.filter.set((filter, taken));
        Ok(())
    }

    pub(super) fn has_filter(&self) -> bool {
        self.filter.get().is_some()
    }

    /// Whether the run may have an id of this hash.
    pub(super) fn may_have(&self, hash: u128) -> bool {
        self.filter.get().is_none_or(|(filter, _)| filter.may_have(hash))
    }

    /// The first position of a key, if the run has it. Adds the blocks that were read to `reads`.
    pub(super) fn find(
        &self,
        key: (u128, i64),
        block: &mut Block,
        reads: &mut u64,
    ) -> io::Result<Option<u64>> {
        let Bracket { mut low, mut high, mut from, mut to } = self.bracket(key.0);
        let target = super::entry::high(key.0);
        let mut tries = 0;
        while low < high {
            let middle = if tries < GUESSES {
                interpolate(low, high, target, from, to)
            } else {
                low + (high - low) / 2
            };
            tries += 1;
            *reads += u64::from(self.load(block, middle)?);
            if key < block.first().key() {
                (high, to) = (middle, block.first().high());
            } else if key > block.last().key() {
                (low, from) = (middle + 1, block.last().high());
            } else {
                return Ok(block.find(key));
            }
        }
        Ok(None)
    }

    /// The blocks between two entries of the index that can have the hash, and the hashes at their ends.
    fn bracket(&self, hash: u128) -> Bracket {
        let target = high(hash);
        let before = self.index.partition_point(|first| *first < target).saturating_sub(1);
        let after = self.index.partition_point(|first| *first <= target);
        let block_of =
            |sample: usize| (sample as u64).saturating_mul(self.header.sample_every).min(self.header.blocks);
        Bracket {
            low: block_of(before),
            high: block_of(after),
            from: self.index.get(before).copied().unwrap_or(0),
            to: self.index.get(after).copied().unwrap_or(u64::MAX),
        }
    }

    fn load(&self, block: &mut Block, number: u64) -> io::Result<bool> {
        let header = &self.header;
        let entries = header.entries_of(number);
        block.load(&self.file, header.id, number, entries, header.block_at(number))
    }

    /// Adds the entries of `blocks` blocks from `first` on to `entries`, checked.
    pub(super) fn read_blocks(
        &self,
        first: u64,
        blocks: usize,
        entries: &mut Vec<Entry>,
        bytes: &mut Vec<u8>,
    ) -> io::Result<()> {
        bytes.resize(blocks * BLOCK_LEN, 0);
        self.file.read_exact_at(bytes, self.header.block_at(first))?;
        for (number, block) in (first..).zip(bytes.chunks_exact(BLOCK_LEN)) {
            check(block, self.header.id, number)?;
            entries.extend((0..self.header.entries_of(number)).map(|place| entry(block, place)));
        }
        Ok(())
    }
}

/// Blocks `[low, high)`, with hashes from `from` to `to`.
struct Bracket {
    low: u64,
    high: u64,
    from: u64,
    to: u64,
}

/// Where in `[low, high)` the target should be if hashes from `from` to `to` are spread evenly.
fn interpolate(low: u64, high: u64, target: u64, from: u64, to: u64) -> u64 {
    let (width, into) = (u128::from(to.saturating_sub(from)), u128::from(target.saturating_sub(from)));
    let guess = u128::from(high - low) * into.min(width) / width.max(1);
    u64::try_from(guess).map_or(high - 1, |guess| (low + guess).min(high - 1))
}

/// Blocks that hold so many entries.
fn blocks_for(entries: u64) -> u64 {
    entries.div_ceil(BLOCK_ENTRIES as u64)
}
