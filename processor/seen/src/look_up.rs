//! Looking up a chunk of ids in everything but the table, in the order of their hashes: so filters and runs are read
//! front to back, and neighbours find their block read already.

use std::io;

use crate::block::Block;
use crate::disk::Runs;
use crate::entry::{Entry, Seen, high};
use crate::metrics;
use crate::table::Table;

/// An id that nobody has.
const NOWHERE: u64 = u64::MAX;

/// What is asked for, and its answers. Kept from chunk to chunk for its memory.
#[derive(Debug)]
pub(super) struct LookUp {
    /// The upper halves of hashes, and places in the chunk.
    asked: Vec<(u64, usize)>,
    /// First positions, by place.
    found: Vec<u64>,
    /// Places that a run's filter lets through.
    hits: Vec<usize>,
    keep_from: u64,
    block: Block,
}

impl LookUp {
    pub(super) fn new() -> Self {
        Self { asked: Vec::new(), found: Vec::new(), hits: Vec::new(), keep_from: 0, block: Block::empty() }
    }

    /// Begins a chunk of so many; ids that stand before `keep_from` are forgotten.
    pub(super) fn begin(&mut self, len: usize, keep_from: u64) {
        self.asked.clear();
        self.found.clear();
        self.found.resize(len, NOWHERE);
        self.keep_from = keep_from;
    }

    /// Asks for the id at `place` of the chunk.
    pub(super) fn ask(&mut self, place: usize, hash: u128) {
        self.asked.push((high(hash), place));
    }

    /// The places of what was found, with the first positions.
    pub(super) fn first_positions(
        &mut self,
        chunk: &[Seen],
        frozen: Option<&Table>,
        runs: &Runs,
    ) -> io::Result<impl Iterator<Item = (usize, u64)>> {
        self.asked.sort_unstable();
        if let Some(frozen) = frozen {
            for (_, place) in &self.asked {
                if let Some(position) = frozen.get(Entry::of(&chunk[*place]).key()) {
                    note(&mut self.found[*place], position, self.keep_from);
                }
            }
        }
        let mut reads = 0;
        for run in runs.iter().rev().filter(|run| run.header.last_position >= self.keep_from) {
            let hashes = self.asked.iter().map(|(_, place)| (*place, chunk[*place].hash.0));
            self.hits.clear();
            self.hits.extend(hashes.filter(|(_, hash)| run.may_have(*hash)).map(|(place, _)| place));
            self.block.forget();
            for place in &self.hits {
                let entry = Entry::of(&chunk[*place]);
                // What stands earlier in a younger run is a duplicate, wherever else it stands.
                if self.found[*place] < entry.position {
                    continue;
                }
                if let Some(position) = run.find(entry.key(), &mut self.block, &mut reads)? {
                    note(&mut self.found[*place], position, self.keep_from);
                }
            }
        }
        ::metrics::counter!(metrics::IDS_DISK_READS).increment(reads);
        let found = &self.found;
        Ok(self.asked.iter().map(|(_, place)| (*place, found[*place])).filter(|(_, first)| *first != NOWHERE))
    }
}

fn note(found: &mut u64, position: u64, keep_from: u64) {
    if position >= keep_from {
        *found = (*found).min(position);
    }
}
