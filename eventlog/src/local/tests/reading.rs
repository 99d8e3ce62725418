use std::collections::BTreeSet;
use std::time::SystemTime;

use futures_util::FutureExt;

use super::*;

/// A log of one partition with five segments of two records each.
async fn segmented(dir: &TempDir) -> (LocalConfig, LocalLog) {
    let small = LocalConfig { segment_bytes_max: 44 + 2 * 40, ..config(dir, 1) };
    let log = LocalLog::open_on(small.clone(), Faults::new().disk()).unwrap();
    for n in 0..10 {
        append(&log, 0, &format!("record {n}")).await;
    }
    assert_eq!(super::super::directory::segments(&partition_dir(&small.dir, 0)).unwrap().len(), 5);
    (small, log)
}

async fn refused(log: &LocalLog, offset: u64) -> bool {
    matches!(log.reader(&[(0, offset)]).await.map(drop), Err(LogError::OutOfRange { wanted, .. }) if wanted == offset)
}

fn age(path: &Path) {
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
}

#[tokio::test]
async fn reading_begins_at_any_offset_that_the_log_has() {
    let dir = TempDir::new().unwrap();
    let (small, log) = segmented(&dir).await;
    close(log).await;
    let log = LocalLog::open(small).unwrap();
    for offset in 0..10 {
        let read = read_from(&log, 0, offset).await.unwrap();
        assert_eq!(read[0].payload, format!("record {offset}"));
        assert_eq!(read.len() as u64, 10 - offset);
    }
    assert!(!refused(&log, 10).await);
    assert!(refused(&log, 11).await);
    assert!(matches!(log.reader(&[(1, 0)]).await.map(drop), Err(LogError::Config(_))));
}

#[tokio::test]
async fn reading_begins_in_the_middle_of_a_segment_of_megabytes() {
    let dir = TempDir::new().unwrap();
    let log = LocalLog::open_on(config(&dir, 1), Faults::new().disk()).unwrap();
    for n in 0..40_u8 {
        log.append(vec![record(0, vec![n; 300_000]), record(0, vec![n; 3])], SOON).await.unwrap();
    }
    let reopened = |log: LocalLog| async {
        close(log).await;
        LocalLog::open_on(config(&dir, 1), Faults::new().disk()).unwrap()
    };
    let check = async |log: &LocalLog| {
        for offset in [0, 1, 7, 40, 78, 79] {
            let read = read_once(log, &[(0, offset)], 1).await;
            assert_eq!((read.len(), read[0].offset), (1, offset));
            assert_eq!(u64::from(read[0].payload[0]), offset / 2);
        }
        assert_eq!(read_from(log, 0, 0).await.unwrap().len(), 80);
    };
    check(&log).await;
    check(&reopened(log).await).await;
}

#[tokio::test]
async fn a_read_returns_about_the_bytes_asked_for_and_at_least_one_record() {
    let dir = TempDir::new().unwrap();
    let log = LocalLog::open_on(config(&dir, 1), Faults::new().disk()).unwrap();
    log.append((0..10).map(|_| record(0, vec![0; 100_000])).collect(), SOON).await.unwrap();
    let count = async |bytes_max| read_once(&log, &[(0, 0)], bytes_max).await.len();
    assert_eq!(count(0).await, 1);
    assert_eq!(count(99_999).await, 1);
    assert_eq!(count(199_999).await, 1);
    assert_eq!(count(200_000).await, 2);
    assert_eq!(count(1_000_000).await, 10);
}

#[tokio::test]
async fn no_partition_starves() {
    let dir = TempDir::new().unwrap();
    let log = LocalLog::open_on(config(&dir, 4), Faults::new().disk()).unwrap();
    for partition in 0..4 {
        log.append((0..50).map(|_| record(partition, vec![0; 10_000])).collect(), SOON).await.unwrap();
    }
    let mut reader = log.reader(&[(0, 0), (1, 0), (3, 0)]).await.unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        seen.extend(reader.read(100_000, SOON).await.unwrap().iter().map(|record| record.partition));
    }
    assert_eq!(seen, BTreeSet::from([0, 1, 3]));
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_an_append_and_gives_up_when_none_comes() {
    let dir = TempDir::new().unwrap();
    let log = LocalLog::open_on(config(&dir, 2), Faults::new().disk()).unwrap();
    let mut reader = log.reader(&[(0, 0), (1, 0)]).await.unwrap();
    assert!(reader.read(MANY, Duration::from_millis(5)).await.unwrap().is_empty());
    for n in 0..50 {
        let (read, ()) = tokio::join!(reader.read(MANY, SOON), append(&log, n % 2, "wake"));
        assert_eq!(read.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_read_that_is_given_up_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let (_, log) = segmented(&dir).await;
    let mut reader = log.reader(&[(0, 0)]).await.unwrap();
    let mut offsets = Vec::new();
    while offsets.len() < 10 {
        // Given up after its first poll, which has begun to read, unless it is done by then.
        let read = match reader.read(1, SOON).now_or_never() {
            Some(read) => read,
            None => reader.read(1, SOON).await,
        };
        offsets.extend(read.unwrap().iter().map(|record| record.offset));
    }
    assert_eq!(offsets, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn trim_deletes_only_closed_segments_that_are_both_processed_and_old() {
    let dir = TempDir::new().unwrap();
    let (small, log) = segmented(&dir).await;
    let start = async || log.bounds().await.unwrap()[0].start;
    log.trim(0, 10).await.unwrap();
    assert_eq!(start().await, 0, "processed, not old");
    for at in [0, 1, 3, 4] {
        age(&segment(&small, 0, at));
    }
    log.trim(0, 1).await.unwrap();
    assert_eq!(start().await, 0, "its last record is not processed");
    log.trim(0, 2).await.unwrap();
    assert_eq!(start().await, 2);
    log.trim(0, 10).await.unwrap();
    assert_eq!(start().await, 4, "the third one is not old");
    age(&segment(&small, 0, 0));
    log.trim(0, u64::MAX).await.unwrap();
    assert_eq!(start().await, 8, "the last one stays");
    assert_eq!(texts(&log, 0).await, ["record 8", "record 9"]);
    close(log).await;
    let log = LocalLog::open(small).unwrap();
    assert_eq!(log.bounds().await.unwrap()[0], crate::Bounds { start: 8, end: 10 });
    assert!(refused(&log, 7).await && !refused(&log, 8).await);
}

#[tokio::test]
async fn a_reader_whose_segment_is_trimmed_is_out_of_range() {
    let dir = TempDir::new().unwrap();
    let (small, log) = segmented(&dir).await;
    let mut reader = log.reader(&[(0, 0)]).await.unwrap();
    assert_eq!(reader.read(1, SOON).await.unwrap().len(), 1);
    age(&segment(&small, 0, 0));
    log.trim(0, 2).await.unwrap();
    let read = reader.read(1, SOON).await;
    assert!(matches!(read, Err(LogError::OutOfRange { wanted: 1, .. })), "{read:?}");
}
