//! Events that a plan keeps no longer are removed, and no other.

use eventlog::local::{LocalConfig, LocalLog};
use serde_json::json;
use service::clock::Clock;
use testkit::River;
use testkit::river::RiverConfig;

use super::{done, eraser, proved, rows_of, send};
use crate::proof::{Forger, SYNC};
use crate::river::metered;

const DAY: i64 = 86_400_000_000;

/// A river in which two tenants sent ten events each 40 days ago, and five each now; `short` keeps them for 30 days.
async fn after_forty_days() -> (River, [testkit::river::Customer; 2]) {
    let now = Clock::system().now_micros();
    let config = RiverConfig { clock: Clock::at(now - 40 * DAY), erases: false, ..RiverConfig::default() };
    let river = River::start_with(config).await;
    let customers = [river.customer("short", None).await, river.customer("long", None).await];
    for customer in &customers {
        send(&river, &customer.key, "ada", 0..10).await;
    }
    stored(&river, 20).await;
    brief_plan(&river).await;
    let (stores, log) = river.stop().await;
    let config = RiverConfig { erases: false, ..RiverConfig::default() };
    let river = River::start_on(stores, log, config).await;
    for customer in &customers {
        send(&river, &customer.key, "ada", 10..15).await;
    }
    stored(&river, 30).await;
    (river, customers)
}

/// Gives the tenant `short` a plan that keeps events for 30 days.
async fn brief_plan(river: &River) {
    let plan = json!({"quota": null, "rate": null, "retention_days": 30});
    let reply = river
        .operator()
        .send(
            hyper::Method::PUT,
            "/v1/operator/plans/brief",
            &[("content-type", "application/json")],
            plan.to_string(),
        )
        .await;
    assert_eq!(reply.json()["retention_days"], 30, "{reply:?}");
    let change = json!({"plan": "brief"}).to_string();
    let headers = [("content-type", "application/json")];
    river.operator().send(hyper::Method::PATCH, "/v1/operator/tenants/short", &headers, change).await;
}

async fn stored(river: &River, events: i64) {
    testkit::eventually("the events are stored", std::time::Duration::from_secs(20), async || {
        river.stores.postgres_number("SELECT coalesce(sum(stored), 0)::bigint FROM usage_hour").await
            == events
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plan_keeps_no_longer_is_removed_and_every_total_stays_proved() {
    let (river, [short, long]) = after_forty_days().await;
    let eraser = eraser(&river, Clock::system());
    eraser.tidy().await.unwrap();
    let round = eraser.begin().await.unwrap().unwrap();
    assert!(eraser.count(&round).await.unwrap());
    let verdict = proved(&river).await;
    assert_eq!((verdict.rows, verdict.erased, verdict.erasing), (20, 10, true));
    eraser.turn().await.unwrap();
    assert_eq!(rows_of(&river, &short, "ada").await, 5);
    assert_eq!(rows_of(&river, &long, "ada").await, 15);
    let verdict = proved(&river).await;
    assert_eq!((verdict.stored, verdict.rows, verdict.erased, verdict.erasing), (30, 20, 10, false));
    // Nothing more is to be removed, and one who is erased as well is counted once.
    eraser.tidy().await.unwrap();
    assert!(eraser.begin().await.unwrap().is_none());
    let id = super::ask(&river, "short", json!({"user_id": "ada"})).await;
    eraser.turn().await.unwrap();
    assert_eq!(done(&river, "short", &id).await["events"], 5);
    assert_eq!(proved(&river).await.rows, 15);
    metered(&river, &long, 5).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_repetition_whose_first_event_is_erased_and_no_longer_in_the_log_nothing_else_is_excused() {
    let now = Clock::system().now_micros();
    let days = || vec![("WEIR_DEDUP_DAYS", "60".to_owned())];
    let config = |at| RiverConfig {
        clock: at,
        erases: false,
        partitions: 1,
        settings: days(),
        ..RiverConfig::default()
    };
    let stores = testkit::Stores::fresh().await;
    let mut local = LocalConfig::new(stores.folder.path().join("log"), 1);
    // A segment of its own for each record, so that each can be trimmed.
    (local.segment_bytes_max, local.retention) = (1, std::time::Duration::ZERO);
    let log = std::sync::Arc::new(LocalLog::open(local).unwrap());
    let river = River::start_on(stores, log, config(Clock::at(now - 40 * DAY))).await;
    let [short, long] = [river.customer("short", None).await, river.customer("long", None).await];
    for customer in [&short, &long] {
        send(&river, &customer.key, "ada", 0..10).await;
    }
    stored(&river, 20).await;
    let (stores, log) = river.stop().await;
    let river = River::start_on(stores, log, config(Clock::system())).await;
    for customer in [&short, &long] {
        send(&river, &customer.key, "ada", 0..15).await;
    }
    stored(&river, 30).await;
    brief_plan(&river).await;
    let eraser = eraser(&river, Clock::system());
    eraser.tidy().await.unwrap();
    eraser.turn().await.unwrap();
    assert_eq!((rows_of(&river, &short, "ada").await, rows_of(&river, &long, "ada").await), (5, 15));
    // As if the first day's range had been full.
    let forger = Forger(&river);
    let (id, contents) = forger.sums("bitShiftRight(position, 16) >= 2").await;
    for split in [
        "UPDATE batch_ledger SET hi = 2, stored = 20, duplicate = 0, hashed = 20, xor_hash = xor_hash # $1,
             xor_contents = xor_contents # $2",
        "INSERT INTO batch_ledger (partition, lo, hi, stored, duplicate, dead, xor_hash, hashed, xor_contents)
         VALUES (0, 2, 4, 10, 20, 0, $1, 10, $2)",
    ] {
        sqlx::query(split).bind(id).bind(contents).execute(&river.stores.pool).await.unwrap();
    }
    proved(&river).await;
    // Ten more are judged stored now: nothing knows their ids any more.
    river.log.trim(0, 2).await.unwrap();
    let verdict = river.stores.verdict_by(&*river.log, days()).await;
    assert!(verdict.holds() && verdict.undecided > 0, "{verdict:?}");
    // An event of a tenant of whom nothing was erased was no repetition.
    let last = format!("tenant_id = {} AND event_id = 'ada-14'", long.tenant);
    let hashes = forger.sums(&last).await;
    let offset = river.log.bounds().await.unwrap()[0].end - 1;
    forger.rows(&format!("ALTER TABLE events DELETE WHERE {last} {SYNC}")).await;
    forger.books(offset, -1, hashes).await;
    let forged = river.stores.verdict_by(&*river.log, days()).await;
    assert!(forged.mismatches.iter().any(|what| what.contains("stored by the log")), "{forged:?}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_not_counted_while_it_is_erased_at_a_persons_request() {
    let (river, [short, long]) = after_forty_days().await;
    let slow = eraser(&river, Clock::system());
    slow.tidy().await.unwrap();
    let stale = slow.begin().await.unwrap().unwrap();
    let id = super::ask(&river, "short", json!({"user_id": "ada"})).await;
    let quick = eraser(&river, Clock::system());
    let newer = quick.begin().await.unwrap().unwrap();
    assert!(quick.count(&newer).await.unwrap());
    assert!(!slow.count(&stale).await.unwrap(), "its rows are counted in the newer round");
    proved(&river).await;
    quick.turn().await.unwrap();
    assert_eq!(done(&river, "short", &id).await["events"], 15);
    assert_eq!((rows_of(&river, &short, "ada").await, rows_of(&river, &long, "ada").await), (0, 15));
    let verdict = proved(&river).await;
    assert_eq!((verdict.stored, verdict.rows, verdict.erased), (30, 15, 15));
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_clock_is_wrong_removes_nothing() {
    let (river, [short, _]) = after_forty_days().await;
    let ahead = eraser(&river, Clock::at(Clock::system().now_micros() + 2 * DAY));
    ahead.tidy().await.unwrap();
    ahead.turn().await.unwrap();
    assert_eq!(rows_of(&river, &short, "ada").await, 15);
    assert_eq!(river.stores.postgres_number("SELECT count(*) FROM erasure").await, 0);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_of_an_erased_tenant_goes_and_every_total_stays_proved() {
    let (river, [_, long]) = after_forty_days().await;
    let postgres = &river.stores.pool;
    sqlx::query("UPDATE tenant SET status = 'erased' WHERE name = 'long'").execute(postgres).await.unwrap();
    let eraser = eraser(&river, Clock::system());
    eraser.tidy().await.unwrap();
    eraser.turn().await.unwrap();
    // Keys of an erased tenant have been refused for longer than the dedup window. These five have not.
    assert_eq!(rows_of(&river, &long, "ada").await, 5);
    let verdict = proved(&river).await;
    assert_eq!((verdict.stored, verdict.rows, verdict.erased, verdict.erasing), (30, 10, 20, false));
    let letters = "INSERT INTO dead_letter (partition, position, tenant_id, project_id, events, reason, raw)
         SELECT 0, id, id, 1, 1, 'a test', 'what was sent' FROM tenant";
    sqlx::query(letters).execute(postgres).await.unwrap();
    eraser.tidy().await.unwrap();
    let discarded = "SELECT count(*) FROM dead_letter WHERE state = 'discarded' AND raw = ''";
    assert_eq!(river.stores.postgres_number(discarded).await, 1, "of one tenant, and of no other");
    river.stop().await;
}
