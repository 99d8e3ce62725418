//! `verify` proves what is so, and says so when it is not.

use processor::batch;
use processor::rows::content_hash_in_sql;
use schemas::id::Position;
use testkit::River;

use crate::river::metered;

/// A river with 100 stored events and 20 duplicates.
async fn river_with_events() -> River {
    let river = River::start().await;
    let customer = river.customer("acme", Some(1_000)).await;
    assert_eq!(river.client(&customer.key).post_ids(0..100).await.status, 202);
    assert_eq!(river.client(&customer.key).post_ids(0..20).await.status, 202);
    metered(&river, &customer, 100).await;
    testkit::eventually("all is counted", std::time::Duration::from_secs(20), async || {
        river.stores.postgres_number("SELECT sum(duplicate)::bigint FROM usage_hour").await == 20
    })
    .await;
    river
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agrees_is_proved() {
    let river = river_with_events().await;
    let verdict = river.verdict().await;
    assert!(verdict.holds(), "{verdict:?}");
    assert_eq!((verdict.accepted, verdict.stored, verdict.duplicate, verdict.rows), (120, 100, 20, 100));
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_row_a_doubled_row_and_a_changed_hash_are_found() {
    let river = river_with_events().await;
    let clickhouse = river.stores.clickhouse();
    let first = "(log_partition, position) = (0, (SELECT min(position) FROM events WHERE log_partition = 0))";
    clickhouse
        .query(&format!("INSERT INTO events SELECT * FROM events WHERE {first}"))
        .execute()
        .await
        .unwrap();
    let doubled = river.verdict().await;
    assert!(!doubled.holds() && doubled.rows == 101, "{doubled:?}");
    let settings = "SETTINGS mutations_sync = 2";
    clickhouse.query(&format!("ALTER TABLE events DELETE WHERE {first} {settings}")).execute().await.unwrap();
    let lost = river.verdict().await;
    assert!(!lost.holds() && lost.rows == 99, "{lost:?}");
    clickhouse
        .query("INSERT INTO events SELECT * REPLACE (99 AS log_partition) FROM events LIMIT 1")
        .execute()
        .await
        .unwrap();
    let foreign = river.verdict().await;
    assert!(foreign.mismatches.iter().any(|what| what.contains("does not have")), "{foreign:?}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_very_many_ranges_is_held_against_the_rows_at_once() {
    let river = river_with_events().await;
    sqlx::query(
        "INSERT INTO batch_ledger (partition, lo, hi, stored, duplicate, dead, xor_hash)
         SELECT 0, 1000000 + n, 1000001 + n, 0, 0, 0, 0 FROM generate_series(0, 199999) AS n",
    )
    .execute(&river.stores.pool)
    .await
    .unwrap();
    let verdict = river.verdict().await;
    let mismatches = verdict.mismatches.join("\n");
    assert!(mismatches.contains("ledger range at 1000000"), "the ledger has a gap: {verdict:?}");
    assert!(mismatches.contains("the ledger ends at 1200000"), "and an end too far: {verdict:?}");
    assert_eq!((verdict.mismatch_count, verdict.rows, verdict.accepted), (2, 100, 120), "{verdict:?}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_books_are_found() {
    for forgery in [
        "UPDATE usage_hour SET stored = stored + 1",
        "UPDATE usage_hour SET duplicate = duplicate - 1",
        "UPDATE batch_ledger SET stored = stored - 1, dead = dead + 1 WHERE lo = 0",
        "UPDATE batch_ledger SET xor_hash = xor_hash + 1 WHERE lo = 0",
        "UPDATE batch_ledger SET xor_contents = xor_contents + 1 WHERE lo = 0",
        "UPDATE usage_hour SET period_start = period_start - interval '1 month'",
        "UPDATE usage_hour SET hour = hour - interval '1 hour'",
        "INSERT INTO usage_hour SELECT tenant_id, project_id, 'other', period_start, hour, 1, 0, 0 FROM usage_hour",
        "UPDATE quota_period SET granted = granted + 1",
        "UPDATE quota_period SET granted = granted - 1",
        "UPDATE quota_lease SET granted = granted + 1",
        "UPDATE quota_lease SET processed = processed - 1",
        "DELETE FROM quota_lease",
        "UPDATE usage_hour SET project_id = project_id + 1",
        "UPDATE batch_ledger SET lo = lo + 1 WHERE hi > lo + 1",
        "UPDATE partition_cursor SET next_offset = next_offset - 1 WHERE next_offset > 0",
    ] {
        let river = river_with_events().await;
        sqlx::query(forgery).execute(&river.stores.pool).await.unwrap();
        let verdict = river.verdict().await;
        assert!(!verdict.holds(), "{forgery}: {verdict:?}");
        drop(river);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_version_before_are_proved_as_far_as_they_can_be() {
    let river = river_with_events().await;
    let clickhouse = river.stores.clickhouse();
    let old =
        "ALTER TABLE events UPDATE content_hash = 0, period_start = 0 WHERE true SETTINGS mutations_sync = 2";
    clickhouse.query(old).execute().await.unwrap();
    let forged = river.verdict().await;
    assert!(!forged.holds(), "hashes that the ledger knows are missed: {forged:?}");
    sqlx::query("UPDATE batch_ledger SET hashed = 0, xor_contents = 0")
        .execute(&river.stores.pool)
        .await
        .unwrap();
    let before = river.verdict().await;
    assert!(before.holds() && (before.hashed, before.unhashed) == (0, 100), "{before:?}");
    let customer = river.customer("new", Some(1_000)).await;
    assert_eq!(river.client(&customer.key).post_ids(0..100).await.status, 202);
    metered(&river, &customer, 100).await;
    let after = river.verdict().await;
    assert!(after.holds() && after.hashed + after.unhashed == 200, "{after:?}");
    sqlx::query(
        "UPDATE usage_hour SET stored = stored + 1, period_start = period_start - interval '1 month'",
    )
    .execute(&river.stores.pool)
    .await
    .unwrap();
    assert!(!river.verdict().await.holds());
    river.stop().await;
}

pub(crate) const SYNC: &str = "SETTINGS mutations_sync = 2";

/// A forger who can write to ClickHouse and Postgres changes both so that they agree with each other.
pub(crate) struct Forger<'a>(pub(crate) &'a River);

impl Forger<'_> {
    pub(crate) async fn rows(&self, statement: &str) {
        self.0.stores.clickhouse().query(statement).execute().await.unwrap();
    }

    /// Exclusive or over the low bits of the hashes of rows' ids and of their contents, `is` being the condition that
    /// finds them.
    pub(crate) async fn sums(&self, is: &str) -> (i64, i64) {
        let low = |column: &str| {
            format!("groupBitXor(toUInt64(bitAnd({column}, toUInt128(18446744073709551615))))")
        };
        let select = format!("SELECT {}, {} FROM events WHERE {is}", low("event_hash"), low("content_hash"));
        let (id, contents): (u64, u64) = self.0.stores.clickhouse().query(&select).fetch_one().await.unwrap();
        (id.cast_signed(), contents.cast_signed())
    }

    /// The ledger's range of an offset of partition 0 has a row more or less, usage and quota an event.
    pub(crate) async fn books(&self, offset: u64, more: i64, (id, contents): (i64, i64)) {
        let ledger =
            "UPDATE batch_ledger SET stored = stored + $1, duplicate = duplicate - $1, hashed = hashed + $1,
                          xor_hash = xor_hash # $2, xor_contents = xor_contents # $3
                      WHERE partition = 0 AND lo <= $4 AND hi > $4";
        let offset = i64::try_from(offset).unwrap();
        let pool = &self.0.stores.pool;
        sqlx::query(ledger).bind(more).bind(id).bind(contents).bind(offset).execute(pool).await.unwrap();
        let usage = "UPDATE usage_hour SET stored = stored + $1, duplicate = duplicate - $1
                     WHERE hour = (SELECT max(hour) FROM usage_hour)";
        sqlx::query(usage).bind(more).execute(pool).await.unwrap();
        let quota = "UPDATE quota_period SET granted = granted + $1";
        sqlx::query(quota).bind(more).execute(pool).await.unwrap();
    }
}

/// What stands first in the last record of partition 0: a repetition. Its id, and where it stands.
async fn repetition(river: &River) -> (String, Position) {
    let end = river.log.bounds().await.unwrap()[0].end;
    let mut reader = river.log.reader(&[(0, end - 1)]).await.unwrap();
    let records = reader.read(1 << 20, std::time::Duration::from_secs(5)).await.unwrap();
    let placed = batch::decode(&records).events[0];
    (placed.event.id.to_owned(), placed.position)
}

const FIRST: &str =
    "(log_partition, position) = (0, (SELECT min(position) FROM events WHERE log_partition = 0))";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_judged_a_duplicate_and_was_none_is_found() {
    let river = river_with_events().await;
    let forger = Forger(&river);
    let hashes = forger.sums(FIRST).await;
    forger.rows(&format!("ALTER TABLE events DELETE WHERE {FIRST} {SYNC}")).await;
    forger.books(0, -1, hashes).await;
    let verdict = river.verdict().await;
    let first = verdict.mismatches.first().unwrap();
    assert!(
        first.starts_with("partition 0, offsets [0, ") && first.contains("stored by the log"),
        "{verdict:?}"
    );
    assert!(verdict.mismatches.iter().any(|what| what.contains("in usage")), "{verdict:?}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_stored_at_two_positions_is_found() {
    let river = river_with_events().await;
    let forger = Forger(&river);
    let (id, at) = repetition(&river).await;
    let twice = format!("log_partition = 0 AND position = {}", at.number());
    let new = format!(
        "INSERT INTO events SELECT * REPLACE ({} AS position) FROM events WHERE event_id = '{id}'",
        at.number()
    );
    forger.rows(&new).await;
    forger
        .rows(&format!(
            "ALTER TABLE events UPDATE content_hash = {} WHERE {twice} {SYNC}",
            content_hash_in_sql()
        ))
        .await;
    forger.books(at.offset(), 1, forger.sums(&twice).await).await;
    let verdict = river.verdict().await;
    assert!(verdict.rows == 101, "{verdict:?}");
    assert!(verdict.mismatches.iter().any(|what| what.contains("stored by the log")), "{verdict:?}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_that_rows_and_ledger_agree_on_and_the_log_does_not_are_found() {
    // The last ones say that another geo database was in use, or other rules, under which a row may have other places
    // and agents: no other user.
    for forgery in [
        "user_id = 'forged'",
        "event = 'forged'",
        "timestamp = timestamp + 1",
        "properties = '{}'",
        "user_id = 'forged', geo_built = 77",
        "browser = 'forged', geo_built = 77",
        "period_start = toDateTime64(0,0), geo_built = 77",
        "user_id = 'forged', enrichment = 1",
    ] {
        let river = river_with_events().await;
        let forger = Forger(&river);
        let (_, before) = forger.sums(FIRST).await;
        let (forgery, then) = forgery.split_once(", ").unwrap_or((forgery, "flags = 0"));
        // The event's name is in the sort key, which no update may change: the row is written again.
        let (column, value) = forgery.split_once(" = ").unwrap();
        let new = format!("SELECT * REPLACE ({value} AS {column}, 1 AS flags) FROM events WHERE {FIRST}");
        forger.rows(&format!("INSERT INTO events {new}")).await;
        forger.rows(&format!("ALTER TABLE events DELETE WHERE {FIRST} AND flags != 1 {SYNC}")).await;
        for update in ["flags = 0", then] {
            forger.rows(&format!("ALTER TABLE events UPDATE {update} WHERE {FIRST} {SYNC}")).await;
        }
        forger
            .rows(&format!(
                "ALTER TABLE events UPDATE content_hash = {} WHERE {FIRST} {SYNC}",
                content_hash_in_sql()
            ))
            .await;
        let (_, after) = forger.sums(FIRST).await;
        assert_ne!(before, after);
        for ledger in [
            "UPDATE batch_ledger SET xor_contents = xor_contents # $1 WHERE partition = 0 AND lo = 0",
            "UPDATE usage_hour SET xor_contents = xor_contents # $1",
        ] {
            sqlx::query(ledger).bind(before ^ after).execute(&river.stores.pool).await.unwrap();
        }
        let verdict = river.verdict().await;
        assert_eq!(verdict.mismatch_count, 1, "{forgery}: {verdict:?}");
        let (what, says) = match then {
            "flags = 0" => (0, "contents by the log"),
            _ => (1, "not as the log"),
        };
        assert_eq!(verdict.enriched_otherwise, what, "{forgery}: {verdict:?}");
        assert!(verdict.mismatches[0].contains(says), "{forgery}: {verdict:?}");
        river.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_where_the_log_has_nothing_yet_is_found() {
    let river = river_with_events().await;
    let end = river.log.bounds().await.unwrap()[0].end;
    for (offset, is_found) in [(end, true), (end - 1, false)] {
        let at = Position::first_of(offset).number();
        let new = format!(
            "INSERT INTO events SELECT * REPLACE ({at} AS position, 0 AS log_partition) FROM events LIMIT 1"
        );
        Forger(&river).rows(&new).await;
        let verdict = river.verdict().await;
        assert!(!verdict.holds(), "{verdict:?}");
        assert_eq!(
            verdict.mismatches.iter().any(|what| what.contains("after the log's end")),
            is_found,
            "{verdict:?}"
        );
        let remove = format!("ALTER TABLE events DELETE WHERE log_partition = 0 AND position = {at} {SYNC}");
        Forger(&river).rows(&remove).await;
    }
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_changed_before_a_head_that_was_kept_is_found() {
    let river = river_with_events().await;
    let customer = river.customer("new", None).await;
    assert!(
        river.verdict().await.heads.iter().all(|head| head.offset == 0),
        "a range that may grow is in no head"
    );
    // As if ranges were full at their first record: the second one, of 20 repetitions, is a range of its own.
    for statement in [
        "INSERT INTO batch_ledger (partition, lo, hi, stored, duplicate, dead, xor_hash)
         SELECT partition, 1, hi + 100, 0, duplicate, 0, 0 FROM batch_ledger WHERE lo = 0",
        "UPDATE batch_ledger SET hi = 1, duplicate = 0 WHERE lo = 0",
        "UPDATE batch_ledger SET hi = hi - 100 WHERE lo = 1",
    ] {
        sqlx::query(statement).execute(&river.stores.pool).await.unwrap();
    }
    let heads = river.verdict().await.heads;
    assert!(heads.iter().all(|head| head.offset > 0), "{heads:?}");
    assert_eq!(river.client(&customer.key).post_ids(0..100).await.status, 202);
    metered(&river, &customer, 100).await;
    let since = async || river.stores.verdict_since(&*river.log, &heads).await;
    let later = since().await;
    assert!(later.holds() && later.heads == heads, "{later:?}");
    // What no figure shows: two ranges that became one, and one that became two.
    for forgery in [
        "WITH gone AS (DELETE FROM batch_ledger WHERE partition = 0 AND lo = 0
                       RETURNING hi, stored, duplicate, xor_hash, hashed, xor_contents)
         UPDATE batch_ledger b SET lo = 0, stored = b.stored + g.stored, duplicate = b.duplicate + g.duplicate,
             xor_hash = b.xor_hash # g.xor_hash, hashed = b.hashed + g.hashed,
             xor_contents = b.xor_contents # g.xor_contents
         FROM gone g WHERE b.partition = 0 AND b.lo = g.hi",
        "UPDATE batch_ledger SET stored = stored - 1, dead = dead + 1 WHERE partition = 1 AND lo = 0",
    ] {
        sqlx::query(forgery).execute(&river.stores.pool).await.unwrap();
        let found = since().await;
        assert!(found.mismatches.iter().any(|what| what.contains("ledger up to")), "{forgery}: {found:?}");
    }
    river.stop().await;
}
