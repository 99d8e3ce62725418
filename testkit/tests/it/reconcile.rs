//! Reconciliation finds what does not agree, says so until it does, and leaves it alone.

use std::time::Duration;

use processor::below;
use proof::reconcile;
use service::shutdown::Shutdown;
use testkit::river::RiverConfig;
use testkit::{River, eventually};

use crate::dead::one_partition;
use crate::river::metered;

const HOUR: Duration = Duration::from_hours(1);

/// Compares nothing by itself.
fn quiet() -> RiverConfig {
    let settings = vec![("WEIR_RECONCILE_MINUTES", "0".to_owned())];
    RiverConfig { settings, ..one_partition() }
}

async fn mismatched(river: &River) -> i64 {
    river.stores.postgres_number("SELECT count(*) FROM mismatched_range").await
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_rows_are_reported_until_they_are_mended() {
    let river = River::start_with(quiet()).await;
    let customer = river.customer("acme", None).await;
    let (pool, clickhouse) = (river.stores.processor.clone(), river.stores.clickhouse());
    assert_eq!(reconcile::round(&pool, &clickhouse, HOUR).await.unwrap(), 0, "there is nothing yet");
    assert_eq!(river.client(&customer.key).post_ids(0..50).await.status, 202);
    metered(&river, &customer, 50).await;
    assert_eq!(reconcile::round(&pool, &clickhouse, HOUR).await.unwrap(), 1);
    assert_eq!(mismatched(&river).await, 0);

    // What was compared already is seen again, when its turn comes.
    let lost = "ALTER TABLE events DELETE WHERE event_id = '7' SETTINGS mutations_sync = 2";
    clickhouse.query("CREATE TABLE aside AS events").execute().await.unwrap();
    clickhouse.query("INSERT INTO aside SELECT * FROM events WHERE event_id = '7'").execute().await.unwrap();
    clickhouse.query(lost).execute().await.unwrap();
    for _ in 0..2 {
        assert!(reconcile::round(&pool, &clickhouse, HOUR).await.unwrap() >= 1);
        let found: (i32, i64, String) = sqlx::query_as("SELECT partition, lo, detail FROM mismatched_range")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert!(found.0 == 0 && found.1 == 0 && found.2.starts_with("49 rows at 49 positions"), "{found:?}");
    }
    assert_eq!(river.stores.clickhouse_number("SELECT count() FROM events").await, 49, "it repairs nothing");
    clickhouse.query("INSERT INTO events SELECT * FROM aside").execute().await.unwrap();
    reconcile::round(&pool, &clickhouse, HOUR).await.unwrap();
    assert_eq!(mismatched(&river).await, 0);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_ranges_are_seen_in_turn_a_part_each_time_and_all_in_a_day() {
    let river = River::start_with(quiet()).await;
    let (pool, clickhouse) = (river.stores.processor.clone(), river.stores.clickhouse());
    sqlx::query("INSERT INTO batch_ledger SELECT 0, n, n + 1, 0, 0, 0, 0 FROM generate_series(0, 99) AS n")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(reconcile::round(&pool, &clickhouse, HOUR).await.unwrap(), 100, "all are new");
    let mut seen = 0;
    for _ in 0..24 {
        // A range that is found damaged is looked at again each time: here, one that was seen this time.
        seen += reconcile::round(&pool, &clickhouse, HOUR).await.unwrap();
    }
    assert!((100..=125).contains(&seen), "{seen}");
    // One that is damaged after it was seen is found within a day.
    sqlx::query("UPDATE batch_ledger SET stored = 1 WHERE lo = 57").execute(&pool).await.unwrap();
    for _ in 0..24 {
        reconcile::round(&pool, &clickhouse, HOUR).await.unwrap();
    }
    assert_eq!(mismatched(&river).await, 1);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_at_a_time_compares_and_the_next_one_when_it_is_gone() {
    let river = River::start_with(quiet()).await;
    let customer = river.customer("acme", None).await;
    assert_eq!(river.client(&customer.key).post_ids(0..5).await.status, 202);
    metered(&river, &customer, 5).await;
    let (pool, clickhouse) = (river.stores.processor.clone(), river.stores.clickhouse());
    let held = below::try_reconcile(&pool).await.unwrap().unwrap();
    assert!(below::try_reconcile(&pool).await.unwrap().is_none());
    assert_eq!(reconcile::round(&pool, &clickhouse, HOUR).await.unwrap(), 0);
    held.release().await;
    let (trigger, shutdown) = Shutdown::new();
    let running = tokio::spawn(reconcile::run(pool.clone(), clickhouse, HOUR, shutdown));
    eventually("a run has ended", Duration::from_secs(30), async || {
        river.stores.postgres_number("SELECT count(ended_at) FROM reconciliation").await == 1
    })
    .await;
    assert_eq!(river.stores.postgres_number("SELECT new_to FROM reconciled_partition").await, 1);
    trigger.order();
    running.await.unwrap();
    river.stop().await;
}
