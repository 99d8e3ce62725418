//! Judging again, by the rule alone: an event is a duplicate if and only if its id is stored at an earlier position
//! within the dedup window.
//!
//! Nothing of the store of seen ids is used here, so that the proof does not repeat its errors. Near the end of the
//! window it is not the log that decides: a store forgets ids when it comes to it. Such a repetition may be stored
//! or not, as its row is there or not.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use metering::ledger::Counts;
use processor::commit::RangeSum;
use schemas::id::Position;
use schemas::time::Micros;

use super::aside::Entry;
use crate::books::{BilledHour, Books, HourOf};

/// How much earlier than the window's end a store may have forgotten an id: it counts by hours, and by what has been
/// received when it looks.
const SLACK: i64 = 24 * Micros::HOUR;

/// What the log comes to.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// By partition and first offset of the ledger's range; `contents.hashed` is not counted.
    pub(super) ranges: BTreeMap<(u32, u64), RangeSum>,
    /// Each counts for the account of the same place.
    pub(super) counts: Vec<Counts>,
    pub(super) accounts: Vec<BilledHour>,
    /// What is not known of which: only how many were accepted.
    pub(super) undecided: Undecided,
    /// Events of ids of which some can be judged only with a look at the rows.
    open: Vec<Entry>,
}

/// Ranges and hours with an event that only its row could have judged, while rows were taken out; or with a letter
/// whose events a version before stored where it stands.
#[derive(Debug, Default)]
pub(super) struct Undecided {
    pub(super) ranges: BTreeSet<(u32, u64)>,
    pub(super) hours: BTreeSet<HourOf>,
}

impl Undecided {
    fn of(books: &Books) -> Self {
        let mut undecided = Self::default();
        for letter @ &(partition, position) in &books.stored_letters {
            undecided.ranges.insert(books.range_at(partition, position.offset()));
            undecided.hours.extend(books.dead.get(letter).and_then(|(hour, _)| *hour));
        }
        undecided
    }
}

/// Ends an event's way.
enum Outcome {
    Stored,
    Duplicate,
    /// Within the slack.
    Either,
}

/// What is known of an id so far.
struct Id {
    window: i64,
    /// When its latest stored event was received.
    stored: Option<Micros>,
}

impl Id {
    fn outcome(&self, entry: &Entry) -> Outcome {
        match self.stored {
            None => Outcome::Stored,
            Some(stored) if stored.0 >= entry.newest.0.saturating_sub(self.window - SLACK) => {
                Outcome::Duplicate
            }
            Some(_) => Outcome::Either,
        }
    }

    fn is_stored(&mut self, at: Micros) {
        self.stored = self.stored.max(Some(at));
    }
}

impl Judged {
    /// Nothing yet.
    pub(super) fn begin(accounts: Vec<BilledHour>, books: &Books) -> Self {
        let (counts, undecided) = (vec![Counts::default(); accounts.len()], Undecided::of(books));
        Self { counts, accounts, undecided, ..Self::default() }
    }

    /// Judges a part of what was set aside, except what only rows decide. `window` is in microseconds.
    pub(super) fn add(&mut self, part: &[Entry], books: &Books, window: i64) {
        for id in part.chunk_by(Entry::is_of_id) {
            if !self.settle(id, books, window, |_| None) {
                self.open.extend(id);
            }
        }
    }

    /// Positions that rows decide over, by partition.
    pub(super) fn open(&self) -> BTreeMap<u32, Vec<Position>> {
        let mut open: BTreeMap<u32, Vec<Position>> = BTreeMap::new();
        for entry in self.open.iter().filter(|entry| entry.account != Entry::KNOWN) {
            open.entry(entry.partition).or_default().push(entry.position);
        }
        open
    }

    /// Judges what is open, given which of its positions have, or had, a row.
    pub(super) fn close(&mut self, present: &HashSet<(u32, Position)>, books: &Books, window: i64) {
        let open = std::mem::take(&mut self.open);
        for id in open.chunk_by(Entry::is_of_id) {
            self.settle(id, books, window, |entry| {
                Some(present.contains(&(entry.partition, entry.position)))
            });
        }
        for entry in open.iter().filter(|entry| entry.account != Entry::KNOWN) {
            let range = books.range_at(entry.partition, entry.position.offset());
            let is_absent = !present.contains(&(entry.partition, entry.position));
            if is_absent && books.erased.of(range.0, range.1).counts.stored > 0 {
                self.undecided.ranges.insert(range);
                self.undecided
                    .hours
                    .extend(self.accounts.get(entry.account as usize).map(|account| account.of));
            }
        }
    }

    /// Counts the events of an id, in order; or none of them, if one of them needs a look at the rows.
    fn settle(
        &mut self,
        events: &[Entry],
        books: &Books,
        window: i64,
        is_present: impl Fn(&Entry) -> Option<bool>,
    ) -> bool {
        let mut verdicts = Vec::with_capacity(events.len());
        let mut id = Id { window, stored: None };
        for entry in events {
            if entry.account == Entry::KNOWN {
                id.is_stored(entry.received_at);
                continue;
            }
            let is_stored = match id.outcome(entry) {
                Outcome::Stored => true,
                Outcome::Duplicate => false,
                Outcome::Either => match is_present(entry) {
                    Some(is_present) => is_present,
                    None => return false,
                },
            };
            if is_stored {
                id.is_stored(entry.received_at);
            }
            verdicts.push((entry, is_stored));
        }
        for (entry, is_stored) in verdicts {
            self.count(entry, is_stored, books);
        }
        true
    }

    fn count(&mut self, entry: &Entry, is_stored: bool, books: &Books) {
        let mut counts = Counts::default();
        let sum = self.ranges.entry(books.range_at(entry.partition, entry.position.offset())).or_default();
        if is_stored {
            counts.stored = 1;
            sum.xor_hash ^= entry.hash.low_bits();
            sum.contents.xor ^= entry.contents;
        } else {
            counts.duplicate = 1;
        }
        sum.counts += counts;
        if let Some(account) = self.counts.get_mut(entry.account as usize) {
            *account += counts;
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::id::{EventHash, ProjectId, TenantId};

    use super::super::aside::Aside;
    use super::*;

    const WINDOW: i64 = 7 * 24 * Micros::HOUR;

    fn entry(hash: u128, offset: u64, hour: i64) -> Entry {
        let at = Micros(hour * Micros::HOUR);
        Entry {
            project: ProjectId(1),
            hash: EventHash(hash << 100),
            partition: 0,
            account: 0,
            position: Position::first_of(offset),
            received_at: at,
            newest: at,
            contents: 1 << offset,
        }
    }

    fn judged(entries: &[Entry]) -> (Judged, Books) {
        let scratch = std::env::temp_dir().join("weir-judge-tests");
        let mut aside = Aside::in_parts(&scratch, 5).unwrap();
        entries.iter().rev().for_each(|entry| aside.add(&[*entry]).unwrap());
        let of = HourOf { tenant: TenantId(1), project: ProjectId(1), hour: Micros(0) };
        let (books, accounts) = (Books::default(), vec![BilledHour { of, period: Micros(0) }]);
        let mut parts = aside.finish().unwrap();
        let mut judged = Judged::begin(accounts, &books);
        while let Some(part) = parts.next().unwrap() {
            judged.add(&part, &books, WINDOW);
        }
        (judged, books)
    }

    fn stored_at(judged: &Judged) -> i64 {
        judged.ranges.values().fold(0, |xor, sum| xor ^ sum.contents.xor)
    }

    #[test]
    fn the_first_of_an_id_is_stored_and_the_others_are_not_in_whatever_order_they_come() {
        let (judged, _) =
            judged(&[entry(1, 0, 0), entry(1, 1, 1), entry(2, 2, 1), entry(1, 3, 140), entry(9, 4, 0)]);
        assert_eq!(stored_at(&judged), 0b10101);
        assert_eq!((judged.counts[0].stored, judged.counts[0].duplicate), (3, 2));
        assert!(judged.open().is_empty());
    }

    #[test]
    fn near_the_end_of_the_window_the_row_says_which_and_what_follows_is_counted_from_it() {
        let entries = [entry(1, 0, 0), entry(1, 1, 160), entry(1, 2, 170), entry(1, 3, 310), entry(2, 4, 0)];
        let (mut one, books) = judged(&entries);
        assert_eq!(stored_at(&one), 0b10000, "the other id is judged");
        let open = one.open();
        assert_eq!(open[&0], [0, 1, 2, 3].map(Position::first_of));
        one.close(&HashSet::from([(0, Position::first_of(1))]), &books, WINDOW);
        assert_eq!(stored_at(&one), 0b10011, "the one at 310 is a repetition of the one at 160");
        let (mut none, books) = judged(&entries);
        none.close(&HashSet::new(), &books, WINDOW);
        assert_eq!(stored_at(&none), 0b10001, "nothing says that they were stored");
    }

    #[test]
    fn what_stands_before_the_log_makes_a_repetition_and_counts_for_nothing() {
        let known = Entry { account: Entry::KNOWN, ..entry(1, 0, 0) };
        let (judged, _) = judged(&[known, entry(1, 1, 1)]);
        assert_eq!((stored_at(&judged), judged.counts[0].duplicate), (0, 1));
    }
}
