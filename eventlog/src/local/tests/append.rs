use schemas::limit::FRAME_BYTES_MAX;

use super::super::record::RECORD_HEAD_LEN;
use super::*;

#[tokio::test]
async fn records_come_back_as_they_were_appended() {
    let dir = TempDir::new().unwrap();
    let log = LocalLog::open(config(&dir, 3)).unwrap();
    let records = (0..30_u8).map(|n| Append {
        partition: u32::from(n % 3),
        timestamp_ms: i64::from(n) - 5,
        payload: vec![n; usize::from(n) * 1000].into(),
    });
    log.append(records.clone().collect(), SOON).await.unwrap();
    for partition in 0..3 {
        let expected: Vec<_> = records.clone().filter(|record| record.partition == partition).collect();
        let read = read_from(&log, partition, 0).await.unwrap();
        assert_eq!(read.len(), expected.len());
        for ((read, expected), offset) in read.iter().zip(&expected).zip(0..) {
            assert_eq!(
                (read.partition, read.offset, read.timestamp_ms, &read.payload),
                (partition, offset, expected.timestamp_ms, &expected.payload)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appenders_share_syncs_and_get_contiguous_offsets() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let log = Arc::new(LocalLog::open_on(config(&dir, 2), faults.disk()).unwrap());
    faults.set_hang(true);
    let before = faults.syncs.load(Ordering::SeqCst);
    let appenders: Vec<_> = (0..64)
        .map(|appender| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for n in 0..10 {
                    let text = format!("{appender}.{n}");
                    let records = (0..2).map(|partition| record(partition, text.clone())).collect();
                    log.append(records, SOON).await.unwrap();
                }
            })
        })
        .collect();
    faults.hangs.notified().await;
    faults.set_hang(false);
    for appender in appenders {
        appender.await.unwrap();
    }
    assert!(faults.syncs.load(Ordering::SeqCst) - before < 2 * 640);
    let mut expected: Vec<_> = (0..64).flat_map(|a| (0..10).map(move |n| format!("{a}.{n}"))).collect();
    expected.sort();
    for partition in 0..2 {
        let mut found = texts(&log, partition).await;
        found.sort();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn the_queue_takes_its_bound_and_not_a_byte_more() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let sizes = LocalConfig { queue_bytes_max: 2 * (RECORD_HEAD_LEN + 500), ..config(&dir, 2) };
    let log = LocalLog::open_on(sizes, faults.disk()).unwrap();
    faults.set_hang(true);
    let too_much = vec![record(0, vec![1; 500]), record(1, vec![1; 501])];
    assert!(matches!(log.append(too_much, SOON).await, Err(AppendError::Refused(_))));
    let mut first = log.append(vec![record(0, vec![1; 500])], SOON);
    poll_once(&mut first).await;
    let mut second = log.append(vec![record(1, vec![1; 500])], SOON);
    poll_once(&mut second).await;
    let refused = log.append(vec![record(1, Bytes::new())], SOON).await;
    assert!(matches!(refused, Err(AppendError::Refused(_))));
    faults.set_hang(false);
    first.await.unwrap();
    second.await.unwrap();
    append(&log, 1, "").await;
    assert_eq!(ends(&log).await, [1, 2]);
}

#[tokio::test]
async fn a_record_may_have_the_length_of_a_frame_and_not_a_byte_more() {
    let dir = TempDir::new().unwrap();
    let log = LocalLog::open(config(&dir, 1)).unwrap();
    log.append(vec![record(0, vec![7; FRAME_BYTES_MAX])], SOON).await.unwrap();
    let longer = log.append(vec![record(0, "a"), record(0, vec![7; FRAME_BYTES_MAX + 1])], SOON).await;
    assert!(matches!(longer, Err(AppendError::Rejected(_))));
    let read = read_from(&log, 0, 0).await.unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].payload, vec![7; FRAME_BYTES_MAX]);
}

#[tokio::test]
async fn an_unknown_partition_refuses_the_whole_request() {
    let dir = TempDir::new().unwrap();
    let log = LocalLog::open(config(&dir, 2)).unwrap();
    let outcome = log.append(vec![record(1, "a"), record(2, "b")], SOON).await;
    assert!(matches!(outcome, Err(AppendError::Rejected(_))));
    assert_eq!(ends(&log).await, [0, 0]);
}

#[tokio::test]
async fn an_append_is_unknown_at_its_deadline_and_may_be_written_later() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let log = LocalLog::open_on(config(&dir, 1), faults.disk()).unwrap();
    faults.set_hang(true);
    let outcome = log.append(vec![record(0, "slow")], Duration::from_millis(30)).await;
    assert!(matches!(outcome, Err(AppendError::Unknown(_))));
    let mut reader = log.reader(&[(0, 0)]).await.unwrap();
    faults.set_hang(false);
    assert_eq!(reader.read(MANY, SOON).await.unwrap()[0].payload, "slow");
}

#[tokio::test]
async fn close_writes_what_was_handed_over_and_takes_nothing_more() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let log = LocalLog::open_on(config(&dir, 1), faults.disk()).unwrap();
    faults.set_hang(true);
    let mut first = log.append(vec![record(0, "first")], SOON);
    poll_once(&mut first).await;
    faults.hangs.notified().await;
    let mut second = log.append(vec![record(0, "second")], SOON);
    poll_once(&mut second).await;
    log.close(Duration::from_millis(10)).await;
    assert!(matches!(log.append(vec![record(0, "third")], SOON).await, Err(AppendError::Refused(_))));
    faults.set_hang(false);
    log.close(SOON).await;
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(texts(&log, 0).await, ["first", "second"]);
    drop(log);
    let log = LocalLog::open(config(&dir, 1)).unwrap();
    assert_eq!(texts(&log, 0).await, ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_request_waits_for_a_piece_of_a_large_one_and_not_for_all_of_it() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let log = Arc::new(LocalLog::open_on(config(&dir, 1), faults.disk()).unwrap());
    let large: Vec<Append> = (0..6_u8)
        .map(|n| Append { partition: 0, timestamp_ms: 0, payload: vec![n; FRAME_BYTES_MAX].into() })
        .collect();
    // The first one is on its way to the disk while the others queue, in this order.
    faults.set_hang(true);
    let first = tokio::spawn({
        let log = Arc::clone(&log);
        async move { append(&log, 0, "first").await }
    });
    faults.hangs.notified().await;
    let mut queued = std::pin::pin!(log.append(large.clone(), SOON));
    assert!(futures_util::poll!(&mut queued).is_pending());
    let mut small = std::pin::pin!(append(&log, 0, "small"));
    assert!(futures_util::poll!(&mut small).is_pending());
    faults.set_hang(false);
    first.await.unwrap();
    small.await;
    queued.await.unwrap();
    let found = read_from(&log, 0, 0).await.unwrap();
    let expected: Vec<Bytes> = [Bytes::from("first"), "small".into()]
        .into_iter()
        .chain(large.into_iter().map(|it| it.payload))
        .collect();
    let found: Vec<Bytes> = found.into_iter().map(|it| it.payload).collect();
    assert!(found == expected, "{:?}", found.iter().map(Bytes::len).collect::<Vec<_>>());
}
