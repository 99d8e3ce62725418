//! Mending what does not agree with the ledgers: rows that are missing, doubled, forged, or should not be there.

use std::collections::{BTreeMap, BTreeSet};

use metering::settle::{Drift, mend_drift};
use schemas::time::Micros;
use serde::Serialize;
use service::store::StoreError;

use crate::books::LedgerRange;
use crate::db::events::{self, HOURS_MAX, RANGES_MAX};
use crate::db::mismatched_range;
use crate::replay::range::Mender;
use crate::replay::task::Report;
use crate::stores::Stores;
use crate::verdict::Verdict;
use crate::verify::hours::Known;
use crate::verify::{hours, ledger, rows, verify};
use processor::below;

/// What was mended, and what is so then.
#[derive(Debug, Serialize)]
pub struct Repair {
    /// What was done.
    pub done: Report,
    /// The proof afterwards.
    pub verdict: Verdict,
}

/// Replays each ledger range that does not agree with its rows, removes rows that the log does not have at their
/// position, sets what is granted of quotas to what is stored and held, and verifies again. Other wrong books are not
/// mended.
///
/// # Errors
/// [`StoreError`] if one of the stores can't be used. What was mended before stays.
pub async fn repair(stores: &Stores<'_>) -> Result<Repair, StoreError> {
    let mut report = Report::default();
    let damaged = damaged(stores).await?;
    for (&partition, starts) in &damaged {
        let mut held = below::change(stores.pool, partition).await?;
        let erased = held.erased().await?;
        // As they are now that nobody changes them.
        let (first, last) = (starts.first().copied(), starts.last().copied());
        let offsets = (first.unwrap_or_default(), last.unwrap_or_default() + 1);
        let part = ledger::read_part(stores.pool, partition, offsets).await?;
        let ranges: Vec<LedgerRange> =
            part.ranges.iter().filter(|range| starts.contains(&range.lo)).copied().collect();
        let mut mender = Mender::new(stores, partition, &part.letters, erased, None);
        mender.mend_all(ranges, &mut report).await?;
        held.release().await;
    }
    for Drift { tenant, period_start, before, after } in mend_drift(stores.pool).await? {
        let since = period_start.seconds();
        report.notes.push(format!(
            "quota of tenant {tenant} in the period from {since} s: granted {before}, set to {after}"
        ));
    }
    report.ranges = damaged.values().map(BTreeSet::len).sum();
    let verdict = verify(stores).await?;
    if verdict.holds() {
        mismatched_range::forget_all(stores.pool).await?;
    }
    Ok(Repair { done: report, verdict })
}

/// By partition: the first offsets of the ranges that do not agree, and of those that have rows in an hour in which a
/// tenant's rows do not.
async fn damaged(stores: &Stores<'_>) -> Result<BTreeMap<u32, BTreeSet<u64>>, StoreError> {
    let _held = below::read_all(stores.pool).await?;
    let (books, said) = ledger::read(stores.pool, stores.scratch).await?;
    let client = stores.clickhouse;
    let mut damaged: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    let all_found = rows::all(&books, client).await?;
    for (&partition, ranges) in &books.ranges {
        let found = |range: &LedgerRange| all_found.get(&(partition, range.lo)).copied().unwrap_or_default();
        let is_wrong = |range: &&LedgerRange| !found(range).agrees(range) || found(range).altered > 0;
        let starts = ranges.iter().filter(is_wrong).map(|range| range.lo);
        damaged.entry(partition).or_default().extend(starts);
    }
    let known = Known { said, rows: hours::read_rows(&books, client, stores.scratch).await? };
    let wrong: Vec<i64> = hours::wrong(known).await?.into_iter().map(Micros::seconds).collect();
    for hours in wrong.chunks(HOURS_MAX) {
        for (&partition, damaged) in &mut damaged {
            for ranges in books.ranges_of(partition).chunks(RANGES_MAX) {
                let Some(last) = ranges.last() else { continue };
                let starts: Vec<u64> = ranges.iter().map(|range| range.lo).collect();
                let found = events::ranges_with_rows_in(client, partition, (&starts, last.hi), hours).await?;
                damaged.extend(found);
            }
        }
    }
    damaged.retain(|_, starts| !starts.is_empty());
    Ok(damaged)
}
