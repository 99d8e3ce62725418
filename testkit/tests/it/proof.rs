//! `verify` proves what is so, and says so when it is not.

use proof::Verdict;
use proof::verify::verify;
use testkit::River;

use crate::river::metered;

async fn verdict(river: &River) -> Verdict {
    verify(&river.stores.processor, &river.stores.clickhouse(), &*river.log).await.unwrap()
}

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
    let verdict = verdict(&river).await;
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
    let doubled = verdict(&river).await;
    assert!(!doubled.holds() && doubled.rows == 101, "{doubled:?}");
    let settings = "SETTINGS mutations_sync = 2";
    clickhouse.query(&format!("ALTER TABLE events DELETE WHERE {first} {settings}")).execute().await.unwrap();
    let lost = verdict(&river).await;
    assert!(!lost.holds() && lost.rows == 99, "{lost:?}");
    clickhouse
        .query("INSERT INTO events SELECT * REPLACE (99 AS log_partition) FROM events LIMIT 1")
        .execute()
        .await
        .unwrap();
    let foreign = verdict(&river).await;
    assert!(foreign.mismatches.iter().any(|what| what.contains("does not have")), "{foreign:?}");
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
        "UPDATE usage_hour SET project_id = project_id + 1",
        "UPDATE batch_ledger SET lo = lo + 1 WHERE hi > lo + 1",
        "UPDATE partition_cursor SET next_offset = next_offset - 1 WHERE next_offset > 0",
    ] {
        let river = river_with_events().await;
        sqlx::query(forgery).execute(&river.stores.pool).await.unwrap();
        let verdict = verdict(&river).await;
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
    let forged = verdict(&river).await;
    assert!(!forged.holds(), "hashes that the ledger knows are missed: {forged:?}");
    sqlx::query("UPDATE batch_ledger SET hashed = 0, xor_contents = 0")
        .execute(&river.stores.pool)
        .await
        .unwrap();
    let before = verdict(&river).await;
    assert!(before.holds() && (before.hashed, before.unhashed) == (0, 100), "{before:?}");
    let customer = river.customer("new", Some(1_000)).await;
    assert_eq!(river.client(&customer.key).post_ids(0..100).await.status, 202);
    metered(&river, &customer, 100).await;
    let after = verdict(&river).await;
    assert!(after.holds() && after.hashed + after.unhashed == 200, "{after:?}");
    sqlx::query(
        "UPDATE usage_hour SET stored = stored + 1, period_start = period_start - interval '1 month'",
    )
    .execute(&river.stores.pool)
    .await
    .unwrap();
    assert!(!verdict(&river).await.holds());
    river.stop().await;
}
