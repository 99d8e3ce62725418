//! What a proof comes to.

use serde::Serialize;

use crate::head::Head;

/// Mismatches that are named one by one; the others are counted.
const NAMED_MAX: usize = 20;

/// The verdict.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    /// Events in the log, of the ranges that it still has whole.
    pub accepted: i64,
    /// Events in the log's ranges that are no longer whole: their counts are the batch ledger's alone.
    pub beyond_log: i64,
    /// Counted as stored, and billed.
    pub stored: i64,
    /// Counted as duplicates.
    pub duplicate: i64,
    /// Counted as dead letters.
    pub dead: i64,
    /// Rows in ClickHouse.
    pub rows: i64,
    /// Of these, whose contents the ledger has a hash of.
    pub hashed: i64,
    /// Whose contents nothing is known of: rows of a version before, and those that share a range with one.
    pub unhashed: i64,
    /// Accepted events of ranges of which only that number is proved: the first ones of some ids may have been erased
    /// for their age before the log's beginning.
    pub undecided: i64,
    /// Rows that were enriched by other rules or with another geo database than today's: the log can't say what these
    /// put into them.
    pub enriched_otherwise: i64,
    /// Rows that were stored and erased: at somebody's request, or for their age.
    pub erased: i64,
    /// Whether some of these are still being deleted.
    pub erasing: bool,
    /// Billing periods of tenants of which is proved that what was granted is stored or held by nodes.
    pub quotas: i64,
    /// Seals of tenants' hours that were checked.
    pub seals: i64,
    /// Of these, whose rows were erased for their age: the signed root is left.
    pub seals_without_rows: i64,
    /// Tenants' hours that are not sealed while later ones of the same tenant are: their rows were erased before, came
    /// late just now, or do not agree with usage.
    pub unsealed: i64,
    /// Partitions of the log that can't be read: nothing is proved of their events.
    pub unread: Vec<Unread>,
    /// Of each partition: what its ledger comes to, to be kept.
    pub heads: Vec<Head>,
    /// What does not agree, the first few.
    pub mismatches: Vec<String>,
    /// How many do not agree.
    pub mismatch_count: usize,
}

/// A partition that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// Its number.
    pub partition: u32,
    /// How many events its ledger has.
    pub events: i64,
    /// What the log says.
    pub why: String,
}

impl Verdict {
    /// Whether everything could be read and agrees.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.mismatch_count == 0 && self.unread.is_empty()
    }

    pub(crate) fn expect<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: impl FnOnce() -> String,
        left: (&str, &T),
        right: (&str, &T),
    ) {
        if left.1 == right.1 {
            return;
        }
        self.mismatch_count += 1;
        if self.mismatches.len() < NAMED_MAX {
            self.mismatches.push(format!("{}: {} {:?}, {} {:?}", what(), left.0, left.1, right.0, right.1));
        }
    }
}
