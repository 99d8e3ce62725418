//! Judging a batch: which outcome each accepted event ends in, and all that follows from it.

use std::collections::BTreeMap;
use std::io;

use metering::ledger::{Account, Counts, Sum};
use schemas::frame::Envelope;
use schemas::id::LeaseId;
use schemas::outcome::Outcome;
use schemas::time::Micros;

use crate::batch::{Decoded, Failed, Placed, Range};
use crate::commit::{Commit, RangeSum};
use crate::repair::Present;
use seen::{Seen, SeenIds};

/// A batch with its verdicts.
#[derive(Debug)]
pub struct Judged<'a> {
    /// Events that ClickHouse must have, in the order of partition and position.
    pub fresh: Vec<Placed<'a>>,
    /// What must be booked in Postgres.
    pub commit: Commit,
    /// When the newest event was received.
    pub newest: Option<Micros>,
}

/// Gives each event its outcome and counts it. An event that ClickHouse has at this very position is stored,
/// whatever the store of seen ids says today: its row is there.
///
/// # Errors
/// [`Failed`]: if a store of seen ids fails, or there is none for a partition.
pub fn judge<'a>(
    decoded: Decoded<'a>,
    ranges: Vec<Range>,
    seen: &mut BTreeMap<u32, SeenIds>,
    present: &Present,
) -> Result<Judged<'a>, Failed> {
    let Decoded { events: mut fresh, unreadable, traced: _, letters: _ } = decoded;
    let mut duplicates = look_up(&fresh, seen)?;
    let mut tally = Tally::of(ranges);
    fresh.retain(|placed| {
        let (envelope, event) = (&placed.envelope, &placed.event);
        // There is an answer for each: as many as were asked.
        let duplicate = duplicates.get_mut(&placed.partition).and_then(Iterator::next).unwrap_or_default();
        let duplicate = duplicate && !faults::mutant("no-dedup");
        let is_stored = !duplicate || present.contains_key(&(placed.partition, placed.position));
        let run = tally.run(placed.partition, Some(envelope));
        if is_stored {
            run.counts.add(Outcome::Stored, 1);
            run.xor_hash ^= event.hash.low_bits();
        } else {
            run.counts.add(Outcome::Duplicate, 1);
        }
        is_stored
    });
    for letter in unreadable {
        let run = tally.run(letter.partition, letter.envelope.as_ref());
        run.counts.add(Outcome::Dead, i64::from(letter.events));
        tally.commit.dead.push(letter.into());
    }
    tally.end_run();
    Ok(Judged { fresh, commit: tally.commit, newest: tally.newest })
}

/// Whether each event of a partition is a duplicate, in order.
fn look_up(
    events: &[Placed<'_>],
    seen: &mut BTreeMap<u32, SeenIds>,
) -> Result<BTreeMap<u32, impl Iterator<Item = bool> + use<>>, Failed> {
    let mut asked: BTreeMap<u32, Vec<Seen>> = BTreeMap::new();
    for placed in events {
        asked.entry(placed.partition).or_default().push(Seen {
            project: placed.envelope.project,
            hash: placed.event.hash,
            position: placed.position,
            received_at: placed.envelope.received_at,
        });
    }
    let mut duplicates = BTreeMap::new();
    for (partition, asked) in asked {
        let failed = |cause| Failed { partition, cause };
        let no_store = || failed(io::Error::other("there is no store of its ids"));
        let store = seen.get_mut(&partition).ok_or_else(no_store)?;
        duplicates.insert(partition, store.see(&asked).map_err(failed)?.into_iter());
    }
    Ok(duplicates)
}

/// Events that count for the same range of the log, account and lease: those of a frame at least. They are counted
/// together, since what they count for has to be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    partition: u32,
    /// Of those whose envelope could be read.
    account: Option<(Account, LeaseId)>,
}

/// What counts for one target.
#[derive(Debug)]
struct Run {
    target: Target,
    counts: Counts,
    xor_hash: i64,
}

/// Adds runs up to a commit.
struct Tally {
    commit: Commit,
    /// Of each partition, the place of its range.
    places: BTreeMap<u32, usize>,
    run: Option<Run>,
    newest: Option<Micros>,
}

impl Tally {
    fn of(ranges: Vec<Range>) -> Self {
        let places = ranges.iter().enumerate().map(|(i, range)| (range.partition, i)).collect();
        let sums = vec![RangeSum::default(); ranges.len()];
        let commit = Commit { ranges, sums, ..Commit::default() };
        Self { commit, places, run: None, newest: None }
    }

    /// The run that an event belongs to.
    fn run(&mut self, partition: u32, envelope: Option<&Envelope<'_>>) -> &mut Run {
        let account = envelope.map(|envelope| (Account::of(envelope), envelope.lease));
        self.newest = self.newest.max(envelope.map(|envelope| envelope.received_at));
        let target = Target { partition, account };
        if self.run.as_ref().is_some_and(|run| run.target != target) {
            self.end_run();
        }
        self.run.get_or_insert_with(|| Run { target, counts: Counts::default(), xor_hash: 0 })
    }

    fn end_run(&mut self) {
        let Some(Run { target, counts, xor_hash }) = self.run.take() else { return };
        let place = self.places.get(&target.partition);
        if let Some(sum) = place.and_then(|place| self.commit.sums.get_mut(*place)) {
            sum.xor_hash ^= xor_hash;
            sum.counts += counts;
        }
        let Some((account, lease)) = target.account else { return };
        self.commit.usage.add(account, Sum { counts, xor_hash, ..Sum::default() });
        self.commit.settlement.add(account.tenant, account.period_start, lease, counts);
    }
}
