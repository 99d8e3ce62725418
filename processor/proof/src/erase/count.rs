//! Counting the rows of a round as `verify` will miss them.

use std::collections::BTreeMap;

use clickhouse::Client;
use metering::ledger::{Counts, Sum};
use processor::commit::RangeSum;
use sqlx::PgPool;

use crate::books::BilledHour;
use crate::db::batch_ledger;
use crate::db::events::{self, Rows, Starts};
use crate::error::EraseError;
use crate::round::Round;

/// What a round takes out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// By partition and first offset of a range of the batch ledger: `counts.stored` and hash.
    pub(super) ranges: BTreeMap<(u32, u64), RangeSum>,
    pub(super) hours: BTreeMap<BilledHour, Sum>,
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
    let mut starts = Vec::new();
    for (partition, first, last) in events::spans(client, &rows).await? {
        let of = batch_ledger::starts(pool, partition, first, last).await?;
        starts.extend(of.into_iter().map(|lo| (partition, lo)));
    }
    starts.sort_unstable();
    for (range, found) in events::by_range(client, &rows, &Starts::all(starts), false).await? {
        let counts = Counts { stored: found.rows, ..Counts::default() };
        let sum = RangeSum { counts, xor_hash: found.xor_hash, contents: found.contents };
        taken.ranges.insert(range, sum);
    }
    taken.hours = events::by_hour(client, &rows).await?;
    for (whose, rows) in events::by_whose(client, &rows).await? {
        if let Some(erasure) = round.erasure(whose) {
            taken.events.insert(erasure, rows);
        }
    }
    let by_range: i64 = taken.ranges.values().map(|sum| sum.counts.stored).sum();
    let by_hour: i64 = taken.hours.values().map(|sum| sum.counts.stored).sum();
    let by_erasure: i64 = taken.events.values().sum();
    // Rows of retention are counted where others may be inserted: by a repair. They wait for the next round.
    if by_range != by_hour || by_hour != by_erasure {
        return Err(EraseError::Changing { by_range, by_hour, by_erasure });
    }
    Ok(taken)
}
