//! After whatever happened to a processor, every event is stored and metered once.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use eventlog::Append;
use processor::Enricher;
use processor::block::Block;
use processor::own::Owned;
use processor::{batch, insert, judge};
use schemas::id::Position;
use seen::{IdStores, SeenIds};
use testkit::river::{Customer, RiverConfig};
use testkit::{River, eventually};

use crate::river::metered;

async fn assert_proved(river: &River) {
    let verdict = river.verdict().await;
    assert!(verdict.holds(), "{verdict:?}");
}

fn without_processors() -> RiverConfig {
    RiverConfig { processors: 0, partitions: 1, ..RiverConfig::default() }
}

fn with_one_processor() -> RiverConfig {
    RiverConfig { partitions: 1, ..RiverConfig::default() }
}

/// What a processor does that dies between insert and commit, with the first `records` of the log.
async fn insert_without_commit(river: &River, records: usize, rows: usize) {
    let mut reader = river.log.reader(&[(0, 0)]).await.unwrap();
    let mut read = Vec::new();
    while read.len() < records {
        read.extend(reader.read(1 << 20, Duration::from_secs(1)).await.unwrap());
    }
    read.truncate(records);
    let own = Owned { partition: 0, next_offset: 0, epoch: 1, mark: None, ids_generation: 0 };
    let owned = BTreeMap::from([(0, own)]);
    let ranges = batch::ranges(&read, &owned);
    let none = processor::repair::Present::new();
    let judged = judge::judge(batch::decode(&read), ranges, &mut empty_ids(river), &none).unwrap();
    let clickhouse = river.stores.clickhouse();
    let block = Block::of(&judged.fresh[..rows], &Enricher::default());
    insert::insert(&clickhouse, "dead", Duration::from_secs(10), &block).await.unwrap();
}

/// Ids of partition 0, of which none has been seen, in a folder of their own.
fn empty_ids(river: &River) -> BTreeMap<u32, SeenIds> {
    let (folder, week) = (river.stores.folder.path().join("ids-of-the-dead"), Duration::from_hours(7 * 24));
    let stores = IdStores::new(folder, river.log.identity(), 1, week, 16 << 20);
    let mut store = stores.open(0, 0).unwrap().store;
    store.filled(Position::first_of(0)).unwrap();
    BTreeMap::from([(0, store)])
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_processor_that_died_before_its_commit_are_not_inserted_again() {
    for (records, rows) in [(5, 50), (5, 13), (1, 10), (9, 90)] {
        let river = River::start_with(without_processors()).await;
        let customer = river.customer("acme", None).await;
        for record in 0..9 {
            assert_eq!(river.client(&customer.key).post_ids(record * 10..record * 10 + 10).await.status, 202);
        }
        insert_without_commit(&river, records, rows).await;
        let (stores, log) = river.stop().await;
        let river = River::start_on(stores, log, with_one_processor()).await;
        metered(&river, &customer, 90).await;
        assert_eq!(
            river.stores.clickhouse_number("SELECT count() FROM events").await,
            90,
            "{records} {rows}"
        );
        assert_proved(&river).await;
        river.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_remembers_every_id() {
    let river = River::start_with(with_one_processor()).await;
    let customer = river.customer("acme", None).await;
    assert_eq!(river.client(&customer.key).post_ids(0..500).await.status, 202);
    metered(&river, &customer, 500).await;
    let (stores, log) = river.stop().await;
    let river = River::start_on(stores, log, with_one_processor()).await;
    assert_eq!(river.client(&customer.key).post_ids(400..600).await.status, 202);
    metered(&river, &customer, 600).await;
    eventually("the repeated ones are duplicates", Duration::from_secs(20), async || {
        river.stores.postgres_number("SELECT sum(duplicate)::bigint FROM usage_hour").await == 100
    })
    .await;
    assert_proved(&river).await;
    river.stop().await;
}

/// Another processor takes the partition away for a moment, again and again.
async fn rob(river: &River, customer: &Customer) {
    let client = river.client(&customer.key);
    for round in 0..10 {
        assert_eq!(client.post_ids(round * 100..round * 100 + 100).await.status, 202);
        sqlx::query(
            "UPDATE partition_cursor SET owner = gen_random_uuid(), epoch = epoch + 1,
                    lease_until = now() + interval '200 milliseconds'",
        )
        .execute(&river.stores.pool)
        .await
        .unwrap();
        assert_eq!(client.post_ids(round * 100 + 50..round * 100 + 150).await.status, 202);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_lost_its_partition_commits_nothing_of_it() {
    let river = River::start_with(with_one_processor()).await;
    let customer = river.customer("acme", None).await;
    rob(&river, &customer).await;
    metered(&river, &customer, 1_050).await;
    eventually("every duplicate is counted", Duration::from_secs(30), async || {
        river.stores.postgres_number("SELECT sum(duplicate)::bigint FROM usage_hour").await == 950
    })
    .await;
    assert_proved(&river).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_could_not_be_prepared_are_taken_again() {
    let river = River::start_with(with_one_processor()).await;
    let customer = river.customer("acme", None).await;
    let client = river.client(&customer.key);
    assert_eq!(client.post_ids(0..100).await.status, 202);
    metered(&river, &customer, 100).await;
    let clickhouse = river.stores.clickhouse();
    clickhouse.query("RENAME TABLE events TO away").execute().await.unwrap();
    assert_eq!(client.post_ids(50..200).await.status, 202);
    eventually("the partition is taken in vain, again and again", Duration::from_secs(20), async || {
        river.stores.postgres_number("SELECT max(epoch) FROM partition_cursor").await > 3
    })
    .await;
    clickhouse.query("RENAME TABLE away TO events").execute().await.unwrap();
    metered(&river, &customer, 200).await;
    assert_proved(&river).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_records_become_dead_letters_and_their_neighbours_rows() {
    let river = River::start_with(with_one_processor()).await;
    let customer = river.customer("acme", Some(100)).await;
    let client = river.client(&customer.key);
    let poison: [&[u8]; 4] = [b"", b"not a frame", &[4, 0, 0, 0], &[1; 90]];
    for (round, payload) in (0_u32..).zip(poison) {
        assert_eq!(client.post_ids([round]).await.status, 202);
        let record = Append { partition: 0, timestamp_ms: 0, payload: Bytes::from_static(payload) };
        river.log.append(vec![record], Duration::from_secs(5)).await.unwrap();
    }
    assert_eq!(client.post_ids([9]).await.status, 202);
    metered(&river, &customer, 5).await;
    let letters: Vec<(i32, String, Vec<u8>)> =
        sqlx::query_as("SELECT partition, reason, raw FROM dead_letter ORDER BY position")
            .fetch_all(&river.stores.pool)
            .await
            .unwrap();
    assert_eq!(letters.len(), 4);
    assert_eq!(letters[0].1, "the frame is empty");
    assert_eq!(letters[2].1, "frame version 4 is not known");
    assert!(letters.iter().zip(poison).all(|(letter, payload)| letter.2 == payload));
    assert_proved(&river).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_log_is_refused() {
    let river = River::start().await;
    let other = eventlog::local::LocalConfig::new(river.stores.folder.path().join("other"), 2);
    let other = eventlog::local::LocalLog::open(other).unwrap();
    let refused = processor::own::bind_log(&river.stores.processor, &other).await.unwrap_err().to_string();
    assert!(refused.contains("this database belongs to the log"), "{refused}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_ends_before_its_cursor_is_refused() {
    let river = River::start().await;
    sqlx::query("UPDATE partition_cursor SET next_offset = 1 WHERE partition = 1")
        .execute(&river.stores.pool)
        .await
        .unwrap();
    let refused =
        processor::own::bind_log(&river.stores.processor, &*river.log).await.unwrap_err().to_string();
    assert!(
        refused.contains("partition 1 of the log ends at 0, but events up to 1 were processed"),
        "{refused}"
    );
}
