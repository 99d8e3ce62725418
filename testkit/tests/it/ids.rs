//! Seen ids on disk: whatever becomes of them, a retry is a duplicate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemas::id::{EventHash, ProjectId};
use testkit::river::{Customer, RiverConfig};
use testkit::{River, Stores, eventually};

use crate::river::metered;

fn one_partition() -> RiverConfig {
    RiverConfig { partitions: 1, ..RiverConfig::default() }
}

fn folder(stores: &Stores) -> PathBuf {
    stores.folder.path().join("ids/0")
}

/// A river that has stored and metered the events 0 to 500, and was stopped.
async fn stopped_after_500() -> (Customer, Stores, std::sync::Arc<dyn eventlog::EventLog>) {
    let river = River::start_with(one_partition()).await;
    let customer = river.customer("acme", None).await;
    assert_eq!(river.client(&customer.key).post_ids(0..500).await.status, 202);
    metered(&river, &customer, 500).await;
    let (stores, log) = river.stop().await;
    (customer, stores, log)
}

async fn duplicates(river: &River, expected: i64) {
    eventually(&format!("{expected} are duplicates"), Duration::from_secs(20), async || {
        river.stores.postgres_number("SELECT sum(duplicate)::bigint FROM usage_hour").await == expected
    })
    .await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// The events 400 to 600 are sent, of which a hundred are there already.
async fn retries_are_duplicates(river: &River, customer: &Customer) {
    assert_eq!(river.client(&customer.key).post_ids(400..600).await.status, 202);
    metered(river, customer, 600).await;
    duplicates(river, 100).await;
    let verdict = river.verdict().await;
    assert!(verdict.holds(), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_is_filled_from_clickhouse() {
    let (customer, stores, log) = stopped_after_500().await;
    assert!(folder(&stores).join("manifest").exists());
    std::fs::remove_dir_all(folder(&stores)).unwrap();
    let river = River::start_on(stores, log, one_partition()).await;
    retries_are_duplicates(&river, &customer).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_filled_from_clickhouse() {
    // In the header: noticed when it is opened. In a block: noticed when it is asked, and the next session fills it.
    for at in [100, 12_288 + 100] {
        let (customer, stores, log) = stopped_after_500().await;
        let runs = std::fs::read_dir(folder(&stores)).unwrap().map(|file| file.unwrap().path());
        for run in runs.filter(|path| path.extension().is_some_and(|extension| extension == "ids")) {
            let mut bytes = std::fs::read(&run).unwrap();
            bytes.iter_mut().skip(at).step_by(1_024).for_each(|byte| *byte ^= 4);
            std::fs::write(&run, bytes).unwrap();
        }
        let river = River::start_on(stores, log, one_partition()).await;
        retries_are_duplicates(&river, &customer).await;
        river.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_behind_reads_the_gap_and_nothing_else() {
    let (customer, stores, log) = stopped_after_500().await;
    let (behind, ids) = (stores.folder.path().join("behind"), folder(&stores));
    copy(&ids, &behind);
    let river = River::start_on(stores, log, one_partition()).await;
    assert_eq!(river.client(&customer.key).post_ids(500..800).await.status, 202);
    metered(&river, &customer, 800).await;
    let first_of_gap = river
        .stores
        .clickhouse_number("SELECT position FROM events ORDER BY position LIMIT 1 OFFSET 500")
        .await;
    let (stores, log) = river.stop().await;
    std::fs::remove_dir_all(&ids).unwrap();
    std::fs::rename(&behind, &ids).unwrap();
    // What is on disk is known from there alone: ClickHouse does not have it any more.
    let delete =
        format!("ALTER TABLE events DELETE WHERE position < {first_of_gap} SETTINGS mutations_sync = 1");
    stores.clickhouse().query(&delete).execute().await.unwrap();
    assert_eq!(stores.clickhouse_number("SELECT count() FROM events").await, 300);
    let river = River::start_on(stores, log, one_partition()).await;
    assert_eq!(river.client(&customer.key).post_ids(0..900).await.status, 202);
    metered(&river, &customer, 900).await;
    duplicates(&river, 800).await;
    assert_eq!(river.stores.clickhouse_number("SELECT count() FROM events").await, 400);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_become_known_behind_the_cursor_are_known_under_the_next_generation() {
    let (customer, stores, log) = stopped_after_500().await;
    let project: i64 =
        i64::try_from(stores.clickhouse_number("SELECT toUInt64(any(project_id)) FROM events").await)
            .unwrap();
    // The event 550 turns up at a place behind the cursor where no row was, as a repaired one would.
    let id = "550";
    let hash = EventHash::of(ProjectId(project), id).0;
    let repair = format!(
        "INSERT INTO events SELECT * REPLACE ('{id}' AS event_id, toUInt128('{hash}') AS event_hash, 60000 AS position)
         FROM events LIMIT 1"
    );
    stores.clickhouse().query(&repair).execute().await.unwrap();
    sqlx::query("UPDATE partition_cursor SET ids_generation = ids_generation + 1")
        .execute(&stores.pool)
        .await
        .unwrap();
    let river = River::start_on(stores, log, one_partition()).await;
    assert_eq!(river.client(&customer.key).post_ids(500..600).await.status, 202);
    metered(&river, &customer, 599).await;
    duplicates(&river, 1).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processors_with_one_folder_hand_partitions_over() {
    let river =
        River::start_with(RiverConfig { partitions: 4, processors: 2, ..RiverConfig::default() }).await;
    let customer = river.customer("acme", None).await;
    for round in 0..10 {
        assert_eq!(river.client(&customer.key).post_ids(round * 50..round * 50 + 100).await.status, 202);
        sqlx::query(
            "UPDATE partition_cursor SET owner = gen_random_uuid(), epoch = epoch + 1,
                    lease_until = now() + interval '200 milliseconds'",
        )
        .execute(&river.stores.pool)
        .await
        .unwrap();
    }
    metered(&river, &customer, 550).await;
    duplicates(&river, 450).await;
    let verdict = river.verdict().await;
    assert!(verdict.holds(), "{verdict:?}");
    river.stop().await;
}
