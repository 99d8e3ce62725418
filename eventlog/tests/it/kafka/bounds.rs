use eventlog::{Bounds, LogError};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::*;

fn assert_out_of_range(result: Result<impl Sized, LogError>, offset: u64, found: Bounds) {
    match result.err() {
        Some(LogError::OutOfRange { partition: 0, wanted, bounds, .. }) => {
            assert_eq!((wanted, bounds), (offset, found));
        }
        other => panic!("{other:?}"),
    }
}

/// What retention does, at once.
async fn drop_before(config: &KafkaConfig, offset: u64) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &config.brokers).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&config.topic, 0, Offset::Offset(i64::try_from(offset).unwrap())).unwrap();
    admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
}

#[tokio::test]
async fn bounds_are_those_of_each_partition() {
    let cluster = Cluster::any();
    let log = open(&cluster.topic(3).await).await;
    append_all(&log, 0, (0..2).map(|n| n.to_string())).await;
    append_all(&log, 2, (0..5).map(|n| n.to_string())).await;
    let ends: Vec<_> = log.bounds().await.unwrap().iter().map(|bounds| (bounds.start, bounds.end)).collect();
    assert_eq!(ends, [(0, 2), (0, 0), (0, 5)]);
}

#[tokio::test]
async fn a_reader_begins_at_any_offset_up_to_the_end_and_no_further() {
    let cluster = Cluster::any();
    let log = open(&cluster.topic(1).await).await;
    append_all(&log, 0, (0..5).map(|n| n.to_string())).await;
    for from in 0..5 {
        let mut reader = log.reader(&[(0, from)]).await.unwrap();
        let wanted = usize::try_from(5 - from).unwrap();
        let records = read_some(reader.as_mut(), wanted).await;
        assert!(records.iter().map(|record| record.offset).eq(from..5));
        assert!(records.iter().map(text).eq((from..5).map(|n| n.to_string())));
    }
    let mut at_end = log.reader(&[(0, 5)]).await.unwrap();
    append_all(&log, 0, ["new".to_owned()]).await;
    assert_eq!(read_some(at_end.as_mut(), 1).await[0].offset, 5);
    assert_out_of_range(log.reader(&[(0, 7)]).await, 7, Bounds { start: 0, end: 6 });
    assert!(matches!(log.reader(&[(1, 0)]).await.err(), Some(LogError::Config(_))));
    assert!(matches!(log.reader(&[(0, 0), (0, 1)]).await.err(), Some(LogError::Config(_))));
}

#[tokio::test]
async fn what_retention_dropped_is_out_of_range() {
    let Some(cluster) = Cluster::real() else { return };
    let config = cluster.topic(1).await;
    let log = open(&config).await;
    append_all(&log, 0, (0..5).map(|n| n.to_string())).await;
    drop_before(&config, 3).await;
    assert_out_of_range(log.reader(&[(0, 2)]).await, 2, Bounds { start: 3, end: 5 });
    let mut reader = log.reader(&[(0, 3)]).await.unwrap();
    assert_eq!(read_some(reader.as_mut(), 2).await[0].offset, 3);
}

#[tokio::test]
async fn retention_that_overtakes_a_reader_ends_it() {
    let Some(cluster) = Cluster::real() else { return };
    let config = KafkaConfig { read_ahead_bytes_max: 2048, ..cluster.topic(1).await };
    let log = open(&config).await;
    append_all(&log, 0, (0..60).map(|_| "x".repeat(200_000))).await;
    let mut reader = log.reader(&[(0, 0)]).await.unwrap();
    let mut next = read_some(reader.as_mut(), 1).await.len() as u64;
    drop_before(&config, 50).await;
    let ended = loop {
        match reader.read(1, SOON).await {
            Ok(records) => {
                assert_eq!(records[0].offset, next, "no jump");
                next += records.len() as u64;
            }
            Err(error) => break error,
        }
    };
    assert!(next < 50);
    assert_out_of_range(Err::<(), _>(ended), next, Bounds { start: 50, end: 60 });
}
