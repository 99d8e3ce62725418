//! The log against the ledgers: its events are judged again, and what they come to is what was counted.
//!
//! A partition at a time: retries of an id meet in one. Where one can't be read, the others are compared.

use std::sync::Arc;

use processor::commit::RangeSum;
use service::error::Chain;
use service::store::{LOG, StoreError};

use super::by_log::ByLog;
use super::contents;
use super::judge::Judged;
use super::pass::Pass;
use crate::books::{Books, LedgerRange};
use crate::runs::Runs;
use crate::scratch::disk_failed;
use crate::stores::Stores;
use crate::verdict::{Unread, Verdict};

/// Reads the log up to the cursors and compares it with the ledgers. What it comes to by hour; `None` if it does not
/// have every record, so that hours can't be compared.
///
/// # Errors
/// [`StoreError`] if no partition can be read, or another store.
pub(super) async fn check(
    books: &Arc<Books>,
    stores: &Stores<'_>,
    verdict: &mut Verdict,
) -> Result<Option<ByLog>, StoreError> {
    let begin = || Runs::begin(stores.scratch).map(ByLog::begin).map_err(disk_failed);
    let (mut by_log, mut is_whole, mut is_any_read, mut failed) = (begin()?, true, false, None);
    let mut misnamed = 0;
    for (&partition, &cursor) in &books.cursors {
        let before = std::mem::replace(&mut by_log, begin()?);
        let found = check_partition((books, stores), (partition, cursor), before, verdict).await;
        match found {
            Ok((start, mut found)) => {
                (is_whole, is_any_read) = (is_whole && start == 0, true);
                misnamed += std::mem::take(&mut found.misnamed);
                by_log = found;
            }
            Err(error) if is_of_log(&error) => {
                let events = books.ranges_of(partition).iter().map(|range| range.sum.counts.accepted()).sum();
                verdict.unread.push(Unread { partition, events, why: Chain(&error).to_string() });
                (is_whole, failed) = (false, Some(error));
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = failed
        && !is_any_read
    {
        return Err(error);
    }
    verdict.expect(
        || "the log".to_owned(),
        ("events whose hash is not of their project and id", &misnamed),
        ("expected", &0),
    );
    Ok(is_whole.then_some(by_log))
}

/// Whether it is the log that failed.
fn is_of_log(error: &StoreError) -> bool {
    let (StoreError::Retry { store, .. }
    | StoreError::Reject { store, .. }
    | StoreError::Fatal { store, .. }) = error;
    *store == LOG
}

/// Compares a partition. The log's first offset of it, and what it comes to with those before.
async fn check_partition(
    (books, stores): (&Arc<Books>, &Stores<'_>),
    (partition, cursor): (u32, u64),
    by_log: ByLog,
    verdict: &mut Verdict,
) -> Result<(u64, ByLog), StoreError> {
    let first = stores.log.bounds_of(partition).await?.start;
    let start = first.min(cursor);
    let judged = Pass::judged((books, stores), (partition, start, cursor), by_log).await?;
    let compared = compare_ranges(books.ranges_of(partition), (partition, start), &judged, verdict);
    for (range, sum) in compared.doubtful {
        if contents::is_of_erased_firsts(books, stores, (partition, range.lo), &sum).await? {
            verdict.undecided += sum.counts.accepted();
        } else {
            expect_counts(partition, range, &sum, verdict);
        }
    }
    for range in compared.altered {
        contents::check(books, stores, (partition, range.lo), verdict).await?;
    }
    Ok((first, judged.by_log))
}

/// Ranges that have to be looked at event by event.
#[derive(Default)]
struct Compared<'a> {
    /// Whose contents are not what would be written today: rows of another geo database are among them.
    altered: Vec<&'a LedgerRange>,
    /// That were judged otherwise than by the ledger, in a log that has lost its beginning.
    doubtful: Vec<(&'a LedgerRange, RangeSum)>,
}

/// By range of the ledger.
fn compare_ranges<'a>(
    ranges: &'a [LedgerRange],
    (partition, start): (u32, u64),
    judged: &Judged,
    verdict: &mut Verdict,
) -> Compared<'a> {
    let mut compared = Compared::default();
    for (place, (range, sum)) in ranges.iter().zip(&judged.ranges).enumerate() {
        let (lo, hi, ledger) = (range.lo, range.hi, &range.sum);
        let counted = ledger.counts.accepted();
        if lo < start {
            verdict.beyond_log += counted;
            continue;
        }
        let found = sum.counts.accepted();
        verdict.accepted += found;
        let what = || format!("partition {partition}, offsets [{lo}, {hi})");
        verdict.expect(what, ("accepted", &found), ("stored + duplicate + dead", &counted));
        if judged.undecided.contains(&place) {
            continue;
        }
        let is_same = sum.counts == ledger.counts && sum.xor_hash == ledger.xor_hash;
        if !is_same && start > 0 && sum.counts.stored > ledger.counts.stored {
            compared.doubtful.push((range, *sum));
            continue;
        }
        expect_counts(partition, range, sum, verdict);
        let is_known = ledger.contents.hashed == ledger.counts.stored;
        if is_known && is_same && sum.contents.xor != ledger.contents.xor {
            compared.altered.push(range);
        }
    }
    compared
}

fn expect_counts(partition: u32, range: &LedgerRange, sum: &RangeSum, verdict: &mut Verdict) {
    let what = || format!("partition {partition}, offsets [{}, {})", range.lo, range.hi);
    let (by_log, by_ledger) = (sum.counts, range.sum.counts);
    verdict.expect(what, ("stored by the log", &by_log.stored), ("by the ledger", &by_ledger.stored));
    verdict.expect(
        what,
        ("duplicate by the log", &by_log.duplicate),
        ("by the ledger", &by_ledger.duplicate),
    );
    verdict.expect(what, ("dead by the log", &by_log.dead), ("by the ledger", &by_ledger.dead));
    verdict.expect(what, ("hash by the log", &sum.xor_hash), ("in the ledger", &range.sum.xor_hash));
}
