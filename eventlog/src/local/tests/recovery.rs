use proptest::prelude::*;

use super::super::record::{RECORD_HEAD_LEN, SEGMENT_HEAD_LEN, encode, segment_head};
use super::*;

/// A log of one partition with these groups in its last segment, closed. Returns where each group ends.
async fn written(config: &LocalConfig, groups: &[&[&str]]) -> Vec<u64> {
    let log = LocalLog::open_on(config.clone(), Faults::new().disk()).unwrap();
    let mut ends = Vec::new();
    for group in groups {
        let records = group.iter().map(|text| record(0, text.to_string())).collect();
        log.append(records, SOON).await.unwrap();
        ends.push(len(&segment(config, 0, 0)));
    }
    close(log).await;
    ends
}

fn open(config: &LocalConfig) -> Result<LocalLog, LogError> {
    LocalLog::open_on(config.clone(), Faults::new().disk())
}

fn damage(opened: Result<LocalLog, LogError>) -> String {
    match opened.map(drop) {
        Err(LogError::PartitionDamaged { why, .. } | LogError::Damaged(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn reopening_finds_everything_in_every_segment() {
    let dir = TempDir::new().unwrap();
    let small = LocalConfig { segment_bytes_max: 300, ..config(&dir, 2) };
    let mut expected = Vec::new();
    let mut identity = String::new();
    for round in 0..5 {
        let log = LocalLog::open(small.clone()).unwrap();
        assert!(identity.is_empty() || identity == log.identity());
        identity = log.identity().to_owned();
        for n in 0..7 {
            let text = format!("record {n} of round {round}");
            append(&log, 1, &text).await;
            expected.push(text);
        }
        assert_eq!(texts(&log, 1).await, expected);
        assert_eq!(ends(&log).await, [0, expected.len() as u64]);
        close(log).await;
    }
    assert!(len(&segment(&small, 1, 5)) <= 300);
}

#[tokio::test]
async fn a_cut_anywhere_takes_only_what_is_behind_it_and_nothing_once_it_is_marked_durable() {
    let groups: [&[&str]; 3] = [&["a", "bb"], &["ccc"], &["dddd", "e"]];
    let texts_written = groups.concat();
    let dir = TempDir::new().unwrap();
    let kept = config(&dir, 1);
    written(&kept, &groups).await;
    let path = segment(&kept, 0, 0);
    let bytes = std::fs::read(&path).unwrap();
    for cut in SEGMENT_HEAD_LEN..=bytes.len() {
        let mark = dir.path().join("log/p000/synced");
        let marked = std::fs::read(&mark).unwrap();
        std::fs::write(&path, &bytes[..cut]).unwrap();
        if cut < bytes.len() {
            assert!(damage(open(&kept)).contains(&format!(", {})", texts_written.len())));
            assert_eq!(len(&path), cut as u64, "nothing is changed");
        }
        lose_mark(&kept, 0);
        let log = open(&kept).unwrap();
        let mut end = SEGMENT_HEAD_LEN;
        let whole = texts_written.iter().take_while(|text| {
            end += RECORD_HEAD_LEN + text.len();
            end <= cut
        });
        let mut expected: Vec<_> = whole.copied().collect();
        assert_eq!(texts(&log, 0).await, expected);
        append(&log, 0, "next").await;
        expected.push("next");
        assert_eq!(texts(&log, 0).await, expected);
        close(log).await;
        std::fs::write(&mark, marked).unwrap();
    }
}

#[tokio::test]
async fn a_flipped_byte_is_damage_unless_it_may_be_what_a_crash_left_of_the_last_group() {
    let groups: [&[&str]; 3] = [&["a", "bb"], &["ccc"], &["dddd", "e"]];
    let dir = TempDir::new().unwrap();
    let kept = config(&dir, 1);
    let ends = written(&kept, &groups).await;
    let path = segment(&kept, 0, 0);
    let bytes = std::fs::read(&path).unwrap();
    let marked = std::fs::read(dir.path().join("log/p000/synced")).unwrap();
    for byte in 0..ends[2] {
        std::fs::write(&path, &bytes).unwrap();
        std::fs::write(dir.path().join("log/p000/synced"), &marked).unwrap();
        flip(&path, byte);
        let flipped = std::fs::read(&path).unwrap();
        let message = damage(open(&kept));
        assert!(message.contains("partition 0") && message.contains("00000000000000000000.log"), "{message}");
        lose_mark(&kept, 0);
        if byte < ends[1] {
            damage(open(&kept));
            assert_eq!(std::fs::read(&path).unwrap(), flipped, "nothing is changed");
        } else {
            let log = open(&kept).unwrap();
            let first_of_last = ends[1] + (RECORD_HEAD_LEN + "dddd".len()) as u64;
            let expected: &[&str] =
                if byte < first_of_last { &["a", "bb", "ccc"] } else { &["a", "bb", "ccc", "dddd"] };
            assert_eq!(texts(&log, 0).await, expected);
            assert_eq!(len(&path), if byte < first_of_last { ends[1] } else { first_of_last });
            close(log).await;
        }
    }
}

#[tokio::test]
async fn damage_names_the_offsets_and_the_byte() {
    let dir = TempDir::new().unwrap();
    let kept = config(&dir, 1);
    let ends = written(&kept, &[&["a", "b"], &["c"], &["d"]]).await;
    flip(&segment(&kept, 0, 0), ends[0] + 1);
    lose_mark(&kept, 0);
    let message = damage(open(&kept));
    assert!(message.contains(&format!("byte {}", ends[0])) && message.contains("[2, 3)"), "{message}");
}

#[tokio::test]
async fn a_reader_of_a_damaged_closed_segment_gets_the_records_before_the_damage_and_then_an_error() {
    let dir = TempDir::new().unwrap();
    let small = LocalConfig { segment_bytes_max: 150, ..config(&dir, 1) };
    written(&small, &[&["aaaa"], &["bbbb"], &["cccc"], &["dddd"]]).await;
    flip(&segment(&small, 0, 0), (SEGMENT_HEAD_LEN + 36 + RECORD_HEAD_LEN) as u64);
    let log = open(&small).unwrap();
    let mut reader = log.reader(&[(0, 0)]).await.unwrap();
    assert_eq!(reader.read(MANY, SOON).await.unwrap()[0].payload, "aaaa");
    let error = reader.read(MANY, SOON).await.unwrap_err();
    assert!(
        matches!(&error, LogError::PartitionDamaged { partition: 0, why } if why.contains("[1, 2)")),
        "{error}"
    );
    assert!(matches!(reader.read(MANY, SOON).await, Err(LogError::Unavailable(_))));
    assert_eq!(read_from(&log, 0, 2).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_closed_segment_that_was_cut_off_is_damage_for_its_reader() {
    let dir = TempDir::new().unwrap();
    let small = LocalConfig { segment_bytes_max: 150, ..config(&dir, 1) };
    written(&small, &[&["aaaa"], &["bbbb"], &["cccc"]]).await;
    let path = segment(&small, 0, 0);
    File::options().write(true).open(&path).unwrap().set_len(len(&path) - 36).unwrap();
    let log = open(&small).unwrap();
    let error = read_from(&log, 0, 1).await.unwrap_err();
    assert!(
        matches!(&error, LogError::PartitionDamaged { partition: 0, why } if why.contains("[1, 2)")),
        "{error}"
    );
}

#[tokio::test]
async fn a_last_segment_without_a_whole_header_is_begun_again() {
    let dir = TempDir::new().unwrap();
    let kept = config(&dir, 1);
    written(&kept, &[&["a"]]).await;
    let last = super::super::directory::segment_path(&dir.path().join("log/p000"), 1);
    for header in [0, 1, SEGMENT_HEAD_LEN - 1, SEGMENT_HEAD_LEN] {
        std::fs::write(&last, vec![0; header]).unwrap();
        let log = open(&kept).unwrap();
        assert_eq!(texts(&log, 0).await, ["a"]);
        append(&log, 0, "b").await;
        close(log).await;
        let log = open(&kept).unwrap();
        assert_eq!(texts(&log, 0).await, ["a", "b"]);
        close(log).await;
        lose_mark(&kept, 0);
    }
}

#[tokio::test]
async fn missing_files_are_damage_and_not_an_empty_log() {
    let dir = TempDir::new().unwrap();
    let kept = config(&dir, 2);
    written(&kept, &[&["a"]]).await;
    let meta = dir.path().join("log/meta");
    let text = std::fs::read(&meta).unwrap();
    std::fs::remove_file(&meta).unwrap();
    damage(open(&kept));
    std::fs::write(&meta, &text[..text.len() - 3]).unwrap();
    damage(open(&kept));
    std::fs::write(&meta, &text).unwrap();
    std::fs::remove_dir_all(dir.path().join("log/p001")).unwrap();
    assert!(damage(open(&kept)).contains("partition 1"));
}

#[tokio::test]
async fn a_crash_while_the_log_is_made_is_made_good() {
    let dir = TempDir::new().unwrap();
    let kept = config(&dir, 2);
    written(&kept, &[]).await;
    std::fs::remove_file(dir.path().join("log/meta")).unwrap();
    std::fs::remove_dir_all(dir.path().join("log/p001")).unwrap();
    std::fs::write(dir.path().join("log/meta.tmp"), "weir").unwrap();
    let log = open(&kept).unwrap();
    append(&log, 0, "a").await;
    append(&log, 1, "b").await;
}

#[tokio::test]
async fn a_segment_of_another_log_is_damage() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    written(&config(&dir, 1), &[&["a"]]).await;
    written(&config(&other, 1), &[&["b"]]).await;
    std::fs::copy(segment(&config(&other, 1), 0, 0), segment(&config(&dir, 1), 0, 0)).unwrap();
    damage(open(&config(&dir, 1)));
}

#[tokio::test]
async fn a_second_writer_and_another_number_of_partitions_are_refused() {
    let dir = TempDir::new().unwrap();
    let log = open(&config(&dir, 2)).unwrap();
    let refused = |opened: Result<LocalLog, LogError>, named: &str| match opened.map(drop) {
        Err(LogError::Config(message)) => assert!(message.contains(named), "{message}"),
        other => panic!("{other:?}"),
    };
    refused(open(&config(&dir, 2)), &config(&dir, 2).dir.display().to_string());
    close(log).await;
    refused(open(&config(&dir, 3)), "2 partitions");
    refused(open(&config(&dir, 0)), "2 partitions");
    let empty = TempDir::new().unwrap();
    refused(open(&config(&empty, 0)), "0 partitions");
    refused(open(&config(&empty, 1001)), "1001 partitions");
    refused(LocalLog::open_read_only(empty.path()), "no log");
    open(&config(&dir, 2)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a crash leaves behind the last durable group, that group and all before it are found again, what
    /// is whole behind them may be, and the log goes on.
    #[test]
    fn what_was_durable_survives_any_tail(
        groups in prop::collection::vec(prop::collection::vec("[a-z]{0,40}", 1..4), 1..6),
        torn in prop::collection::vec("[a-z]{0,40}", 0..4),
        cut in 0_usize..400,
        garbage in prop::collection::vec(any::<u8>(), 0..100),
        marked in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = TempDir::new().unwrap();
            let kept = config(&dir, 1);
            let borrowed: Vec<Vec<&str>> = groups.iter().map(|g| g.iter().map(String::as_str).collect()).collect();
            let slices: Vec<&[&str]> = borrowed.iter().map(Vec::as_slice).collect();
            written(&kept, &slices).await;
            let durable: Vec<String> = groups.concat();
            let log = open(&kept).unwrap();
            let identity = log.identity().parse().unwrap();
            close(log).await;
            let (_, seed) = segment_head(identity, 0, 0);
            let end = durable.len() as u64;
            let mut tail = Vec::new();
            for (offset, text) in (end..).zip(&torn) {
                encode(&mut tail, seed, offset, end, 0, text.as_bytes());
            }
            tail.truncate(cut);
            tail.extend(garbage);
            let path = segment(&kept, 0, 0);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.extend(tail);
            std::fs::write(&path, bytes).unwrap();
            if !marked {
                lose_mark(&kept, 0);
            }
            let log = open(&kept).unwrap();
            let found = texts(&log, 0).await;
            prop_assert_eq!(&found[..durable.len()], &durable);
            prop_assert_eq!(&found[durable.len()..], &torn[..found.len() - durable.len()]);
            append(&log, 0, "next").await;
            close(log).await;
            let log = open(&kept).unwrap();
            prop_assert_eq!(texts(&log, 0).await.len(), found.len() + 1);
            Ok(())
        })?;
    }
}
