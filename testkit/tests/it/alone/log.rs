//! A log of which one partition can't be read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use eventlog::kafka::{KafkaConfig, KafkaLog};
use eventlog::{Append, EventLog};
use testkit::{Broker, Stores};

use super::*;

const PARTITIONS: u32 = 8;
const DAMAGED: u32 = 3;
/// What the lag of the others must stay below.
const LAG_MAX: Duration = Duration::from_secs(2);

/// Appends records that nobody can read.
pub(super) async fn append_junk(river: &River, partition: u32, records: usize) {
    let junk = Append { partition, timestamp_ms: 0, payload: Bytes::from_static(b"junk") };
    river.log.append(vec![junk; records], SOON).await.unwrap();
}

/// The last byte of a partition's last record.
struct LastByte {
    segment: File,
    at: u64,
}

impl LastByte {
    /// In the segments of that folder, the log's own or Kafka's.
    fn within(folder: PathBuf) -> Self {
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let segments = files.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
        let segment = File::options().read(true).write(true).open(segments.max().unwrap()).unwrap();
        let at = segment.metadata().unwrap().len() - 1;
        Self { segment, at }
    }

    /// Twice, it is what it was.
    fn flip(&self) {
        let mut byte = [0];
        self.segment.read_exact_at(&mut byte, self.at).unwrap();
        self.segment.write_all_at(&[byte[0] ^ 1], self.at).unwrap();
    }
}

/// Keeps processors off the partition for three seconds.
async fn take_away(river: &River, partition: u32) {
    sqlx::query(
        "UPDATE partition_cursor SET owner = gen_random_uuid(), epoch = epoch + 1,
                lease_until = now() + interval '3 seconds' WHERE partition = $1",
    )
    .bind(i64::from(partition))
    .execute(&river.stores.pool)
    .await
    .unwrap();
}

/// Sends events until `is_over`, and measures how long each of them took until the others had processed it.
async fn longest_lag_until(
    river: &River,
    customer: &Customer,
    ids: &mut std::ops::RangeFrom<u32>,
    mut is_over: impl AsyncFnMut() -> bool,
) -> Duration {
    let (client, mut longest) = (river.client(&customer.key), Duration::ZERO);
    while !is_over().await {
        assert_eq!(client.post_ids(ids.by_ref().take(40)).await.status, 202);
        longest = longest.max(others_are_done(river, &[DAMAGED]).await);
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_partitions_one_is_damaged_and_the_lag_of_the_others_stays_below_two_seconds() {
    let config = RiverConfig { processors: 2, ..of_partitions(PARTITIONS) };
    let river = River::start_with(config.clone()).await;
    let customer = river.customer("acme", None).await;
    let mut ids = 0..;
    assert_eq!(river.client(&customer.key).post_ids(ids.by_ref().take(200)).await.status, 202);
    metered(&river, &customer, 200).await;

    take_away(&river, DAMAGED).await;
    eventually("a record of it waits", SOON, async || {
        assert_eq!(river.client(&customer.key).post_ids(ids.by_ref().take(40)).await.status, 202);
        standing_of(&river, DAMAGED as usize).await.lag > Some(0)
    })
    .await;
    let cursor = river.log.bounds().await.unwrap()[DAMAGED as usize].end - 1;
    let byte = LastByte::within(river.stores.folder.path().join(format!("log/p{DAMAGED:03}")));
    byte.flip();
    let is_halted = async || standing_of(&river, DAMAGED as usize).await.halted_reason.is_some();
    let mut lag = longest_lag_until(&river, &customer, &mut ids, is_halted).await;
    let reason = halted(&river, DAMAGED as usize, cursor).await;
    assert!(reason.contains("partition 3 is damaged: ") && reason.contains("p003/"), "{reason}");
    let until = Instant::now() + Duration::from_secs(3);
    lag = lag.max(longest_lag_until(&river, &customer, &mut ids, async || Instant::now() > until).await);
    println!("the longest lag of the others was {lag:?}");
    assert!(lag < LAG_MAX, "{lag:?}");

    // It stays halted when processors start again, and is halted again while its cause is there.
    let since = standing_of(&river, DAMAGED as usize).await.halted_at;
    let (stores, log) = river.stop().await;
    let river = River::start_on(stores, log, config).await;
    assert_eq!(river.client(&customer.key).post_ids(ids.by_ref().take(40)).await.status, 202);
    others_are_done(&river, &[DAMAGED]).await;
    assert_eq!(standing_of(&river, DAMAGED as usize).await.halted_at, since);
    resume(&river, DAMAGED).await;
    let reason = halted(&river, DAMAGED as usize, cursor).await;
    assert!(reason.contains("partition 3 is damaged: "), "{reason}");
    assert!(standing_of(&river, DAMAGED as usize).await.halted_at > since);

    byte.flip();
    resume(&river, DAMAGED).await;
    others_are_done(&river, &[]).await;
    metered(&river, &customer, i64::from(ids.start)).await;
    proved(&river).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_names_the_partition_that_is_damaged_and_proves_the_others() {
    let river = River::start_with(of_partitions(4)).await;
    let customer = river.customer("acme", None).await;
    assert_eq!(river.client(&customer.key).post_ids(0..200).await.status, 202);
    metered(&river, &customer, 200).await;
    let all = river.verdict().await;
    assert!(all.holds() && all.accepted == 200, "{all:?}");
    // A byte of a record that has long been processed.
    let byte = LastByte::within(river.stores.folder.path().join(format!("log/p{DAMAGED:03}")));
    byte.flip();
    let some = river.verdict().await;
    let unread: Vec<u32> = some.unread.iter().map(|unread| unread.partition).collect();
    assert!(!some.holds() && some.mismatch_count == 0 && unread == [DAMAGED], "{some:?}");
    assert!(some.unread[0].why.contains("partition 3 is damaged"), "{some:?}");
    assert_eq!(
        (some.accepted + some.unread[0].events, some.rows),
        (200, 200),
        "all else is proved: {some:?}"
    );
    // What is wrong elsewhere is still found.
    sqlx::query("UPDATE batch_ledger SET xor_hash = xor_hash + 1 WHERE partition = 1 AND lo = 0")
        .execute(&river.stores.pool)
        .await
        .unwrap();
    let wrong = river.verdict().await;
    assert!(wrong.mismatch_count > 0 && wrong.unread.len() == 1, "{wrong:?}");
    drop(river);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_in_kafka_halts_its_partition_and_no_other() {
    let Some(broker) = Broker::start().await else { return };
    let config = KafkaConfig::new(&broker.address);
    KafkaLog::create_topic(&config, 4, 1, None).await.unwrap();
    let log: Arc<dyn EventLog> = Arc::new(KafkaLog::open(config.clone()).await.unwrap());
    let without_processors = RiverConfig { processors: 0, ..of_partitions(4) };
    let river = River::start_on(Stores::fresh().await, log, without_processors).await;
    let customer = river.customer("acme", None).await;
    let client = river.client(&customer.key);
    for round in 0..3 {
        assert_eq!(client.post_ids(round * 40..round * 40 + 40).await.status, 202);
    }
    // librdkafka goes on at a wrong place after a damaged batch. What it finds there must not look like another batch:
    // its assertions would end the process.
    let junk = Append { partition: 2, timestamp_ms: 0, payload: vec![b'x'; 4_096].into() };
    river.log.append(vec![junk], SOON).await.unwrap();
    let last = river.log.bounds().await.unwrap()[2].end - 1;
    let byte = LastByte::within(broker.partition_folder(&config.topic, 2));
    byte.flip();
    let (stores, log) = river.stop().await;
    let river = River::start_on(stores, log, of_partitions(4)).await;
    let reason = halted(&river, 2, last).await;
    assert!(
        reason.starts_with(&format!("the record {last} of partition 2, or one after it, is damaged")),
        "{reason}"
    );
    others_are_done(&river, &[2]).await;
    byte.flip();
    resume(&river, 2).await;
    metered(&river, &customer, 120).await;
    proved(&river).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_in_kafka_is_found_at_once_where_all_other_partitions_are_idle() {
    const PARTITIONS: u32 = 12;
    let Some(broker) = Broker::start().await else { return };
    let config = KafkaConfig::new(&broker.address);
    KafkaLog::create_topic(&config, PARTITIONS, 1, None).await.unwrap();
    let log = KafkaLog::open(config.clone()).await.unwrap();
    let of = |partition| Append { partition, timestamp_ms: 0, payload: vec![b'x'; 4_096].into() };
    log.append((0..PARTITIONS).map(of).collect(), SOON).await.unwrap();
    LastByte::within(broker.partition_folder(&config.topic, PARTITIONS - 1)).flip();
    let from: Vec<(u32, u64)> = (0..PARTITIONS).map(|partition| (partition, 1)).collect();
    let from = [&from[..from.len() - 1], &[(PARTITIONS - 1, 0)]].concat();
    let mut reader = log.reader(&from).await.unwrap();
    let begun = std::time::Instant::now();
    let error = reader.read(1, SOON).await.unwrap_err();
    assert_eq!(error.partition(), Some(PARTITIONS - 1), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
