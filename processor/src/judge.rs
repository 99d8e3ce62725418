//! Judging a batch: which outcome each accepted event ends in, and all that follows from it.

use std::collections::BTreeMap;
use std::io;

use billing::ledger::Account;
use schemas::frame::Envelope;
use schemas::outcome::Outcome;
use schemas::time::Micros;

use crate::batch::{Decoded, Placed, Range};
use crate::commit::{Commit, RangeSum};
use crate::dedup::{Seen, SeenIds};
use crate::repair::Present;

/// A batch with its verdicts.
#[derive(Debug)]
pub struct Judged<'a> {
    /// Events that ClickHouse must have, in the order of partition and position.
    pub fresh: Vec<Placed<'a>>,
    /// What Postgres must be told.
    pub commit: Commit<'a>,
    /// When the newest event was received.
    pub newest: Option<Micros>,
}

impl<'a> Judged<'a> {
    /// The fresh events that are not `present`.
    #[must_use]
    pub fn missing(&self, present: &Present) -> Vec<Placed<'a>> {
        if present.is_empty() {
            return self.fresh.clone();
        }
        let is_missing = |placed: &&Placed<'a>| !present.contains(&(placed.partition, placed.position));
        self.fresh.iter().filter(is_missing).copied().collect()
    }
}

/// Gives each event its outcome and counts it. An event that ClickHouse has at this very position is stored,
/// whatever the dedup store says today: its row is there.
///
/// # Errors
/// If a store of seen ids fails, or there is none for a partition: nothing is known of the batch then.
pub fn judge<'a>(
    decoded: Decoded<'a>,
    ranges: Vec<Range>,
    seen: &mut BTreeMap<u32, SeenIds>,
    present: &Present,
) -> io::Result<Judged<'a>> {
    let mut duplicates = look_up(&decoded.events, seen)?;
    let places: BTreeMap<u32, usize> =
        ranges.iter().enumerate().map(|(i, range)| (range.partition, i)).collect();
    let sums = vec![RangeSum::default(); ranges.len()];
    let commit = Commit { ranges, sums, ..Commit::default() };
    let mut judged = Judged { fresh: Vec::with_capacity(decoded.events.len()), commit, newest: None };
    for placed in decoded.events {
        let (envelope, event) = (&placed.envelope, &placed.event);
        let verdicts = duplicates.get_mut(&placed.partition);
        let duplicate = verdicts.and_then(Iterator::next).ok_or_else(|| no_store(placed.partition))?;
        let there = present.contains(&(placed.partition, placed.position));
        let outcome = if duplicate && !there { Outcome::Duplicate } else { Outcome::Stored };
        let place = places.get(&placed.partition).copied();
        judged.count(place, Some(envelope), outcome, 1);
        if outcome == Outcome::Stored {
            if let Some(sum) = place.and_then(|place| judged.commit.sums.get_mut(place)) {
                sum.xor_hash ^= low_bits(event.hash.0);
            }
            judged.fresh.push(placed);
        }
    }
    for letter in decoded.unreadable {
        let place = places.get(&letter.partition).copied();
        judged.count(place, letter.envelope.as_ref(), Outcome::Dead, i64::from(letter.events));
        judged.commit.dead.push(letter);
    }
    Ok(judged)
}

/// Whether each event of a partition is a duplicate, in order.
fn look_up(
    events: &[Placed<'_>],
    seen: &mut BTreeMap<u32, SeenIds>,
) -> io::Result<BTreeMap<u32, impl Iterator<Item = bool> + use<>>> {
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
        let store = seen.get_mut(&partition).ok_or_else(|| no_store(partition))?;
        duplicates.insert(partition, store.see(&asked)?.into_iter());
    }
    Ok(duplicates)
}

fn no_store(partition: u32) -> io::Error {
    io::Error::other(format!("there is no store of the ids of partition {partition}"))
}

impl Judged<'_> {
    fn count(
        &mut self,
        place: Option<usize>,
        envelope: Option<&Envelope<'_>>,
        outcome: Outcome,
        events: i64,
    ) {
        if let Some(sum) = place.and_then(|place| self.commit.sums.get_mut(place)) {
            sum.counts.add(outcome, events);
        }
        let Some(envelope) = envelope else { return };
        let period_start = Micros(envelope.period_start.saturating_mul(Micros::SECOND));
        let account = Account {
            tenant: envelope.tenant,
            project: envelope.project,
            period_start,
            hour: envelope.received_at.hour(),
        };
        self.commit.usage.count(account, outcome, events);
        self.commit.settlement.count(envelope.tenant, period_start, envelope.lease, outcome, events);
        self.newest = self.newest.max(Some(envelope.received_at));
    }
}

/// The low 64 bits, as the signed number that Postgres and ClickHouse's `reinterpretAsInt64` have for them.
fn low_bits(hash: u128) -> i64 {
    let bytes = hash.to_le_bytes();
    let mut low = [0; 8];
    low.copy_from_slice(&bytes[..8]);
    i64::from_le_bytes(low)
}
