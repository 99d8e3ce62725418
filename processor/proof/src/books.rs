//! What the ledgers say, for those that compare.

use std::collections::BTreeMap;

use metering::ledger::Counts;
use processor::batch::Letters;
use processor::commit::RangeSum;
use schemas::id::{Position, ProjectId, TenantId};
use schemas::time::Micros;

use crate::round::Round;

/// Usage is compared by these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HourOf {
    /// Who pays.
    pub(crate) tenant: TenantId,
    /// For which stream.
    pub(crate) project: ProjectId,
    /// Start of the UTC hour of receipt.
    pub(crate) hour: Micros,
}

/// What the ledgers say, as of one snapshot.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By partition: the cursor.
    pub(crate) cursors: BTreeMap<u32, u64>,
    /// By partition and first offset: the end, and the sums.
    pub(crate) ranges: BTreeMap<(u32, u64), (u64, RangeSum)>,
    pub(crate) usage: BTreeMap<HourOf, Counts>,
    /// Where dead letters stand, whatever has become of them: a newer weir may read what this ledger counts as dead.
    pub(crate) letters: Letters,
    /// As what each was counted: accepted events, `None` under no tenant.
    pub(crate) dead: BTreeMap<(u32, Position), (Option<HourOf>, i64)>,
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
