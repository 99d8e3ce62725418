//! On the brokers that `WEIR_TEST_KAFKA_BROKERS` names, otherwise on librdkafka's mock cluster. What needs brokers
//! that misbehave always runs on the mock.

use std::time::Duration;

use bytes::Bytes;
use eventlog::kafka::{KafkaConfig, KafkaLog};
use eventlog::{Append, EventLog, LogReader, Record};
use schemas::frame::frames;

pub(crate) mod cluster;
mod roundtrip;
mod bounds;
mod topic;
mod outage;
mod retries;
mod readers;

use cluster::Cluster;

/// Longer than anything takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn record(partition: u32, text: impl Into<String>) -> Append {
    let payload = Bytes::from(text.into());
    Append { partition, timestamp_ms: 1_760_000_000_000 + i64::from(partition), payload }
}

pub(crate) async fn open(config: &KafkaConfig) -> KafkaLog {
    KafkaLog::open(config.clone()).await.unwrap()
}

/// Appends one record per text, each acknowledged before the next is sent.
async fn append_all(log: &KafkaLog, partition: u32, texts: impl IntoIterator<Item = String>) {
    for text in texts {
        log.append(vec![record(partition, text)], SOON).await.unwrap();
    }
}

/// Reads until there are as many records.
async fn read_some(reader: &mut dyn LogReader, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        let read = reader.read(64 * 1024, SOON).await.unwrap();
        assert!(!read.is_empty(), "{} of {count} records came", records.len());
        records.extend(read);
    }
    records
}

/// Everything that a partition holds, by offset from 0.
pub(crate) async fn read_partition(log: &KafkaLog, partition: u32) -> Vec<String> {
    let bounds = log.bounds().await.unwrap()[partition as usize];
    let count = usize::try_from(bounds.end - bounds.start).unwrap();
    let mut reader = log.reader(&[(partition, bounds.start)]).await.unwrap();
    let records = read_some(reader.as_mut(), count).await;
    assert_eq!(records.len(), count);
    let offsets = records.iter().map(|record| record.offset);
    assert!(offsets.eq(bounds.start..bounds.end), "offsets follow each other");
    records.iter().flat_map(texts).collect()
}

/// What was appended, by record: those that were under way at the same moment share one.
pub(crate) fn texts(record: &Record) -> Vec<String> {
    frames(&record.payload).map(|(raw, _)| String::from_utf8(raw.to_vec()).unwrap()).collect()
}

/// Of a record that was appended alone.
pub(crate) fn text(record: &Record) -> String {
    let [text] = <[String; 1]>::try_from(texts(record)).unwrap();
    text
}
