//! Many runs into one, in bounded memory: a piece of each is read, and what is smaller than all that has not been read
//! yet is sorted and written. The pieces are sorted already, which the standard library's stable sort makes use of.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::entry::Entry;
use crate::run::{Header, Run, RunWriter};

/// Blocks of each run that are read at once: 128 KiB.
const PIECE_BLOCKS: u64 = 32;

/// Merges `runs` into a new file, without what stands before `keep_from`, and each id once with its first position.
/// `Ok(None)`: nothing was left, or `is_cancelled` said so.
pub(super) fn merge(
    runs: &[Arc<Run>],
    path: &Path,
    keep_from: u64,
    is_cancelled: impl Fn() -> bool,
) -> io::Result<Option<Header>> {
    let ids_max = runs.iter().map(|run| run.header.ids).sum();
    let mut writer = RunWriter::create(path, ids_max)?;
    let mut inputs: Vec<Input> = runs.iter().map(|run| Input::of(run, keep_from)).collect();
    let (mut sorted, mut bytes) = (Vec::new(), Vec::new());
    let mut last: Option<Entry> = None;
    loop {
        if is_cancelled() {
            return Ok(None);
        }
        for input in &mut inputs {
            input.fill(&mut bytes)?;
        }
        // All that is not read yet is greater than this.
        let bound = inputs.iter().filter(|input| !input.is_last_piece()).filter_map(Input::greatest).min();
        sorted.clear();
        inputs.iter_mut().for_each(|input| input.take(bound, &mut sorted));
        if sorted.is_empty() && inputs.iter().all(Input::is_done) {
            return writer.finish();
        }
        sorted.sort();
        for entry in &sorted {
            // Of one id the first position comes first.
            if last.is_none_or(|last| last.key() != entry.key()) {
                writer.push(entry)?;
                last = Some(*entry);
            }
        }
    }
}

/// A run as it is being merged.
struct Input<'a> {
    run: &'a Run,
    keep_from: u64,
    next_block: u64,
    piece: Vec<Entry>,
    taken: usize,
}

impl<'a> Input<'a> {
    fn of(run: &'a Run, keep_from: u64) -> Self {
        Self { run, keep_from, next_block: 0, piece: Vec::new(), taken: 0 }
    }

    /// Reads the next piece if this one is used up.
    fn fill(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        while self.taken == self.piece.len() && !self.is_last_piece() {
            let blocks = PIECE_BLOCKS.min(self.run.header.blocks - self.next_block);
            self.piece.clear();
            self.taken = 0;
            let count = usize::try_from(blocks).unwrap_or(usize::MAX);
            self.run.read_blocks(self.next_block, count, &mut self.piece, bytes)?;
            self.next_block += blocks;
            self.piece.retain(|entry| entry.position >= self.keep_from);
        }
        Ok(())
    }

    fn is_last_piece(&self) -> bool {
        self.next_block == self.run.header.blocks
    }

    fn is_done(&self) -> bool {
        self.is_last_piece() && self.taken == self.piece.len()
    }

    fn greatest(&self) -> Option<(u128, i64)> {
        self.piece.last().map(Entry::key)
    }

    /// Moves what is not greater than `bound` to `sorted`; without a bound, all.
    fn take(&mut self, bound: Option<(u128, i64)>, sorted: &mut Vec<Entry>) {
        let rest = &self.piece[self.taken..];
        let count = bound.map_or(rest.len(), |bound| rest.partition_point(|entry| entry.key() <= bound));
        sorted.extend_from_slice(&rest[..count]);
        self.taken += count;
    }
}
