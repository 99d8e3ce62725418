//! What the ledgers say, for those that compare.

use std::collections::{BTreeMap, BTreeSet};

use metering::ledger::Counts;
use processor::batch::Letters;
use processor::commit::{Contents, RangeSum};
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

/// Usage is billed by these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BilledHour {
    /// Whose, and when.
    pub(crate) of: HourOf,
    /// Start of the billing period. [`UNKNOWN`] where rows do not say: a version before wrote them.
    pub(crate) period: Micros,
}

/// A period that rows do not say.
pub(crate) const UNKNOWN: Micros = Micros(0);

/// What the ledgers say, as of one snapshot.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By partition: the cursor.
    pub(crate) cursors: BTreeMap<u32, u64>,
    /// By partition and first offset: the end, and the sums.
    pub(crate) ranges: BTreeMap<(u32, u64), (u64, RangeSum)>,
    pub(crate) usage: BTreeMap<BilledHour, Counts>,
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
    /// Tenants' hours that are not sealed while later ones are.
    pub(crate) passed_over: i64,
    /// What more is sealed of than usage has.
    pub(crate) oversealed: Vec<Oversealed>,
    /// How many periods have a quota, and those of which more or less is granted than is settled and leased.
    pub(crate) quotas: (i64, Vec<Quota>),
}

impl Books {
    /// What was counted of each hour, in whatever period.
    pub(crate) fn by_hour(&self) -> BTreeMap<HourOf, Counts> {
        let mut hours: BTreeMap<HourOf, Counts> = BTreeMap::new();
        for (hour, counts) in &self.usage {
            *hours.entry(hour.of).or_default() += *counts;
        }
        hours
    }

    /// The key of the ledger's range that has this offset; of none, the offset itself.
    pub(crate) fn range_at(&self, partition: u32, offset: u64) -> (u32, u64) {
        let at = (partition, offset);
        self.ranges.range(..=at).next_back().map_or(at, |(key, _)| *key)
    }

    /// How many events of a tenant's hour and period were taken out of the rows.
    pub(crate) fn erased_of(&self, tenant: TenantId, hour: Micros, period: Micros) -> u64 {
        let is_of = |of: &BilledHour| (of.of.tenant, of.of.hour, of.period) == (tenant, hour, period);
        let from = HourOf { tenant, project: ProjectId(i64::MIN), hour: Micros(i64::MIN) };
        let hours = self.erased.hours.range(BilledHour { of: from, period: Micros(i64::MIN) }..);
        let hours = hours.take_while(|(of, _)| of.of.tenant == tenant).filter(|(of, _)| is_of(of));
        hours.map(|(_, rows)| rows.unsigned_abs()).sum()
    }

    /// The ledger's ranges of a partition, in order.
    pub(crate) fn ranges_of(&self, partition: u32) -> Vec<LedgerRange> {
        let ranges = self.ranges.range((partition, 0)..=(partition, u64::MAX));
        let range =
            |(&(_, lo), &(hi, sum))| LedgerRange { lo, hi, sum, erased: self.erased.of(partition, lo) };
        ranges.map(range).collect()
    }
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

/// A span of which more is sealed than usage has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Oversealed {
    pub(crate) span: Span,
    pub(crate) sealed: i64,
    pub(crate) stored: i64,
}

/// What was taken out of the rows on purpose, as of the same snapshot.
#[derive(Debug, Default)]
pub(crate) struct Erasures {
    /// By partition and first offset.
    pub(crate) ranges: BTreeMap<(u32, u64), RangeSum>,
    /// By hour.
    pub(crate) hours: BTreeMap<BilledHour, i64>,
    /// Counted, but perhaps still there: these rows are not looked at.
    pub(crate) deleting: Option<Round>,
    /// The newest round that is counted.
    pub(crate) newest: i64,
}

impl Erasures {
    /// What was taken out of the range that begins at `lo`.
    pub(crate) fn of(&self, partition: u32, lo: u64) -> RangeSum {
        self.ranges.get(&(partition, lo)).copied().unwrap_or_default()
    }
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
}

impl Found {
    /// Whether that is what the ledger says.
    pub(crate) fn agrees(&self, range: &LedgerRange) -> bool {
        let (rows, xor_hash) = range.kept();
        (self.rows, self.positions, self.xor_hash) == (rows, rows, xor_hash)
            && range.contents().is_none_or(|contents| contents == self.contents)
    }
}
