use metering::ledger::Counts;
use sqlx::{PgConnection, PgPool};

use crate::books::{Books, Erasures, Quota};
use crate::db::{
    batch_ledger, dead_letter, erased_hour, erased_range, erasure, hour_seal, partition_cursor, quota_period,
    usage_hour,
};
use crate::head::Head;
use crate::verdict::Verdict;

/// Reads cursors and ledgers in one snapshot.
pub(crate) async fn read(pool: &PgPool) -> Result<Books, sqlx::Error> {
    let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let mut books = Books {
        cursors: partition_cursor::all(&mut *tx).await?,
        ranges: batch_ledger::all(&mut *tx).await?,
        usage: usage_hour::all(&mut *tx).await?,
        erased: read_erased(&mut tx).await?,
        other_meters: usage_hour::of_other_meters(&mut *tx).await?,
        passed_over: hour_seal::passed_over(&mut *tx).await?,
        oversealed: hour_seal::oversealed(&mut *tx).await?,
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
    tx.commit().await?;
    Ok(books)
}

pub(crate) async fn read_erased(tx: &mut PgConnection) -> Result<Erasures, sqlx::Error> {
    Ok(Erasures {
        ranges: erased_range::all(&mut *tx).await?,
        hours: erased_hour::all(&mut *tx).await?,
        deleting: erasure::counted(&mut *tx).await?,
        newest: erasure::newest_counted(tx).await?,
    })
}

/// Usage is what the ledger's ranges come to, and quotas are what is used of them.
pub(super) fn check_sums(books: &Books, verdict: &mut Verdict) {
    let mut usage = Counts::default();
    books.usage.values().for_each(|counts| usage += *counts);
    let what = || "usage of all tenants".to_owned();
    verdict.expect(what, ("stored", &usage.stored), ("by the ledger", &verdict.stored.clone()));
    verdict.expect(what, ("duplicate", &usage.duplicate), ("by the ledger", &verdict.duplicate.clone()));
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
        let ranges = books.ranges.range((partition, 0)..=(partition, u64::MAX));
        for (&(_, lo), &(hi, sum)) in ranges {
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
    let mut ranges = books.ranges.range((partition, 0)..=(partition, u64::MAX)).peekable();
    while let Some((&(_, lo), &(hi, sum))) = ranges.next() {
        if ranges.peek().is_none() {
            break;
        }
        head = head.then((lo, hi), &sum);
        sought.retain(|sought| {
            if sought.offset == hi {
                let what = || format!("partition {partition}, ledger up to {hi}");
                verdict.expect(what, ("its head", &head.hash), ("the head that was kept", &sought.hash));
            }
            sought.offset != hi
        });
    }
    for sought in sought {
        let what = || format!("partition {partition}, ledger up to {}", sought.offset);
        verdict.expect(what, ("a range ends there", &false), ("expected", &true));
    }
    verdict.heads.push(head);
}
