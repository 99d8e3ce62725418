//! Whatever rows lose, they get back from the log, and what they never had goes.

use std::time::Duration;

use processor::ProcessorConfig;
use proof::Stores;
use proof::repair::{Repair, repair};
use proof::replay::{Report, Selection, replay};
use schemas::time::Micros;
use service::config::Settings;
use testkit::river::{Customer, RiverConfig};
use testkit::{River, eventually};

use crate::dead::{assert_proved, one_partition};
use crate::river::metered;

const SYNC: &str = "SETTINGS mutations_sync = 2";
/// A row in the middle.
const ONE: &str =
    "(log_partition, position) = (0, (SELECT quantileExact(position) FROM events WHERE log_partition = 0))";

fn config() -> ProcessorConfig {
    let mut settings = Settings::new([]);
    let config = ProcessorConfig::read(&mut settings, std::path::Path::new("not-used"));
    settings.finish().unwrap();
    config
}

pub(crate) async fn repaired(river: &River) -> Repair {
    let clickhouse = river.stores.clickhouse();
    repair(&Stores::new(&river.stores.processor, &clickhouse, &*river.log, &config())).await.unwrap()
}

async fn replayed(river: &River, selection: Selection) -> Report {
    let clickhouse = river.stores.clickhouse();
    replay(&Stores::new(&river.stores.processor, &clickhouse, &*river.log, &config()), selection)
        .await
        .unwrap()
}

/// A number that depends on every byte of every row.
async fn every_byte(river: &River) -> u64 {
    river.stores.clickhouse_number("SELECT groupBitXor(cityHash64(*)) FROM events").await
}

async fn run(river: &River, statements: &[String]) {
    for statement in statements {
        river.stores.clickhouse().query(statement).execute().await.unwrap();
    }
}

/// 300 stored events in ten records a partition, and 60 duplicates.
async fn river_with_events(partitions: u32) -> (River, Customer) {
    let river = River::start_with(RiverConfig { partitions, ..RiverConfig::default() }).await;
    let customer = river.customer("acme", None).await;
    let client = river.client(&customer.key);
    for round in 0..10 {
        assert_eq!(client.post_ids(round * 30..round * 30 + 30).await.status, 202);
    }
    assert_eq!(client.post_ids(100..160).await.status, 202);
    metered(&river, &customer, 300).await;
    eventually("all is counted", Duration::from_secs(20), async || {
        river.stores.postgres_number("SELECT sum(duplicate)::bigint FROM usage_hour").await == 60
    })
    .await;
    (river, customer)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_damage_to_rows_is_found_and_mended_from_the_log() {
    let (river, customer) = river_with_events(2).await;
    let intact = every_byte(&river).await;
    let month = river.stores.clickhouse_number("SELECT max(toYYYYMM(received_at))::UInt64 FROM events").await;
    let forged = |what: &str| {
        vec![
            format!("INSERT INTO events SELECT * REPLACE ({what}) FROM events WHERE {ONE}"),
            format!("ALTER TABLE events DELETE WHERE {ONE} AND event_id NOT IN ('forged') {SYNC}"),
        ]
    };
    let damages: [(&str, Vec<String>, usize, usize); 9] = [
        ("a row is gone", vec![format!("ALTER TABLE events DELETE WHERE {ONE} {SYNC}")], 1, 0),
        ("a row is there twice", vec![format!("INSERT INTO events SELECT * FROM events WHERE {ONE}")], 1, 2),
        (
            "a row has another id",
            forged("'forged' AS event_id, toUInt128(event_hash + 1) AS event_hash"),
            1,
            1,
        ),
        ("a row is another tenant's", forged("'forged' AS event_id, tenant_id + 1 AS tenant_id"), 1, 1),
        ("a row is of another hour", forged("'forged' AS event_id, received_at - 7200 AS received_at"), 1, 1),
        (
            "a row stands where the log has none",
            vec![format!(
                "INSERT INTO events SELECT * REPLACE ('forged' AS event, position + 9999 AS position) FROM \
                 (SELECT * FROM events WHERE {ONE})"
            )],
            0,
            1,
        ),
        (
            "a partition of the log has no rows",
            vec![format!("ALTER TABLE events DELETE WHERE log_partition = 1 {SYNC}")],
            usize::try_from(
                river.stores.clickhouse_number("SELECT countIf(log_partition = 1) FROM events").await,
            )
            .unwrap(),
            0,
        ),
        ("a month is dropped", vec![format!("ALTER TABLE events DROP PARTITION {month}")], 300, 0),
        ("all is gone", vec!["TRUNCATE TABLE events".to_owned()], 300, 0),
    ];
    for (damage, statements, inserted, removed) in damages {
        run(&river, &statements).await;
        let verdict = river.verdict().await;
        assert!(!verdict.holds(), "{damage}");
        let Repair { done, verdict } = repaired(&river).await;
        assert!(verdict.holds() && done.failed == 0, "{damage}: {done:?} {verdict:?}");
        // A test that runs over the end of a month drops but one of the two.
        if damage != "a month is dropped" {
            assert_eq!((done.inserted, done.removed), (inserted, removed), "{damage}: {done:?}");
        }
        assert_eq!(every_byte(&river).await, intact, "{damage}");
    }
    let Repair { done, verdict } = repaired(&river).await;
    assert!(verdict.holds() && (done.damaged, done.inserted, done.removed) == (0, 0, 0), "{done:?}");
    // An owner that took a partition while rows were missing knows their ids by now, at the latest.
    let (stores, log) = river.stop().await;
    let river = River::start_on(stores, log, RiverConfig::default()).await;
    assert_eq!(river.client(&customer.key).post_ids(290..310).await.status, 202);
    metered(&river, &customer, 310).await;
    assert_proved(&river, "at last").await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_altered_in_a_row_is_found_and_mended_from_the_log() {
    let (river, _) = river_with_events(2).await;
    let intact = every_byte(&river).await;
    let rows = river.stores.clickhouse_number("SELECT countIf(log_partition = 0) FROM events").await;
    let rows = usize::try_from(rows).unwrap();
    let hash = format!("content_hash = {}", processor::rows::content_hash_in_sql());
    let altered = [
        ("event_id = 'another'", 1),
        ("type = 'screen'", 1),
        ("user_id = 'somebody else'", 1),
        ("anonymous_id = 'somebody else'", 1),
        ("timestamp = timestamp - 1", 1),
        (r#"properties = '{"price": 1}'"#, 1),
        ("context = '{}'", 1),
        ("extra = '{}'", 1),
        ("client_ip = toIPv6('::2')", 1),
        ("user_agent = 'another'", 1),
        ("request_id = generateUUIDv4()", 1),
        ("key_id = key_id + 1", 1),
        ("flags = bitXor(flags, 1)", 1),
        ("enrichment = enrichment + 1", 1),
        ("browser = 'another'", 1),
        ("geo_country = 'XX'", 1),
        ("utm_source = 'another'", 1),
        ("period_start = period_start - 86400", 1),
        ("content_hash = content_hash + 1", 1),
        // Found by what the ledger says of all rows of the range, so all of them are written again.
        ("content_hash = 0", rows),
        ("user_id = 'somebody else', content_hash = 0", rows),
    ];
    let update = |what: &str| format!("ALTER TABLE events UPDATE {what} WHERE {ONE} {SYNC}");
    let with_hash = vec![update("user_id = 'somebody else'"), update(&hash)];
    let altered = altered.map(|(what, mended)| (what, vec![update(what)], mended));
    for (what, statements, mended) in altered.into_iter().chain([("user and hash", with_hash, rows)]) {
        run(&river, &statements).await;
        let verdict = river.verdict().await;
        assert!(!verdict.holds(), "{what}");
        let Repair { done, verdict } = repaired(&river).await;
        assert!(verdict.holds() && done.failed == 0, "{what}: {done:?} {verdict:?}");
        assert_eq!((done.inserted, done.removed), (mended, mended), "{what}: {done:?}");
        assert_eq!(every_byte(&river).await, intact, "{what}");
    }
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_would_not_be_what_it_was_is_left_and_one_that_is_missing_comes_back() {
    let (river, _) = river_with_events(1).await;
    // As a version with other rules has written them.
    let hash = processor::rows::content_hash_in_sql();
    for column in ["enrichment = 1", &format!("content_hash = {hash}")] {
        run(&river, &[format!("ALTER TABLE events UPDATE {column} WHERE true {SYNC}")]).await;
    }
    let xor =
        "SELECT groupBitXor(toUInt64(bitAnd(content_hash, toUInt128(18446744073709551615)))) FROM events";
    let xor = river.stores.clickhouse_number(xor).await.cast_signed();
    for ledger in ["UPDATE batch_ledger SET xor_contents = $1", "UPDATE usage_hour SET xor_contents = $1"] {
        sqlx::query(ledger).bind(xor).execute(&river.stores.pool).await.unwrap();
    }
    assert_proved(&river, "written by other rules").await;
    run(&river, &[format!("INSERT INTO events SELECT * FROM events WHERE {ONE}")]).await;
    let doubled = every_byte(&river).await;
    let Repair { done, verdict } = repaired(&river).await;
    assert!(!verdict.holds() && (done.failed, done.removed, done.inserted) == (1, 0, 0), "{done:?}");
    assert!(done.notes.iter().any(|note| note.contains("WEIR_GEO_DATABASE")), "{done:?}");
    assert_eq!(every_byte(&river).await, doubled);
    run(&river, &[format!("ALTER TABLE events DELETE WHERE {ONE} {SYNC}")]).await;
    let Repair { done, verdict } = repaired(&river).await;
    assert_eq!((done.failed, done.removed, done.inserted), (0, 0, 1), "{done:?}");
    assert!(!verdict.holds() && verdict.rows == 300, "it is there, and not what it was: {verdict:?}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_books_are_not_mended() {
    let (river, _) = river_with_events(1).await;
    for forgery in [
        "UPDATE batch_ledger SET stored = stored - 1, dead = dead + 1 WHERE lo = 0",
        "UPDATE batch_ledger SET stored = stored + 1, dead = dead - 1, xor_hash = xor_hash + 1 WHERE lo = 0",
    ] {
        sqlx::query(forgery).execute(&river.stores.pool).await.unwrap();
        let intact = every_byte(&river).await;
        let Repair { done, verdict } = repaired(&river).await;
        assert!(!verdict.holds() && done.failed == 1 && done.removed == 0, "{done:?}");
        assert!(done.notes[0].contains("not mended: by the log 300 events of it are stored"), "{done:?}");
        assert_eq!(every_byte(&river).await, intact);
    }
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_table_gets_the_rows_that_were_chosen_and_no_others() {
    let (river, _) = river_with_events(1).await;
    let intact = every_byte(&river).await;
    let end = river.stores.postgres_number("SELECT next_offset FROM partition_cursor").await;
    let end = u64::try_from(end).unwrap();
    let of = |from, to| Selection::Offsets { partition: 0, from, to };
    run(&river, &["TRUNCATE TABLE events".to_owned()]).await;
    assert_eq!(replayed(&river, of(0, 1)).await.inserted, 30);
    assert_eq!(replayed(&river, of(0, 1)).await.inserted, 0);
    assert_eq!(replayed(&river, of(1, 3)).await.inserted, 60);
    assert_eq!(replayed(&river, of(end, end + 5)).await.ranges, 0, "there is nothing below the cursor");
    let other = Selection::Offsets { partition: 1, from: 0, to: end };
    assert_eq!(replayed(&river, other).await.ranges, 0);
    let period = |from, to| Selection::Period { from: Micros(from), to: Micros(to) };
    assert_eq!(replayed(&river, period(0, 1_000_000)).await.inserted, 0);
    let generation = river.stores.postgres_number("SELECT ids_generation FROM partition_cursor").await;
    assert_eq!(generation, 2, "one for each time that brought rows");
    assert_eq!(replayed(&river, period(0, i64::MAX)).await.inserted, 210);
    assert_eq!(every_byte(&river).await, intact);
    assert_proved(&river, "by and by").await;
    run(&river, &["TRUNCATE TABLE events".to_owned()]).await;
    let report = replayed(&river, Selection::All).await;
    assert_eq!((report.inserted, report.failed), (300, 0), "{report:?}");
    assert_eq!(every_byte(&river).await, intact);
    assert_proved(&river, "at once").await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_has_dropped_is_named_and_the_rest_is_brought_back() {
    let stores = testkit::Stores::fresh().await;
    let mut local = eventlog::local::LocalConfig::new(stores.folder.path().join("log"), 1);
    (local.segment_bytes_max, local.retention) = (1, Duration::ZERO);
    let log = std::sync::Arc::new(eventlog::local::LocalLog::open(local).unwrap());
    let river = River::start_on(stores, log, one_partition()).await;
    let customer = river.customer("acme", None).await;
    let client = river.client(&customer.key);
    for (ids, stored) in [(0..10, 10), (10..20, 20), (20..30, 30)] {
        assert_eq!(client.post_ids(ids).await.status, 202);
        metered(&river, &customer, stored).await;
    }
    // Each of them in a ledger range of its own.
    sqlx::query("UPDATE batch_ledger SET stored = 0, hi = 1").execute(&river.stores.pool).await.unwrap();
    let clickhouse = river.stores.clickhouse();
    for (lo, statement) in [
        (0, "UPDATE batch_ledger SET stored = 10, xor_hash = $1 WHERE lo = $2"),
        (1, "INSERT INTO batch_ledger VALUES (0, $2, $2 + 1, 10, 0, 0, $1)"),
        (2, "INSERT INTO batch_ledger VALUES (0, $2, $2 + 1, 10, 0, 0, $1)"),
    ] {
        let xor: u64 = clickhouse
            .query(
                "SELECT groupBitXor(toUInt64(bitAnd(event_hash, toUInt128(18446744073709551615)))) FROM \
                events WHERE bitShiftRight(position, 16) = ?",
            )
            .bind(lo)
            .fetch_one()
            .await
            .unwrap();
        sqlx::query(statement)
            .bind(xor.cast_signed())
            .bind(i64::from(lo))
            .execute(&river.stores.pool)
            .await
            .unwrap();
    }
    assert_proved(&river, "before").await;
    river.log.trim(0, 1).await.unwrap();
    assert_eq!(river.log.bounds().await.unwrap()[0].start, 1);
    run(&river, &["TRUNCATE TABLE events".to_owned()]).await;
    let report = replayed(&river, Selection::All).await;
    assert_eq!((report.inserted, report.failed), (20, 1), "{report:?}");
    assert!(
        report.notes[0]
            .starts_with("partition 0, offsets [0, 1): not mended: the log no longer has all of it"),
        "{report:?}"
    );
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_started_while_rows_were_missing_learns_their_ids_when_they_are_back() {
    let (river, customer) = river_with_events(1).await;
    let (stores, log) = river.stop().await;
    stores.clickhouse().query("TRUNCATE TABLE events").execute().await.unwrap();
    let river = River::start_on(stores, log, one_partition()).await;
    assert_eq!(river.client(&customer.key).post_ids(["new"]).await.status, 202);
    metered(&river, &customer, 301).await;
    let taken = "SELECT max(epoch) FROM partition_cursor";
    let epoch = river.stores.postgres_number(taken).await;
    assert_eq!(replayed(&river, Selection::All).await.inserted, 300);
    eventually("the ids are read again", Duration::from_secs(20), async || {
        river.stores.postgres_number(taken).await > epoch
    })
    .await;
    assert_eq!(river.client(&customer.key).post_ids(0..300).await.status, 202);
    eventually("all are known", Duration::from_secs(20), async || {
        river.stores.postgres_number("SELECT sum(duplicate)::bigint FROM usage_hour").await == 360
    })
    .await;
    assert_proved(&river, "at last").await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_drifted_is_what_was_stored_and_is_held() {
    let (river, customer) = river_with_events(1).await;
    for drift in ["granted + 7", "granted - 1000"] {
        let forged = format!("UPDATE quota_period SET granted = {drift}");
        sqlx::query(sqlx::AssertSqlSafe(forged)).execute(&river.stores.pool).await.unwrap();
        assert!(!river.verdict().await.holds());
        let Repair { done, verdict } = repaired(&river).await;
        assert!(
            verdict.holds() && done.notes.iter().any(|note| note.contains("quota of tenant")),
            "{done:?}"
        );
    }
    metered(&river, &customer, 300).await;
    river.stop().await;
}
