use metering::ledger::Counts;
use schemas::id::{ProjectId, TenantId};
use schemas::time::Micros;
use sqlx::{PgConnection, PgExecutor, PgPool};

use crate::books::{Books, Erasures, HourOf};
use crate::db::dead_letter;
use crate::round::counted;
use crate::verdict::Verdict;
use processor::commit::RangeSum;

/// Reads cursors and ledgers in one snapshot.
pub(crate) async fn read(pool: &PgPool) -> Result<Books, sqlx::Error> {
    type LedgerRow = (i32, i64, i64, i64, i64, i64, i64);
    type UsageRow = (i64, i64, i64, i64, i64, i64);
    let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let cursors: Vec<(i32, i64)> =
        sqlx::query_as("SELECT partition, next_offset FROM partition_cursor").fetch_all(&mut *tx).await?;
    let ranges: Vec<LedgerRow> =
        sqlx::query_as("SELECT partition, lo, hi, stored, duplicate, dead, xor_hash FROM batch_ledger")
            .fetch_all(&mut *tx)
            .await?;
    let usage: Vec<UsageRow> = sqlx::query_as(
        "SELECT tenant_id, project_id, (extract(epoch FROM hour) * 1000000)::bigint,
                sum(stored)::bigint, sum(duplicate)::bigint, sum(dead)::bigint
         FROM usage_hour GROUP BY 1, 2, 3",
    )
    .fetch_all(&mut *tx)
    .await?;
    let letters = dead_letter::all(&mut *tx).await?;
    let erased = read_erased(&mut tx).await?;
    tx.commit().await?;
    let mut books = Books { erased, ..Books::default() };
    for letter in letters {
        books.letters.insert(letter.at, letter.events_before);
        books.dead.insert(letter.at, (letter.hour, letter.events));
    }
    books.cursors.extend(cursors.into_iter().map(|(p, next)| (partition(p), offset(next))));
    for (p, lo, hi, stored, duplicate, dead, xor_hash) in ranges {
        let sum = RangeSum { counts: Counts { stored, duplicate, dead }, xor_hash };
        books.ranges.insert((partition(p), offset(lo)), (offset(hi), sum));
    }
    for (tenant, project, hour, stored, duplicate, dead) in usage {
        let account = HourOf { tenant: TenantId(tenant), project: ProjectId(project), hour: Micros(hour) };
        books.usage.insert(account, Counts { stored, duplicate, dead });
    }
    Ok(books)
}

fn offset(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or_default()
}

fn partition(partition: i32) -> u32 {
    u32::try_from(partition).unwrap_or_default()
}

pub(crate) async fn read_erased(tx: &mut PgConnection) -> Result<Erasures, sqlx::Error> {
    let ranges: Vec<(i32, i64, i64, i64)> = sqlx::query_as(
        "SELECT partition, lo, sum(rows)::bigint, bit_xor(xor_hash) FROM erased_range GROUP BY 1, 2",
    )
    .fetch_all(&mut *tx)
    .await?;
    let hours: Vec<(i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT tenant_id, project_id, (extract(epoch FROM hour) * 1000000)::bigint, sum(rows)::bigint
         FROM erased_hour GROUP BY 1, 2, 3",
    )
    .fetch_all(&mut *tx)
    .await?;
    let newest = newest_erasure(&mut *tx).await?;
    let mut erased = Erasures { deleting: counted(tx).await?, newest, ..Erasures::default() };
    for (p, lo, stored, xor_hash) in ranges {
        let sum = RangeSum { counts: Counts { stored, ..Counts::default() }, xor_hash };
        erased.ranges.insert((partition(p), offset(lo)), sum);
    }
    for (tenant, project, hour, rows) in hours {
        let hour = HourOf { tenant: TenantId(tenant), project: ProjectId(project), hour: Micros(hour) };
        erased.hours.insert(hour, rows);
    }
    Ok(erased)
}

/// The newest round of erasures that is counted; 0 if there is none.
pub(super) async fn newest_erasure(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(round), 0) FROM erasure WHERE state <> 'requested'")
        .fetch_one(executor)
        .await
}

/// Ledger ranges cover the log from its first offset to the cursor, without gap or overlap.
pub(super) fn check_tiles(books: &Books, verdict: &mut Verdict) {
    for (&partition, &cursor) in &books.cursors {
        let mut end = 0;
        for (&(_, lo), &(hi, sum)) in books.ranges.range((partition, 0)..=(partition, u64::MAX)) {
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
    }
}
