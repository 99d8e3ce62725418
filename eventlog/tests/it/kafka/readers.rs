use std::fs;
use std::time::Instant;

use super::*;

/// Polling threads of this topic's readers.
fn threads(topic: &str) -> usize {
    let name = format!("read {topic}");
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    // A thread may be gone before its name is read.
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.trim_end() == name).count()
}

#[tokio::test]
async fn readers_that_are_dropped_leave_no_threads() {
    let cluster = Cluster::any();
    let config = cluster.topic(2).await;
    let log = open(&config).await;
    append_all(&log, 0, (0..10).map(|n| n.to_string())).await;
    for _ in 0..20 {
        let mut reader = log.reader(&[(0, 0), (1, 0)]).await.unwrap();
        assert_eq!(read_some(reader.as_mut(), 10).await[0].offset, 0);
        assert!(threads(&config.topic) >= 1);
    }
    let begun = Instant::now();
    while threads(&config.topic) > 0 {
        assert!(begun.elapsed() < SOON, "{} threads are left", threads(&config.topic));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reader_outlives_its_log() {
    let cluster = Cluster::any();
    let log = open(&cluster.topic(1).await).await;
    append_all(&log, 0, (0..10).map(|n| n.to_string())).await;
    let mut reader = log.reader(&[(0, 0)]).await.unwrap();
    drop(log);
    assert_eq!(read_some(reader.as_mut(), 10).await.len(), 10);
}

#[tokio::test]
async fn a_caller_slower_than_the_log_gets_all_of_it() {
    let cluster = Cluster::any();
    // So little that fetching is held back at every turn, and paused soon.
    let config = KafkaConfig {
        read_ahead_bytes_max: 8 * 1024,
        stall_timeout: Duration::from_millis(300),
        ..cluster.topic(2).await
    };
    let log = open(&config).await;
    let mut reader = log.reader(&[(0, 0), (1, 0)]).await.unwrap();
    let mut next = [0, 0];
    // The last hundred are always left, so that the inbox is full while the next are appended.
    for all_but_the_last in (0..10).map(|round| round * 100).chain([1_000]) {
        if all_but_the_last < 1_000 {
            append_hundred(&log).await;
        }
        while next[0] + next[1] < all_but_the_last {
            for record in reader.read(2_000, SOON).await.unwrap() {
                let next = &mut next[record.partition as usize];
                assert_eq!(record.offset, *next);
                *next += 1;
            }
        }
    }
    assert_eq!(next, [500, 500]);
}

async fn append_hundred(log: &KafkaLog) {
    for n in 0..100 {
        log.append(vec![record(n % 2, "x".repeat(1_000))], SOON).await.unwrap();
    }
    // Connecting takes longer than a full inbox is borne with before fetching is paused.
    drop(log.reader(&[(0, 0)]).await.unwrap());
}

#[tokio::test]
async fn reading_nothing_takes_as_long_as_allowed() {
    let cluster = Cluster::any();
    let log = open(&cluster.topic(1).await).await;
    let wait = Duration::from_millis(50);
    for from in [vec![(0, 0)], vec![]] {
        let mut reader = log.reader(&from).await.unwrap();
        let begun = Instant::now();
        assert!(reader.read(1, wait).await.unwrap().is_empty());
        assert!((wait..SOON).contains(&begun.elapsed()));
    }
}
