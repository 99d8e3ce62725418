use super::*;

#[tokio::test]
async fn another_process_sees_what_is_durable_while_the_log_is_written() {
    let dir = TempDir::new().unwrap();
    let small = LocalConfig { segment_bytes_max: 300, ..config(&dir, 1) };
    let log = LocalLog::open(small.clone()).unwrap();
    let looking = LocalLog::open_read_only(&small.dir).unwrap();
    assert_eq!(looking.identity(), log.identity());
    let mut expected = Vec::new();
    for n in 0..20 {
        let text = format!("record {n}");
        append(&log, 0, &text).await;
        expected.push(text);
        assert_eq!(texts(&looking, 0).await, expected);
    }
    assert!(matches!(looking.append(vec![record(0, "no")], SOON).await, Err(AppendError::Refused(_))));
    assert!(matches!(looking.trim(0, 5).await, Err(LogError::Config(_))));
}

#[tokio::test]
async fn without_the_mark_the_last_group_is_not_known_to_be_durable() {
    let dir = TempDir::new().unwrap();
    let kept = config(&dir, 1);
    let log = LocalLog::open(kept.clone()).unwrap();
    append(&log, 0, "a").await;
    append(&log, 0, "b").await;
    close(log).await;
    lose_mark(&kept, 0);
    let looking = LocalLog::open_read_only(&kept.dir).unwrap();
    assert_eq!(texts(&looking, 0).await, ["a"]);
}

#[tokio::test]
async fn looking_finds_damage_below_what_was_durable() {
    let dir = TempDir::new().unwrap();
    let kept = config(&dir, 1);
    let log = LocalLog::open(kept.clone()).unwrap();
    append(&log, 0, "a").await;
    close(log).await;
    let path = segment(&kept, 0, 0);
    flip(&path, len(&path) - 1);
    assert!(matches!(LocalLog::open_read_only(&kept.dir).map(drop), Err(LogError::PartitionDamaged { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_never_mistakes_writing_for_damage() {
    let dir = TempDir::new().unwrap();
    let small = LocalConfig { segment_bytes_max: 20_000, ..config(&dir, 1) };
    let log = Arc::new(LocalLog::open_on(small.clone(), Faults::new().disk()).unwrap());
    let writing = Arc::clone(&log);
    let writer = tokio::spawn(async move {
        for n in 0..2000_usize {
            writing.append(vec![record(0, vec![7; n % 700])], SOON).await.unwrap();
        }
    });
    let looking = LocalLog::open_read_only(&small.dir).unwrap();
    let mut seen = 0;
    while !writer.is_finished() {
        let end = looking.bounds().await.unwrap()[0].end;
        assert!(end >= seen);
        seen = end;
    }
    writer.await.unwrap();
    assert_eq!(read_from(&looking, 0, 0).await.unwrap().len(), 2000);
}
