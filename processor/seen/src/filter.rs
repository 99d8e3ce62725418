//! Which ids a run can't have: a blocked Bloom filter. Eight bits an id, all in one cache line, which its upper half
//! names and its lower half fills. Lines are in the order of ids, so that a filter is written front to back while
//! ids are merged, and a sorted batch reads it front to back.

use crate::entry::{high, low, share};

/// Bytes of a line.
pub(super) const LINE_LEN: usize = 64;
/// Bits for each id in a run of up to [`SMALL`] ids: one id in 2,000 that is not there seems to be.
const BITS_SMALL: u64 = 16;
/// Bits for each id in a larger run: one in 100.
const BITS_LARGE: u64 = 10;
/// Most runs are small, and most ids are in large ones: there memory counts, here the reads that it saves.
const SMALL: u64 = 4 << 20;

/// A cache line of the filter.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct Line([u64; 8]);

impl Line {
    pub(super) fn add(&mut self, hash: u128) {
        let mut bits = low(hash) >> SPENT_BITS;
        for word in &mut self.0 {
            *word |= 1 << (bits & 63);
            bits >>= 6;
        }
    }

    fn has(&self, hash: u128) -> bool {
        let mut bits = low(hash) >> SPENT_BITS;
        let mut all = 1;
        for word in &self.0 {
            all &= word >> (bits & 63);
            bits >>= 6;
        }
        all == 1
    }

    pub(super) fn to_bytes(self) -> [u8; LINE_LEN] {
        let mut bytes = [0; LINE_LEN];
        for (to, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let mut line = Self::default();
        for (word, from) in line.0.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = from.try_into().map_or(0, u64::from_le_bytes);
        }
        line
    }
}

/// The lowest bits of a hash decide its partition: within one they say nothing.
const SPENT_BITS: u32 = 16;

/// Lines of the filter for a run of so many ids.
pub(super) fn lines_for(ids: u64) -> u64 {
    let bits = if ids <= SMALL { BITS_SMALL } else { BITS_LARGE };
    (ids.saturating_mul(bits)).div_ceil(LINE_LEN as u64 * 8).max(1)
}

/// The line of `lines` in which an id is.
pub(super) fn line_of(hash: u128, lines: usize) -> usize {
    share(high(hash), lines)
}

/// A filter in memory.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<Line>);

impl Filter {
    pub(super) fn with_capacity(lines: usize) -> Self {
        Self(Vec::with_capacity(lines))
    }

    /// Adds lines as they are in the file.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.chunks_exact(LINE_LEN).map(Line::from_bytes));
    }

    /// Whether the run may have the id.
    pub(super) fn may_have(&self, hash: u128) -> bool {
        self.0.get(line_of(hash, self.0.len())).is_none_or(|line| line.has(hash))
    }
}

#[cfg(test)]
mod tests {
    use schemas::id::{EventHash, ProjectId};

    use super::*;

    fn hash(n: u64) -> u128 {
        // One of 64 partitions: what the lowest bits of its hashes are, all have in common.
        EventHash::of(ProjectId(1), &n.to_string()).0 & !63
    }

    fn wrong(ids: u64, lines: u64) -> usize {
        let mut lines = vec![Line::default(); usize::try_from(lines).unwrap()];
        let count = lines.len();
        (0..ids).for_each(|n| lines[line_of(hash(n), count)].add(hash(n)));
        let mut filter = Filter::with_capacity(count);
        lines.iter().for_each(|line| filter.extend(&line.to_bytes()));
        assert!((0..ids).all(|n| filter.may_have(hash(n))));
        (ids..ids + 100_000).filter(|n| filter.may_have(hash(*n))).count()
    }

    #[test]
    fn it_never_hides_an_id_and_seldom_shows_one_that_is_not_there() {
        let small = wrong(100_000, lines_for(100_000));
        assert!(small < 120, "{small} of 100,000");
        let large = wrong(100_000, 100_000 * BITS_LARGE / 512);
        assert!((500..1_400).contains(&large), "{large} of 100,000");
    }

    #[test]
    fn large_runs_have_fewer_bits_an_id() {
        assert_eq!(lines_for(SMALL), SMALL / 32);
        assert_eq!(lines_for(SMALL + 1), ((SMALL + 1) * 10).div_ceil(512));
        assert_eq!(lines_for(0), 1);
    }
}
