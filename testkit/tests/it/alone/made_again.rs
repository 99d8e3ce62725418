//! A log that is another one by the same name, and as long.

use std::path::Path;
use std::sync::Arc;

use eventlog::kafka::{KafkaConfig, KafkaLog};
use eventlog::local::{LocalConfig, LocalLog};
use eventlog::{EventLog, LogError};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use testkit::{Broker, Stores};

use super::*;

const ANOTHER: &str = "has another record at offset";

/// A river on that log, which has processed the events 0 to 100, and was stopped.
async fn stopped_after_100(log: Arc<dyn EventLog>) -> (Customer, Stores) {
    let river = River::start_on(Stores::fresh().await, log, of_partitions(2)).await;
    let customer = river.customer("acme", None).await;
    post(&river, &customer, 0..100).await;
    metered(&river, &customer, 100).await;
    (customer, river.stop().await.0)
}

/// In as many records as there are events.
async fn post(river: &River, customer: &Customer, ids: std::ops::Range<u32>) {
    let client = river.client(&customer.key);
    for id in ids {
        assert_eq!(client.post_ids([id]).await.status, 202);
    }
}

async fn cursors(stores: &Stores) -> Vec<u64> {
    standing::list(&stores.processor, None).await.unwrap().iter().map(|of| of.next_offset).collect()
}

/// Makes a log longer than the cursors, while no processor works.
async fn grown(
    stores: Stores,
    log: Arc<dyn EventLog>,
    customer: &Customer,
    cursors: &[u64],
) -> (Stores, Arc<dyn EventLog>) {
    let mut ids = 1_000..;
    let mut record = async |partition: u32| {
        let payload = format!("no frame {}", ids.next().unwrap()).into();
        let record = eventlog::Append { partition, timestamp_ms: 0, payload };
        log.append(vec![record], SOON).await.unwrap();
    };
    for (partition, cursor) in (0..).zip(cursors) {
        while log.bounds().await.unwrap()[partition as usize].end < cursor + 5 {
            record(partition).await;
        }
    }
    let river = River::start_on(stores, log, RiverConfig { processors: 0, ..of_partitions(2) }).await;
    post(&river, customer, 500..520).await;
    river.stop().await
}

/// Nothing is taken of a log whose partitions are both another's.
async fn both_are_halted(stores: Stores, log: Arc<dyn EventLog>, cursors: &[u64]) -> River {
    let river = River::start_on(stores, log, of_partitions(2)).await;
    for (partition, cursor) in cursors.iter().enumerate() {
        let reason = halted(&river, partition, *cursor).await;
        assert!(reason.contains(ANOTHER), "{reason}");
    }
    assert_eq!(river.stores.clickhouse_number("SELECT count() FROM events").await, 100);
    assert_eq!(river.stores.postgres_number("SELECT count(*) FROM dead_letter").await, 0);
    river
}

async fn delete_topic(config: &KafkaConfig) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &config.brokers).create().unwrap();
    admin.delete_topics(&[&config.topic], &AdminOptions::new()).await.unwrap();
    eventually("the topic is gone", SOON, async || {
        matches!(KafkaLog::open(config.clone()).await, Err(LogError::Config(_)))
    })
    .await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() { copy(&path, &to) } else { std::fs::copy(&path, &to).map(drop).unwrap() }
    }
}

fn open(folder: &Path) -> Arc<dyn EventLog> {
    Arc::new(LocalLog::open(LocalConfig::new(folder, 2)).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_put_back_and_written_on_is_known_by_the_last_record_that_was_processed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, older, newer) =
        (folder.path().join("log"), folder.path().join("older"), folder.path().join("newer"));
    let opened = open(&log);
    opened.close(SOON).await;
    drop(opened);
    copy(&log, &older);
    let opened = open(&log);
    let (customer, stores) = stopped_after_100(Arc::clone(&opened)).await;
    opened.close(SOON).await;
    drop(opened);
    std::fs::rename(&log, &newer).unwrap();
    std::fs::rename(&older, &log).unwrap();
    let cursors = cursors(&stores).await;
    let (stores, wrong) = grown(stores, open(&log), &customer, &cursors).await;
    let river = both_are_halted(stores, wrong, &cursors).await;
    resume(&river, 1).await;
    assert!(halted(&river, 1, cursors[1]).await.contains(ANOTHER), "the log is still another");
    let (stores, wrong) = river.stop().await;
    wrong.close(SOON).await;
    drop(wrong);

    // With the right log, all goes on.
    let river = River::start_on(stores, open(&newer), of_partitions(2)).await;
    resume(&river, 0).await;
    resume(&river, 1).await;
    post(&river, &customer, 90..150).await;
    metered(&river, &customer, 150).await;
    proved(&river).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_again_while_no_processor_runs_is_refused_before_a_record_of_it_is_taken() {
    let Some(broker) = Broker::start().await else { return };
    let config = KafkaConfig::new(&broker.address);
    KafkaLog::create_topic(&config, 2, 1, None).await.unwrap();
    let opened = KafkaLog::open(config.clone()).await.unwrap();
    let (customer, stores) = stopped_after_100(Arc::new(opened)).await;
    delete_topic(&config).await;
    KafkaLog::create_topic(&config, 2, 1, None).await.unwrap();
    let cursors = cursors(&stores).await;
    let opened = Arc::new(KafkaLog::open(config).await.unwrap());
    let (stores, wrong) = grown(stores, opened, &customer, &cursors).await;
    both_are_halted(stores, wrong, &cursors).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_retention_has_dropped_the_last_record_that_was_processed_processing_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let local = || LocalConfig {
        segment_bytes_max: 1_000,
        retention: Duration::ZERO,
        ..LocalConfig::new(folder.path().join("log"), 2)
    };
    let log: Arc<dyn EventLog> = Arc::new(LocalLog::open(local()).unwrap());
    let (customer, stores) = stopped_after_100(Arc::clone(&log)).await;
    let cursors = cursors(&stores).await;
    // So that the segments with the last records are closed.
    let (stores, log) = grown(stores, log, &customer, &cursors).await;
    for (partition, cursor) in (0..).zip(&cursors) {
        // As if the first record had been the last: if it were there, it would be another.
        let marked = sqlx::query(
            "UPDATE partition_cursor SET mark_offset = 0, mark_hash = 0 WHERE mark_offset = $1 - 1 AND partition = $2",
        )
        .bind(i64::try_from(*cursor).unwrap())
        .bind(i64::from(partition))
        .execute(&stores.pool);
        assert_eq!(marked.await.unwrap().rows_affected(), 1);
        eventually("the first record is dropped", SOON, async || {
            log.trim(partition, *cursor).await.unwrap();
            log.bounds().await.unwrap()[partition as usize].start > 0
        })
        .await;
    }
    let river = River::start_on(stores, log, of_partitions(2)).await;
    others_are_done(&river, &[]).await;
    metered(&river, &customer, 120).await;
    river.stop().await;
}
