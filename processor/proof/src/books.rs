//! What the ledgers say, for those that compare.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use evidence::Hash;
use processor::batch::Letters;
use processor::commit::{Contents, RangeSum};
use schemas::id::{Position, ProjectId, TenantId};
use schemas::time::Micros;
use serde::Serialize;

use crate::round::Round;

/// Usage is compared by these, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HourOf {
    /// Start of the UTC hour of receipt.
    pub(crate) hour: Micros,
    /// Who pays.
    pub(crate) tenant: TenantId,
    /// For which stream.
    pub(crate) project: ProjectId,
}

/// Usage is billed by these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BilledHour {
    /// Whose, and when.
    pub(crate) of: HourOf,
    /// Start of the billing period. [`UNKNOWN`] where rows do not say: a version before wrote them.
    pub(crate) period: Micros,
}

/// In place of a project, for what is said of all projects of a tenant.
pub(crate) const ALL_PROJECTS: ProjectId = ProjectId(i64::MIN);
/// A period that rows do not say.
pub(crate) const UNKNOWN: Micros = Micros(0);

/// What the ledgers say, as of one snapshot. What they say of hours is on disk ([`crate::runs`]): there is a row for
/// each tenant that did anything in it. A range takes 150 bytes, and is of some thousands of events.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By partition: the cursor.
    pub(crate) cursors: BTreeMap<u32, u64>,
    /// By partition, in order.
    pub(crate) ranges: BTreeMap<u32, Arc<Vec<LedgerRange>>>,
    /// Where dead letters stand, whatever has become of them: a newer weir may read what this ledger counts as dead.
    pub(crate) letters: Letters,
    /// As what each was counted: accepted events, `None` under no tenant.
    pub(crate) dead: BTreeMap<(u32, Position), (Option<HourOf>, i64)>,
    /// Of the letters, those whose events a version before stored where they stand: the ledgers count them as what
    /// they became.
    pub(crate) stored_letters: BTreeSet<(u32, Position)>,
    pub(crate) erased: Erasures,
    /// Rows of usage of other meters than events.
    pub(crate) other_meters: i64,
    /// By tenant: its last hour that is sealed.
    pub(crate) sealed_to: HashMap<TenantId, Micros>,
    /// How many periods have a quota, and those of which more or less is granted than is settled and leased.
    pub(crate) quotas: (i64, Vec<Quota>),
}

impl Books {
    /// The ledger's ranges of a partition, in order.
    pub(crate) fn ranges_of(&self, partition: u32) -> &[LedgerRange] {
        self.ranges.get(&partition).map_or(&[], |ranges| ranges.as_slice())
    }

    /// The range that begins there.
    pub(crate) fn range(&self, partition: u32, lo: u64) -> Option<&LedgerRange> {
        let ranges = self.ranges_of(partition);
        ranges.get(ranges.binary_search_by_key(&lo, |range| range.lo).ok()?)
    }

    /// One past the last offset of each partition that is compared, by its number.
    pub(crate) fn ends(&self) -> Vec<u64> {
        let partitions = self.cursors.keys().next_back().map_or(0, |last| last + 1);
        (0..partitions).map(|partition| self.cursors.get(&partition).copied().unwrap_or(0)).collect()
    }
}

/// Which of the ranges, that are in order, has this offset.
pub(crate) fn range_at(ranges: &[LedgerRange], offset: u64) -> Option<usize> {
    ranges.partition_point(|range| range.lo <= offset).checked_sub(1)
}

/// A period's quota, and what it must be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) tenant: TenantId,
    pub(crate) period: Micros,
    pub(crate) granted: i64,
    /// What is used for good: events that were stored.
    pub(crate) settled: i64,
    /// What nodes hold: not spent, or accepted and not processed.
    pub(crate) leased: i64,
}

/// What is sealed together: one seal has all of it, unless some of it came late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    /// Start of the hour of receipt.
    pub(crate) hour: Micros,
    pub(crate) tenant: TenantId,
    /// Start of the billing period.
    pub(crate) period: Micros,
}

/// A sealed part of the period: a tenant's hour, or what came late of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// Number of the seal in the tenant's chain.
    pub number: u64,
    /// Start of the hour, in unix seconds.
    pub hour: i64,
    /// How many events it has.
    pub events: u64,
    /// Root of its tree.
    pub root: Hash,
}

/// What was taken out of the rows on purpose, as of the same snapshot: the sums stand with the ranges and hours.
#[derive(Debug, Default)]
pub(crate) struct Erasures {
    /// Whose rows, and the last hour that any of them was received in.
    pub(crate) tenants: BTreeMap<TenantId, Micros>,
    /// Counted, but perhaps still there: these rows are not looked at.
    pub(crate) deleting: Option<Round>,
    /// The newest round that is counted.
    pub(crate) newest: i64,
}

/// A range of the log with what the ledger says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LedgerRange {
    pub(crate) lo: u64,
    pub(crate) hi: u64,
    pub(crate) sum: RangeSum,
    /// Of these, what was taken out of the rows since.
    pub(crate) erased: RangeSum,
}

impl LedgerRange {
    /// How many rows there must be, and the exclusive or over their hashes.
    pub(crate) fn kept(&self) -> (i64, i64) {
        (self.sum.counts.stored - self.erased.counts.stored, self.sum.xor_hash ^ self.erased.xor_hash)
    }

    /// What must be in them; `None` where the ledger does not know it of all.
    pub(crate) fn contents(&self) -> Option<Contents> {
        let (all, erased) = (self.sum.contents, self.erased.contents);
        let kept = Contents { hashed: all.hashed - erased.hashed, xor: all.xor ^ erased.xor };
        (kept.hashed == self.kept().0).then_some(kept)
    }
}

/// What ClickHouse has in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Found {
    pub(crate) rows: i64,
    pub(crate) positions: i64,
    pub(crate) xor_hash: i64,
    pub(crate) contents: Contents,
    /// Rows that are not what their hash was made of, if that was looked at.
    pub(crate) altered: i64,
}

impl Found {
    /// Whether that is what the ledger says.
    pub(crate) fn agrees(&self, range: &LedgerRange) -> bool {
        let (rows, xor_hash) = range.kept();
        (self.rows, self.positions, self.xor_hash) == (rows, rows, xor_hash)
            && range.contents().is_none_or(|contents| contents == self.contents)
    }
}
