//! What the ledgers say, for those that compare.

use std::collections::BTreeMap;

use metering::ledger::Counts;
use processor::commit::RangeSum;
use processor::dead::HourOf;
use processor::dead::heads::Head;

use crate::round::Round;

/// What the ledgers say, as of one snapshot.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By partition: the cursor.
    pub(crate) cursors: BTreeMap<u32, u64>,
    /// By partition and first offset: the end, and the sums.
    pub(crate) ranges: BTreeMap<(u32, u64), (u64, RangeSum)>,
    pub(crate) usage: BTreeMap<HourOf, Counts>,
    /// All dead letters, whatever has become of them.
    pub(crate) letters: Vec<Head>,
    pub(crate) erased: Erasures,
}

/// What was taken out of the rows on purpose, as of the same snapshot.
#[derive(Debug, Default)]
pub(crate) struct Erasures {
    /// By partition and first offset.
    pub(crate) ranges: BTreeMap<(u32, u64), RangeSum>,
    /// By hour.
    pub(crate) hours: BTreeMap<HourOf, i64>,
    /// Counted, but perhaps still there: these rows are not looked at.
    pub(crate) deleting: Option<Round>,
    /// The newest round that is counted.
    pub(crate) newest: i64,
}
