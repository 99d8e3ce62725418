use super::*;

#[tokio::test]
async fn a_failed_sync_is_unknown_and_is_never_tried_again() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let log = LocalLog::open_on(config(&dir, 2), faults.disk()).unwrap();
    append(&log, 0, "before").await;
    faults.sync_fails.store(true, Ordering::SeqCst);
    let outcome = log.append(vec![record(0, "perhaps")], SOON).await;
    assert!(matches!(outcome, Err(AppendError::Unknown(_))));
    assert!(log.fatal().unwrap().contains("the disk is gone"));
    faults.sync_fails.store(false, Ordering::SeqCst);
    let syncs = faults.syncs.load(Ordering::SeqCst);
    let outcome = log.append(vec![record(1, "neither"), record(0, "nor")], SOON).await;
    assert!(matches!(outcome, Err(AppendError::Refused(_))));
    append(&log, 1, "other partitions go on").await;
    assert_eq!(texts(&log, 0).await, ["before"]);
    close(log).await;
    assert_eq!(faults.syncs.load(Ordering::SeqCst), syncs + 1);
    let log = LocalLog::open(config(&dir, 2)).unwrap();
    append(&log, 0, "after").await;
    assert_eq!(texts(&log, 0).await, ["before", "perhaps", "after"]);
    assert_eq!(texts(&log, 1).await, ["other partitions go on"]);
}

#[tokio::test]
async fn the_last_group_is_written_again_before_it_counts_as_durable() {
    let dir = TempDir::new().unwrap();
    let log = LocalLog::open(config(&dir, 1)).unwrap();
    append(&log, 0, "first").await;
    append(&log, 0, "second").await;
    close(log).await;
    let faults = Faults::new();
    let rewritten = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&rewritten);
    let write = move |file: &File, bytes: &[u8], position| {
        seen.lock().extend_from_slice(bytes);
        file.write_all_at(bytes, position)
    };
    let log = LocalLog::open_on(config(&dir, 1), Disk { write: Arc::new(write), ..faults.disk() }).unwrap();
    assert!(rewritten.lock().ends_with(b"second"));
    assert_eq!(rewritten.lock().len() as u64, "second".len() as u64 + 32);
    assert_eq!(faults.syncs.load(Ordering::SeqCst), 1);
    assert_eq!(texts(&log, 0).await, ["first", "second"]);
}

#[tokio::test]
async fn a_log_whose_last_group_cannot_be_synced_does_not_open() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let log = LocalLog::open_on(config(&dir, 1), faults.disk()).unwrap();
    append(&log, 0, "a").await;
    close(log).await;
    faults.sync_fails.store(true, Ordering::SeqCst);
    let opened = LocalLog::open_on(config(&dir, 1), faults.disk());
    assert!(matches!(opened.map(drop), Err(LogError::Unavailable(_))));
}

#[tokio::test]
async fn a_failed_write_is_unknown_and_ends_the_partition_until_it_is_opened_again() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let log = LocalLog::open_on(config(&dir, 1), faults.disk()).unwrap();
    append(&log, 0, "before").await;
    *faults.write_fails.lock() = Some(io::ErrorKind::Other);
    let outcome = log.append(vec![record(0, "torn")], SOON).await;
    assert!(matches!(outcome, Err(AppendError::Unknown(_))));
    *faults.write_fails.lock() = None;
    let outcome = log.append(vec![record(0, "refused")], SOON).await;
    assert!(matches!(outcome, Err(AppendError::Refused(_))));
    close(log).await;
    let log = LocalLog::open(config(&dir, 1)).unwrap();
    append(&log, 0, "after").await;
    assert_eq!(texts(&log, 0).await, ["before", "after"]);
}

#[tokio::test]
async fn a_full_disk_refuses_leaves_nothing_and_goes_on_when_there_is_room() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let log = LocalLog::open_on(config(&dir, 1), faults.disk()).unwrap();
    append(&log, 0, "before").await;
    let path = segment(&config(&dir, 1), 0, 0);
    let bytes = std::fs::read(&path).unwrap();
    *faults.write_fails.lock() = Some(io::ErrorKind::StorageFull);
    let outcome = log.append(vec![record(0, "too much")], SOON).await;
    assert!(matches!(outcome, Err(AppendError::Refused(_))));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    let outcome = log.append(vec![record(0, "still")], SOON).await;
    assert!(matches!(outcome, Err(AppendError::Refused(_))));
    *faults.write_fails.lock() = None;
    assert!(log.fatal().is_none());
    eventually(async || log.append(vec![record(0, "after")], SOON).await.is_ok()).await;
    assert_eq!(texts(&log, 0).await, ["before", "after"]);
}

#[tokio::test]
async fn a_full_disk_that_cannot_be_cut_back_is_unknown() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let log = LocalLog::open_on(config(&dir, 1), faults.disk()).unwrap();
    *faults.write_fails.lock() = Some(io::ErrorKind::StorageFull);
    faults.sync_fails.store(true, Ordering::SeqCst);
    let outcome = log.append(vec![record(0, "too much")], SOON).await;
    assert!(matches!(outcome, Err(AppendError::Unknown(_))));
}

#[tokio::test]
async fn nothing_is_written_when_less_room_is_left_than_must_be_kept_free() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let keeps = LocalConfig { disk_free_bytes_min: 1000, ..config(&dir, 1) };
    let log = LocalLog::open_on(keeps, faults.disk()).unwrap();
    faults.free_bytes.store(1000, Ordering::SeqCst);
    append(&log, 0, "fits").await;
    faults.free_bytes.store(999, Ordering::SeqCst);
    let before = len(&segment(&config(&dir, 1), 0, 0));
    let outcome = log.append(vec![record(0, "does not")], SOON).await;
    assert!(matches!(outcome, Err(AppendError::Refused(_))));
    assert_eq!(len(&segment(&config(&dir, 1), 0, 0)), before);
    faults.free_bytes.store(1000, Ordering::SeqCst);
    eventually(async || log.append(vec![record(0, "again")], SOON).await.is_ok()).await;
}

#[tokio::test]
async fn a_request_of_which_one_partition_is_refused_late_is_unknown() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let log = LocalLog::open_on(config(&dir, 2), faults.disk()).unwrap();
    *faults.only.lock() = Some("weir-log-1");
    *faults.write_fails.lock() = Some(io::ErrorKind::StorageFull);
    let outcome = log.append(vec![record(0, "a"), record(1, "b")], SOON).await;
    assert!(matches!(outcome, Err(AppendError::Unknown(_))));
    assert_eq!(ends(&log).await, [1, 0]);
}

#[tokio::test]
async fn a_segment_that_cannot_be_begun_refuses_and_is_tried_again() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let small = LocalConfig { segment_bytes_max: 100, ..config(&dir, 1) };
    let log = LocalLog::open_on(small.clone(), faults.disk()).unwrap();
    append(&log, 0, "long enough to fill it").await;
    faults.sync_fails.store(true, Ordering::SeqCst);
    let outcome = log.append(vec![record(0, "refused")], SOON).await;
    assert!(matches!(outcome, Err(AppendError::Refused(_))));
    faults.sync_fails.store(false, Ordering::SeqCst);
    append(&log, 0, "in the second segment").await;
    close(log).await;
    let log = LocalLog::open(small).unwrap();
    assert_eq!(texts(&log, 0).await, ["long enough to fill it", "in the second segment"]);
}

#[tokio::test]
async fn readers_see_nothing_that_is_not_synced() {
    let dir = TempDir::new().unwrap();
    let faults = Faults::new();
    let log = LocalLog::open_on(config(&dir, 1), faults.disk()).unwrap();
    append(&log, 0, "durable").await;
    let looking = LocalLog::open_read_only(dir.path().join("log")).unwrap();
    let mut reader = log.reader(&[(0, 1)]).await.unwrap();
    faults.set_hang(true);
    let mut appended = log.append(vec![record(0, "not yet")], SOON);
    poll_once(&mut appended).await;
    faults.hangs.notified().await;
    assert!(len(&segment(&config(&dir, 1), 0, 0)) > 44 + 39 + 32, "it is in the file");
    assert!(reader.read(MANY, NOW).await.unwrap().is_empty());
    assert_eq!(ends(&log).await, [1]);
    assert_eq!(texts(&looking, 0).await, ["durable"]);
    faults.set_hang(false);
    appended.await.unwrap();
    assert_eq!(reader.read(MANY, SOON).await.unwrap()[0].payload, "not yet");
    assert_eq!(texts(&looking, 0).await, ["durable", "not yet"]);
}
