use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::*;

const PARTITIONS: u32 = 4;

#[tokio::test]
async fn records_of_many_requests_come_back_once_and_in_order() {
    let cluster = Cluster::any();
    let log = open(&cluster.topic(PARTITIONS).await).await;
    assert_eq!(log.partitions(), PARTITIONS);
    for round in 0..10 {
        let request = |n| (0..PARTITIONS).map(|p| record(p, format!("{round} {n} {p}"))).collect::<Vec<_>>();
        try_join_all((0..20).map(|n| log.append(request(n), SOON))).await.unwrap();
    }
    let from: Vec<_> = (0..PARTITIONS).map(|p| (p, 0)).collect();
    let mut reader = log.reader(&from).await.unwrap();
    let mut partitions: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
    let mut found = 0;
    while found < 800 {
        for record in read_some(reader.as_mut(), 1).await {
            found += texts(&record).len();
            partitions.entry(record.partition).or_default().push(record);
        }
    }
    for (partition, records) in partitions {
        assert!(records.iter().map(|record| record.offset).eq(0..records.len() as u64));
        assert!(records.iter().all(|record| record.timestamp_ms == 1_760_000_000_000 + i64::from(partition)));
        let mut wanted: Vec<_> =
            (0..10).flat_map(|round| (0..20).map(move |n| format!("{round} {n} {partition}"))).collect();
        let rounds = |records: &[String]| records.iter().map(|text| text[..1].to_owned()).collect::<Vec<_>>();
        let mut texts: Vec<_> = records.iter().flat_map(texts).collect();
        assert_eq!(rounds(&texts), rounds(&wanted), "what was acknowledged first comes first");
        texts.sort();
        wanted.sort();
        assert_eq!(texts, wanted);
    }
    assert!(reader.read(1024, Duration::ZERO).await.unwrap().is_empty());
}

#[tokio::test]
async fn frames_that_are_under_way_together_share_records_up_to_their_size() {
    let cluster = Cluster::any();
    let log = open(&cluster.topic(1).await).await;
    let half = "x".repeat(100_000);
    let request = (0..10).map(|_| record(0, half.clone())).collect();
    log.append(request, SOON).await.unwrap();
    let bounds = log.bounds().await.unwrap()[0];
    assert_eq!((bounds.start, bounds.end), (0, 5), "two of them in each record of 256 KiB at most");
    assert_eq!(read_partition(&log, 0).await, vec![half; 10]);
}

#[tokio::test]
async fn records_of_one_request_for_one_partition_keep_their_order() {
    let cluster = Cluster::any();
    let log = open(&cluster.topic(1).await).await;
    log.append((0..100).map(|n| record(0, n.to_string())).collect(), SOON).await.unwrap();
    assert!(read_partition(&log, 0).await.into_iter().eq((0..100).map(|n| n.to_string())));
}

#[tokio::test]
async fn the_largest_frame_fits_and_a_larger_one_is_refused() {
    let cluster = Cluster::any();
    let log = open(&cluster.topic(1).await).await;
    let max = schemas::limit::FRAME_BYTES_MAX;
    log.append(vec![record(0, "x".repeat(max))], SOON).await.unwrap();
    let refused = log.append(vec![record(0, "small"), record(0, "x".repeat(max + 1))], SOON).await;
    assert!(matches!(refused, Err(eventlog::AppendError::Rejected(_))), "{refused:?}");
    let refused = log.append(vec![record(0, "small"), record(1, "no such partition")], SOON).await;
    assert!(matches!(refused, Err(eventlog::AppendError::Rejected(_))), "{refused:?}");
    assert_eq!(read_partition(&log, 0).await, ["x".repeat(max)]);
}

#[tokio::test]
async fn a_compressed_log_reads_the_same() {
    let cluster = Cluster::any();
    let config = cluster.topic(1).await;
    let zstd = KafkaConfig { compression: eventlog::kafka::Compression::Zstd, ..config.clone() };
    append_all(&open(&zstd).await, 0, (0..10).map(|n| format!("{n}").repeat(1000))).await;
    let texts = read_partition(&open(&config).await, 0).await;
    assert!(texts.into_iter().eq((0..10).map(|n| format!("{n}").repeat(1000))));
}

#[tokio::test]
async fn closing_settles_what_was_handed_over_and_takes_no_more() {
    let cluster = Cluster::any();
    let log = open(&cluster.topic(1).await).await;
    let handed_over = log.append(vec![record(0, "before")], SOON);
    let (appended, ()) = futures_util::join!(handed_over, log.close(SOON));
    appended.unwrap();
    let refused = log.append(vec![record(0, "after")], SOON).await;
    assert!(matches!(refused, Err(eventlog::AppendError::Refused(_))), "{refused:?}");
    assert_eq!(read_partition(&log, 0).await, ["before"]);
}
