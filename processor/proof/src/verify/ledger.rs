//! The ledgers in Postgres, read in one snapshot, and whether each agrees with itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::TryStreamExt;
use service::store::StoreError;
use sqlx::{PgConnection, PgPool};

use super::hours::{LINES_AT_ONCE, written};
use crate::books::{Books, Erasures, LedgerRange, Quota};
use crate::db::{
    batch_ledger, dead_letter, erased_hour, erased_range, erasure, hour_seal, partition_cursor, quota_period,
    snapshot, usage_hour,
};
use crate::head::Head;
use crate::round::Round;
use crate::runs::Runs;
use crate::scratch::disk_failed;
use crate::turn::connection;
use crate::verdict::Verdict;
use processor::batch::Letters;

/// Reads cursors and ledgers in one snapshot; what they say of hours goes to disk.
pub(crate) async fn read(pool: &PgPool, scratch: &Path) -> Result<(Books, Runs), StoreError> {
    let mut connection = connection(pool).await?;
    let mut tx = snapshot::begin(&mut connection).await?;
    let cursors = partition_cursor::all(&mut *tx).await?;
    let mut ranges: BTreeMap<u32, Vec<LedgerRange>> = BTreeMap::new();
    batch_ledger::each(&mut tx, |partition, range| ranges.entry(partition).or_default().push(range)).await?;
    erased_range::each(&mut tx, None, |partition, lo, sum| {
        let ranges = ranges.get_mut(&partition).map_or(&mut [][..], Vec::as_mut_slice);
        if let Ok(place) = ranges.binary_search_by_key(&lo, |range| range.lo) {
            ranges.get_mut(place).into_iter().for_each(|range| range.erased = sum);
        }
    })
    .await?;
    let erased = Erasures {
        tenants: erased_hour::tenants(&mut *tx).await?,
        deleting: erasure::counted(&mut *tx).await?,
        newest: erasure::newest_counted(&mut *tx).await?,
    };
    let mut books = Books {
        cursors,
        ranges: ranges.into_iter().map(|(partition, ranges)| (partition, Arc::new(ranges))).collect(),
        erased,
        other_meters: usage_hour::of_other_meters(&mut *tx).await?,
        sealed_to: hour_seal::last(&mut *tx).await?,
        quotas: (quota_period::count(&mut *tx).await?, quota_period::drifted(&mut *tx).await?),
        ..Books::default()
    };
    for letter in dead_letter::all(&mut *tx).await? {
        books.letters.insert(letter.at, letter.events_before);
        books.dead.insert(letter.at, (letter.hour, letter.events));
        if letter.is_stored_there {
            books.stored_letters.insert(letter.at);
        }
    }
    let said = read_hours(&mut tx, scratch).await?;
    tx.commit().await?;
    Ok((books, said))
}

/// What is said of hours: usage, erasures, seals.
async fn read_hours(tx: &mut PgConnection, scratch: &Path) -> Result<Runs, StoreError> {
    let mut runs = Runs::begin(scratch).map_err(disk_failed)?;
    let mut writer = runs.writer().map_err(disk_failed)?;
    let mut lines = Vec::with_capacity(LINES_AT_ONCE);
    let mut hours = usage_hour::lines(tx);
    while let Some(line) = hours.try_next().await? {
        lines.push(line);
        if lines.len() == LINES_AT_ONCE {
            (writer, lines) = written(writer, lines).await?;
        }
    }
    (writer, _) = written(writer, lines).await?;
    runs.end(writer).map_err(disk_failed)?;
    Ok(runs)
}

/// What repairs know of a partition.
pub(crate) struct Part {
    /// In order.
    pub(crate) ranges: Vec<LedgerRange>,
    pub(crate) letters: Letters,
    /// As in [`Erasures`].
    pub(crate) deleting: Option<Round>,
}

/// Reads the ledger of a partition: its ranges that have any of the offsets `[from, to)`.
pub(crate) async fn read_part(
    pool: &PgPool,
    partition: u32,
    offsets: (u64, u64),
) -> Result<Part, sqlx::Error> {
    let mut connection = connection(pool).await?;
    let mut tx = snapshot::begin(&mut connection).await?;
    let mut ranges = batch_ledger::overlapping(&mut *tx, partition, offsets).await?;
    less_erased(&mut tx, partition, &mut ranges).await?;
    let letters = dead_letter::of_partition(&mut *tx, partition).await?;
    let deleting = erasure::counted(&mut *tx).await?;
    tx.commit().await?;
    let letters = letters.into_iter().map(|letter| (letter.at, letter.events_before)).collect();
    Ok(Part { ranges, letters, deleting })
}

/// Notes in ranges of a partition, which are in order, what was erased of them.
pub(crate) async fn less_erased(
    tx: &mut PgConnection,
    partition: u32,
    ranges: &mut [LedgerRange],
) -> Result<(), sqlx::Error> {
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return Ok(()) };
    let part = Some((partition, first.lo, last.lo));
    erased_range::each(tx, part, |_, lo, sum| {
        if let Ok(place) = ranges.binary_search_by_key(&lo, |range| range.lo) {
            ranges.get_mut(place).into_iter().for_each(|range| range.erased = sum);
        }
    })
    .await
}

/// Quotas are what is used of them, and nothing is metered that nothing counts.
pub(super) fn check_quotas(books: &Books, verdict: &mut Verdict) {
    let what = || "usage of all tenants".to_owned();
    verdict.expect(what, ("rows of meters that nothing counts", &books.other_meters), ("expected", &0));
    let (periods, drifted) = &books.quotas;
    verdict.quotas = *periods;
    for quota in drifted {
        let Quota { tenant, period, granted, settled, leased } = *quota;
        verdict.expect(
            || format!("quota of tenant {tenant} in the period from {} s", period.seconds()),
            ("granted", &granted),
            ("stored + held by nodes", &(settled + leased)),
        );
    }
}

/// Ledger ranges cover the log from its first offset to the cursor, without gap or overlap.
pub(super) fn check_tiles(books: &Books, heads: &[Head], verdict: &mut Verdict) {
    for (&partition, &cursor) in &books.cursors {
        let mut end = 0;
        for &LedgerRange { lo, hi, sum, .. } in books.ranges_of(partition) {
            verdict.expect(
                || format!("partition {partition}, ledger range at {lo}"),
                ("begins at", &lo),
                ("where the last ended", &end),
            );
            end = hi;
            verdict.stored += sum.counts.stored;
            verdict.duplicate += sum.counts.duplicate;
            verdict.dead += sum.counts.dead;
        }
        verdict.expect(
            || format!("partition {partition}"),
            ("the ledger ends at", &end),
            ("the cursor stands at", &cursor),
        );
        check_heads(books, partition, heads, verdict);
    }
}

/// The partition's ledger had these heads. Its own is that of all ranges except the last one, which may grow.
fn check_heads(books: &Books, partition: u32, heads: &[Head], verdict: &mut Verdict) {
    let is_sought = |head: &&Head| head.partition == partition && head.offset > 0;
    let mut sought: Vec<&Head> = heads.iter().filter(is_sought).collect();
    let mut head = Head::none(partition);
    let full = books.ranges_of(partition).split_last().map_or(&[][..], |(_, full)| full);
    for LedgerRange { lo, hi, sum, .. } in full {
        head = head.then((*lo, *hi), sum);
        sought.retain(|sought| {
            if sought.offset == *hi {
                let what = || format!("partition {partition}, ledger up to {hi}");
                verdict.expect(what, ("its head", &head.hash), ("the head that was kept", &sought.hash));
            }
            sought.offset != *hi
        });
    }
    for sought in sought {
        let what = || format!("partition {partition}, ledger up to {}", sought.offset);
        verdict.expect(what, ("a range ends there", &false), ("expected", &true));
    }
    verdict.heads.push(head);
}
