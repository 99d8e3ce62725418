//! Counting the rows of a round as `verify` will miss them.

use std::collections::BTreeMap;

use clickhouse::Client;
use metering::ledger::Counts;
use processor::commit::RangeSum;
use sqlx::PgPool;

use crate::books::BilledHour;
use crate::db::batch_ledger;
use crate::db::events::{self, RANGES_MAX, Rows};
use crate::error::EraseError;
use crate::round::Round;

/// What a round takes out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// By partition and first offset of a range of the batch ledger: `counts.stored` and hash.
    pub(super) ranges: BTreeMap<(u32, u64), RangeSum>,
    pub(super) hours: BTreeMap<BilledHour, i64>,
    /// By erasure.
    pub(super) events: BTreeMap<i64, i64>,
}

/// Counts the rows of `round`. All of them stand before the cursors, so each has its range in the ledger, and the
/// ranges' beginnings stay.
///
/// # Errors
/// [`EraseError`]; nothing is known then.
pub(super) async fn count(pool: &PgPool, client: &Client, round: &Round) -> Result<Taken, EraseError> {
    let rows = Rows::of(round);
    let mut taken = Taken::default();
    for (partition, first, last) in events::spans(client, &rows).await? {
        let starts = batch_ledger::starts(pool, partition, first, last).await?;
        let mut chunks = starts.chunks(RANGES_MAX).peekable();
        while let Some(chunk) = chunks.next() {
            let end = chunks.peek().and_then(|next| next.first()).copied();
            for (lo, found) in events::by_range(client, &rows, partition, chunk, end).await? {
                let counts = Counts { stored: found.rows, ..Counts::default() };
                let sum = RangeSum { counts, xor_hash: found.xor_hash, contents: found.contents };
                taken.ranges.insert((partition, lo), sum);
            }
        }
    }
    taken.hours = events::by_hour(client, &rows, None).await?;
    for (whose, rows) in events::by_whose(client, &rows).await? {
        if let Some(erasure) = round.erasure(whose) {
            taken.events.insert(erasure, rows);
        }
    }
    let by_range: i64 = taken.ranges.values().map(|sum| sum.counts.stored).sum();
    let by_hour: i64 = taken.hours.values().sum();
    let by_erasure: i64 = taken.events.values().sum();
    // Rows of retention are counted where others may be inserted: by a repair. They wait for the next round.
    if by_range != by_hour || by_hour != by_erasure {
        return Err(EraseError::Changing { by_range, by_hour, by_erasure });
    }
    Ok(taken)
}
