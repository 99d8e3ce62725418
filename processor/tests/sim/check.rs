//! What must hold at the end.

use std::collections::{BTreeMap, BTreeSet};

use processor::commit::RangeSum;
use schemas::outcome::Outcome;

use crate::world::State;

/// Looks at rows and books, and adds what is wrong to what was seen on the way. Returns how many rows a zombie has
/// doubled.
pub(crate) fn check(state: &mut State) -> usize {
    let mut wrong = std::mem::take(&mut state.wrong);
    let doubled = rows(state, &mut wrong);
    ledger(state, &mut wrong);
    for (account, counts) in &state.journal.usage {
        let counted = state.books.usage.get(account).copied().unwrap_or_default();
        if counted != *counts {
            wrong.push(format!("usage {account:?} is {counted:?}, not {counts:?}"));
        }
    }
    let letters: BTreeMap<_, _> =
        state.journal.dead.iter().map(|(at, events)| (*at, vec![*events])).collect();
    if state.books.dead != letters {
        wrong.push(format!("dead letters are {:?}, not {letters:?}", state.books.dead));
    }
    state.wrong = wrong;
    doubled
}

/// Each event once, at its first position; and once without `FINAL` too where no zombie has written.
fn rows(state: &State, wrong: &mut Vec<String>) -> usize {
    let mut doubled = 0;
    for ((partition, position), sent) in &state.journal.events {
        let rows = state.table.rows.get(&(*partition, *position)).map_or(&[][..], Vec::as_slice);
        let there = format!("partition {partition}, {position:?}: {} rows", rows.len());
        match (sent.is_first, rows.len()) {
            (true, 1) | (false, 0) => {}
            (true, 0) => wrong.push(format!("{there} of an event")),
            (false, _) => wrong.push(format!("{there} of a client's retry")),
            (true, _) if state.table.tainted.contains(partition) => doubled += rows.len() - 1,
            (true, _) => wrong.push(format!("{there}, and no zombie has written")),
        }
        if rows.iter().any(|row| *row != rows[0]) {
            wrong.push(format!("{there} that differ"));
        }
    }
    if let Some(at) = state.table.rows.keys().find(|at| !state.journal.events.contains_key(at)) {
        wrong.push(format!("a row of no event: {at:?}"));
    }
    doubled
}

/// Ledger ranges cover the log, and agree with what stands there: with the log and so, by [`rows`], with the rows.
fn ledger(state: &State, wrong: &mut Vec<String>) {
    for (partition, cursor) in (0..).zip(&state.books.cursors) {
        let mut end = 0;
        for (&(_, lo), &(hi, sum)) in state.books.ledger.range((partition, 0)..=(partition, u64::MAX)) {
            if lo != end {
                wrong.push(format!(
                    "partition {partition}: a ledger range begins at {lo}, the last ended at {end}"
                ));
            }
            end = hi;
            let truth = sums(state, partition, lo, hi);
            if sum != truth {
                wrong.push(format!("partition {partition} [{lo}, {hi}): {sum:?}, not {truth:?}"));
            }
        }
        if (end, cursor.next_offset) != (state.journal.end(partition), end) {
            wrong.push(format!("partition {partition}: the ledger ends at {end}, the cursor is {cursor:?}"));
        }
    }
    let partitions: BTreeSet<u32> = state.books.ledger.keys().map(|(partition, _)| *partition).collect();
    assert!(partitions.len() <= state.books.cursors.len());
}

fn sums(state: &State, partition: u32, lo: u64, hi: u64) -> RangeSum {
    let mut sum = RangeSum::default();
    for ((at, position), sent) in &state.journal.events {
        if *at != partition || !(lo..hi).contains(&position.offset()) {
            continue;
        }
        if sent.is_first {
            sum.counts.add(Outcome::Stored, 1);
            sum.xor_hash ^= sent.hash.0 as i64;
            sum.contents.add(state.table.contents((partition, *position)));
        } else {
            sum.counts.add(Outcome::Duplicate, 1);
        }
    }
    for ((at, position), events) in &state.journal.dead {
        if *at == partition && (lo..hi).contains(&position.offset()) {
            sum.counts.add(Outcome::Dead, i64::from(*events));
        }
    }
    sum
}
