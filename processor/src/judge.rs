//! Judging a batch: which outcome each accepted event ends in, and all that follows from it.

use std::collections::BTreeMap;

use billing::ledger::Account;
use schemas::frame::Envelope;
use schemas::outcome::Outcome;
use schemas::time::Micros;

use crate::batch::{Decoded, Placed, Range};
use crate::commit::{Commit, RangeSum};
use crate::dedup::SeenIds;
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
#[must_use]
pub fn judge<'a>(
    decoded: Decoded<'a>,
    ranges: Vec<Range>,
    seen: &mut BTreeMap<u32, SeenIds>,
    present: &Present,
) -> Judged<'a> {
    let places: BTreeMap<u32, usize> =
        ranges.iter().enumerate().map(|(i, range)| (range.partition, i)).collect();
    let sums = vec![RangeSum::default(); ranges.len()];
    let commit = Commit { ranges, sums, ..Commit::default() };
    let mut judged = Judged { fresh: Vec::with_capacity(decoded.events.len()), commit, newest: None };
    for placed in decoded.events {
        let (envelope, event) = (&placed.envelope, &placed.event);
        let seen = seen.entry(placed.partition).or_default();
        let duplicate = seen.see(envelope.project, event.hash, placed.position, envelope.received_at);
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
    judged
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
pub(crate) fn low_bits(hash: u128) -> i64 {
    let bytes = hash.to_le_bytes();
    let mut low = [0; 8];
    low.copy_from_slice(&bytes[..8]);
    i64::from_le_bytes(low)
}
