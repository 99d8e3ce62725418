//! Judging again, by the rule alone: an event is a duplicate if and only if its id is stored at an earlier position
//! within the dedup window.
//!
//! Nothing of the store of seen ids is used here, so that the proof does not repeat its errors. Near the end of the
//! window it is not the log that decides: a store forgets ids when it comes to it. Such a repetition may be stored
//! or not, as its row is there or not.

use std::collections::{BTreeSet, HashSet};
use std::io;

use metering::ledger::Counts;
use processor::commit::RangeSum;
use schemas::id::Position;
use schemas::time::Micros;

use super::aside::Entry;
use super::by_log::ByLog;
use crate::books::LedgerRange;

/// How much earlier than the window's end a store may have forgotten an id: it counts by hours, and by what has been
/// received when it looks.
const SLACK: i64 = 24 * Micros::HOUR;

/// What a partition of the log comes to.
#[derive(Debug)]
pub(super) struct Judged {
    /// In microseconds.
    window: i64,
    /// By the place of the ledger's range; `contents.hashed` is not counted.
    pub(super) ranges: Vec<RangeSum>,
    /// Of these only is known how many events were accepted, as in [`ByLog::undecided`].
    pub(super) undecided: BTreeSet<usize>,
    /// And of all partitions by hour.
    pub(super) by_log: ByLog,
    /// Events of ids of which some can be judged only with a look at the rows.
    open: Vec<Entry>,
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
    /// Nothing yet, of so many ranges.
    pub(super) fn begin(by_log: ByLog, ranges: usize, window: i64) -> Self {
        let ranges = vec![RangeSum::default(); ranges];
        Self { window, ranges, undecided: BTreeSet::new(), by_log, open: Vec::new() }
    }

    /// Judges a part of what was set aside, except what only rows decide.
    pub(super) fn add(&mut self, part: &[Entry]) -> io::Result<()> {
        for id in part.chunk_by(Entry::is_of_id) {
            if !self.settle(id, |_| None)? {
                self.open.extend(id);
            }
        }
        Ok(())
    }

    /// Positions that rows decide over.
    pub(super) fn open(&self) -> Vec<Position> {
        let is_sought = |entry: &&Entry| entry.account != Entry::KNOWN;
        self.open.iter().filter(is_sought).map(|entry| entry.position).collect()
    }

    /// Judges what is open, given which of its positions have, or had, a row.
    pub(super) fn close(&mut self, present: &HashSet<Position>, ranges: &[LedgerRange]) -> io::Result<()> {
        let open = std::mem::take(&mut self.open);
        for id in open.chunk_by(Entry::is_of_id) {
            self.settle(id, |entry| Some(present.contains(&entry.position)))?;
        }
        for entry in open.iter().filter(|entry| entry.account != Entry::KNOWN) {
            let place = entry.range as usize;
            let is_erased = ranges.get(place).is_some_and(|range| range.erased.counts.stored > 0);
            if is_erased && !present.contains(&entry.position) {
                self.undecided.insert(place);
                let hour = self.by_log.hour(entry.account, entry.received_at.hour());
                self.by_log.undecided.extend(hour.map(|hour| hour.of));
            }
        }
        Ok(())
    }

    /// Counts the events of an id, in order; or none of them, if one of them needs a look at the rows.
    fn settle(&mut self, events: &[Entry], is_present: impl Fn(&Entry) -> Option<bool>) -> io::Result<bool> {
        // Most ids come once.
        if let [entry] = events {
            if entry.account != Entry::KNOWN {
                self.count(entry, true)?;
            }
            return Ok(true);
        }
        let mut verdicts = Vec::with_capacity(events.len());
        let mut id = Id { window: self.window, stored: None };
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
                    None => return Ok(false),
                },
            };
            if is_stored {
                id.is_stored(entry.received_at);
            }
            verdicts.push((entry, is_stored));
        }
        for (entry, is_stored) in verdicts {
            self.count(entry, is_stored)?;
        }
        Ok(true)
    }

    fn count(&mut self, entry: &Entry, is_stored: bool) -> io::Result<()> {
        let mut counts = Counts::default();
        let Some(sum) = self.ranges.get_mut(entry.range as usize) else { return Ok(()) };
        if is_stored {
            counts.stored = 1;
            sum.xor_hash ^= entry.hash.low_bits();
            sum.contents.xor ^= entry.contents;
        } else {
            counts.duplicate = 1;
        }
        sum.counts += counts;
        self.by_log.add(entry.account, entry.received_at.hour(), counts)
    }
}

#[cfg(test)]
mod tests {
    use schemas::id::{EventHash, ProjectId, TenantId};

    use super::super::aside::Aside;
    use super::super::by_log::Payer;
    use super::*;
    use crate::runs::{Runs, merge};

    const WINDOW: i64 = 7 * 24 * Micros::HOUR;

    fn entry(hash: u128, offset: u64, hour: i64) -> Entry {
        let at = Micros(hour * Micros::HOUR);
        Entry {
            project: ProjectId(1),
            hash: EventHash(hash << 100),
            range: 0,
            account: 0,
            position: Position::first_of(offset),
            received_at: at,
            newest: at,
            contents: 1 << offset,
        }
    }

    fn judged(entries: &[Entry]) -> Judged {
        let scratch = std::env::temp_dir().join("weir-judge-tests");
        let mut aside = Aside::in_parts(&scratch, 5).unwrap();
        entries.iter().rev().for_each(|entry| aside.add(&[*entry]).unwrap());
        let mut by_log = ByLog::begin(Runs::begin(&scratch).unwrap());
        by_log.place(Payer { tenant: TenantId(1), project: ProjectId(1), period: Micros(0) });
        let mut parts = aside.finish().unwrap();
        let mut judged = Judged::begin(by_log, 1, WINDOW);
        while let Some(part) = parts.next().unwrap() {
            judged.add(&part).unwrap();
        }
        judged
    }

    fn stored_at(judged: &Judged) -> i64 {
        judged.ranges[0].contents.xor
    }

    #[test]
    fn the_first_of_an_id_is_stored_and_the_others_are_not_in_whatever_order_they_come() {
        let judged =
            judged(&[entry(1, 0, 0), entry(1, 1, 1), entry(2, 2, 1), entry(1, 3, 140), entry(9, 4, 0)]);
        assert_eq!(stored_at(&judged), 0b10101);
        assert_eq!((judged.ranges[0].counts.stored, judged.ranges[0].counts.duplicate), (3, 2));
        assert!(judged.open().is_empty());
        let mut by_hour = Vec::new();
        let runs = judged.by_log.finish().unwrap();
        merge(&[&runs], |line| {
            by_hour.push((
                line.hour.of.hour.0 / Micros::HOUR,
                line.sums.judged.stored,
                line.sums.judged.duplicate,
            ));
            Ok(())
        })
        .unwrap();
        assert_eq!(by_hour, [(0, 2, 0), (1, 1, 1), (140, 0, 1)]);
    }

    #[test]
    fn near_the_end_of_the_window_the_row_says_which_and_what_follows_is_counted_from_it() {
        let entries = [entry(1, 0, 0), entry(1, 1, 160), entry(1, 2, 170), entry(1, 3, 310), entry(2, 4, 0)];
        let mut one = judged(&entries);
        assert_eq!(stored_at(&one), 0b10000, "the other id is judged");
        assert_eq!(one.open(), [0, 1, 2, 3].map(Position::first_of));
        one.close(&HashSet::from([Position::first_of(1)]), &[]).unwrap();
        assert_eq!(stored_at(&one), 0b10011, "the one at 310 is a repetition of the one at 160");
        let mut none = judged(&entries);
        none.close(&HashSet::new(), &[]).unwrap();
        assert_eq!(stored_at(&none), 0b10001, "nothing says that they were stored");
    }

    #[test]
    fn what_stands_before_the_log_makes_a_repetition_and_counts_for_nothing() {
        let known = Entry { account: Entry::KNOWN, ..entry(1, 0, 0) };
        let judged = judged(&[known, entry(1, 1, 1)]);
        assert_eq!((stored_at(&judged), judged.ranges[0].counts.duplicate), (0, 1));
    }
}
