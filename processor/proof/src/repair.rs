//! Mending what does not agree with the ledgers: rows that are missing, doubled, forged, or should not be there.

use std::collections::{BTreeMap, BTreeSet};

use metering::settle::{Drift, mend_drift};
use schemas::time::Micros;
use serde::Serialize;
use service::store::StoreError;

use crate::db::events::{self, HOURS_MAX, RANGES_MAX};
use crate::db::mismatched_range;
use crate::replay::range::Mender;
use crate::replay::task::Report;
use crate::stores::Stores;
use crate::verdict::Verdict;
use crate::verify::rows::{altered, found, hours};
use crate::verify::{ledger, verify};
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
        let books = ledger::read(stores.pool).await?;
        let ranges = books.ranges_of(partition).into_iter().filter(|range| starts.contains(&range.lo));
        let mut mender = Mender::new(stores, partition, &books, erased, None);
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
    let books = ledger::read(stores.pool).await?;
    let client = stores.clickhouse;
    let mut damaged: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for &partition in books.cursors.keys() {
        let compared = found(client, partition, &books.ranges_of(partition), &books.erased).await?;
        let starts = compared.iter().filter(|(range, found)| !found.agrees(range));
        let damaged = damaged.entry(partition).or_default();
        damaged.extend(starts.map(|(range, _)| range.lo));
        let altered = altered(client, partition, &books.ranges_of(partition), &books.erased).await?;
        damaged.extend(altered.iter().map(|(range, _)| range.lo));
    }
    let wrong_hours: BTreeSet<Micros> = hours(&books, client)
        .await?
        .into_iter()
        .filter(|(_, rows, billed)| rows != billed)
        .map(|(hour, _, _)| hour.of.hour)
        .collect();
    let wrong_hours: Vec<i64> = wrong_hours.into_iter().map(Micros::seconds).collect();
    for hours in wrong_hours.chunks(HOURS_MAX) {
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
