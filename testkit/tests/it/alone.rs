//! What is wrong with one partition stops that partition, and no other.

mod log;
mod made_again;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use processor::standing::{self, Resumed, Standing};
use testkit::river::{Customer, RiverConfig};
use testkit::{River, eventually};

use crate::dead::processor;
use crate::river::metered;

const SOON: Duration = Duration::from_secs(30);

fn of_partitions(partitions: u32) -> RiverConfig {
    RiverConfig { partitions, ..RiverConfig::default() }
}

async fn standings(river: &River) -> Vec<Standing> {
    standing::list(&river.stores.processor, Some(&*river.log)).await.unwrap()
}

async fn standing_of(river: &River, partition: usize) -> Standing {
    standings(river).await.swap_remove(partition)
}

/// Waits until a partition is halted, nobody owns it, and it has not moved from `next_offset`: why.
async fn halted(river: &River, partition: usize, next_offset: u64) -> String {
    let mut reason = None;
    eventually(&format!("partition {partition} is halted"), SOON, async || {
        reason = standing_of(river, partition).await.halted_reason;
        reason.is_some()
    })
    .await;
    let standing = standing_of(river, partition).await;
    assert_eq!((standing.owner, standing.next_offset), (None, next_offset), "{standing:?}");
    reason.unwrap()
}

async fn resume(river: &River, partition: u32) {
    assert_eq!(standing::resume(&river.stores.processor, partition).await.unwrap(), Resumed::Yes);
}

/// Waits until all partitions except these have nothing left to process.
async fn others_are_done(river: &River, except: &[u32]) -> Duration {
    eventually("the others are processed", SOON, async || {
        standings(river).await.iter().all(|of| of.lag == Some(0) || except.contains(&of.partition))
    })
    .await
}

async fn proved(river: &River) {
    let verdict = river.verdict().await;
    assert!(verdict.holds(), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_too_many_dead_events_halts_their_partition_and_is_begun_again_without_it() {
    let settings = vec![("WEIR_DEAD_EVENTS_MAX", "2".to_owned())];
    let river = River::start_with(RiverConfig { processors: 0, ..of_partitions(2) }).await;
    let customer = river.customer("acme", None).await;
    log::append_junk(&river, 0, 3).await;
    assert_eq!(river.client(&customer.key).post_ids(0..100).await.status, 202);
    let (stores, log) = river.stop().await;
    let river = River::start_on(stores, log, RiverConfig { settings, ..of_partitions(2) }).await;
    let reason = halted(&river, 0, 0).await;
    assert!(reason.starts_with("3 events of partition 0 within 60 minutes can't be read"), "{reason}");
    others_are_done(&river, &[0]).await;
    let sums = async |query| river.stores.postgres_number(query).await;
    assert_eq!(sums("SELECT count(*) FROM dead_letter").await, 0);
    assert_eq!(sums("SELECT count(*) FROM batch_ledger WHERE partition = 0").await, 0);
    let stored = "SELECT coalesce(sum(stored), 0)::bigint FROM usage_hour";
    assert_eq!(sums(stored).await, sums("SELECT sum(stored)::bigint FROM batch_ledger").await);

    processor::dead::budget::resume(&river.stores.pool, &*river.log).await.unwrap();
    resume(&river, 0).await;
    metered(&river, &customer, 100).await;
    assert_eq!(sums("SELECT count(*) FROM dead_letter").await, 3);
    proved(&river).await;
    let again = standing::resume(&river.stores.processor, 0).await.unwrap();
    assert_eq!(again, Resumed::WasNotHalted);
    assert_eq!(standing::resume(&river.stores.processor, 2).await.unwrap(), Resumed::Unknown);
    river.stop().await;
}

/// Epochs of the two partitions.
async fn epochs(river: &River) -> [i64; 2] {
    let standings = standings(river).await;
    [standings[0].epoch, standings[1].epoch]
}

/// A river of two partitions that has processed the events 0 to 100.
async fn of_two() -> (River, Customer) {
    let river = River::start_with(of_partitions(2)).await;
    let customer = river.customer("acme", None).await;
    assert_eq!(river.client(&customer.key).post_ids(0..100).await.status, 202);
    metered(&river, &customer, 100).await;
    (river, customer)
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_changed_are_read_again_for_their_partition_alone() {
    let (river, customer) = of_two().await;
    let before = epochs(&river).await;
    sqlx::query("UPDATE partition_cursor SET ids_generation = ids_generation + 1 WHERE partition = 0")
        .execute(&river.stores.pool)
        .await
        .unwrap();
    eventually("the partition is taken again", SOON, async || epochs(&river).await[0] > before[0]).await;
    assert_eq!(river.client(&customer.key).post_ids(50..150).await.status, 202);
    metered(&river, &customer, 150).await;
    assert_eq!(epochs(&river).await, [before[0] + 1, before[1]], "the other was served meanwhile");
    proved(&river).await;
    river.stop().await;
}

fn ids_folder(river: &River, partition: u32) -> PathBuf {
    river.stores.folder.path().join("ids").join(partition.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_whose_ids_find_no_room_on_the_disk_is_taken_again_when_there_is_some() {
    let (river, customer) = of_two().await;
    let (stores, log) = river.stop().await;
    let folder = stores.folder.path().join("ids/0");
    std::fs::remove_dir_all(&folder).unwrap();
    // Nothing can be written there.
    std::fs::write(&folder, "").unwrap();
    let river = River::start_on(stores, log, of_partitions(2)).await;
    assert_eq!(river.client(&customer.key).post_ids(50..200).await.status, 202);
    others_are_done(&river, &[0]).await;
    let waiting = standing_of(&river, 0).await;
    assert!(waiting.lag > Some(0) && waiting.halted_reason.is_none(), "{waiting:?}");
    let served = epochs(&river).await[1];
    eventually("it is tried again and again", SOON, async || epochs(&river).await[0] > waiting.epoch + 2)
        .await;
    std::fs::remove_file(ids_folder(&river, 0)).unwrap();
    metered(&river, &customer, 200).await;
    assert_eq!(epochs(&river).await[1], served, "the other was served all the time");
    proved(&river).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_served_while_another_one_is_filled_with_millions_of_ids() {
    let (river, customer) = of_two().await;
    let (stores, log) = river.stop().await;
    // As if partition 0 had stored so many events before; each has a hash of its own.
    let many = "INSERT INTO events
         SELECT one.* REPLACE (toUInt128(rand64()) * 4294967296 + number AS event_hash) FROM
         (SELECT * FROM events WHERE log_partition = 0 LIMIT 1) AS one CROSS JOIN numbers(2000000) AS many";
    stores.clickhouse().query(many).execute().await.unwrap();
    std::fs::remove_dir_all(stores.folder.path().join("ids")).unwrap();
    let cursors = standing::list(&stores.processor, Some(&*log)).await.unwrap();
    let river = River::start_on(stores, log, of_partitions(2)).await;
    let began = Instant::now();
    assert_eq!(river.client(&customer.key).post_ids(100..200).await.status, 202);
    others_are_done(&river, &[0]).await;
    let (served, filling) = (began.elapsed(), standing_of(&river, 0).await);
    assert_eq!(filling.next_offset, cursors[0].next_offset, "it is filled by now: that proves nothing");
    assert!(filling.owner.is_some(), "{filling:?}");
    metered(&river, &customer, 200).await;
    println!("partition 1 was served after {served:?}, partition 0 was filled after {:?}", began.elapsed());
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_can_serve_nothing_has_no_share() {
    let settings = vec![("WEIR_PROCESSOR_LEASE_MS", "1000".to_owned())];
    let river = River::start_with(RiverConfig { settings, ..of_partitions(4) }).await;
    let customer = river.customer("acme", None).await;
    let file = river.stores.folder.path().join("no-folder");
    std::fs::write(&file, "").unwrap();
    let (stop, running) = processor(&river, &[("WEIR_PROCESSOR_LEASE_MS", "1000")], |config| {
        config.ids_folder = file;
    });
    let owners = async |of_each: &[i64]| {
        let owned: Vec<i64> = sqlx::query_scalar(
            "SELECT count(*) FROM partition_cursor WHERE owner IS NOT NULL GROUP BY owner ORDER BY 1",
        )
        .fetch_all(&river.stores.pool)
        .await
        .unwrap();
        owned == of_each
    };
    eventually("the other has tried its share", SOON, async || {
        river.stores.postgres_number("SELECT count(*) FROM processor_node").await == 2
    })
    .await;
    eventually("it has none", SOON, async || {
        river.stores.postgres_number("SELECT count(*) FROM processor_node").await == 1 && owners(&[4]).await
    })
    .await;
    assert_eq!(river.client(&customer.key).post_ids(0..100).await.status, 202);
    metered(&river, &customer, 100).await;
    stop.order();
    running.await.unwrap().unwrap();
    river.stop().await;
}
