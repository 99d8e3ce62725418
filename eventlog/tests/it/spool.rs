//! A spool on a real disk, in front of librdkafka's mock cluster, whose brokers go away on command.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use eventlog::kafka::{KafkaConfig, KafkaLog};
use eventlog::spool::{ChargeCopies, Spool, SpoolConfig, SpooledLog};
use eventlog::{Append, AppendError, EventLog, LogError};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::kafka::cluster::{Mock, mock_topic};
use crate::kafka::{SOON, open, read_partition, record};

const PATIENCE: Duration = Duration::from_millis(700);
/// Longer than any test: a broker that never answers.
const NEVER: Duration = Duration::from_hours(1);

fn config(dir: &Path) -> SpoolConfig {
    SpoolConfig { dir: dir.join("spool"), bytes_max: 64 << 20, patience: PATIENCE, takes: true }
}

/// A spool before the topic.
async fn spool(dir: &Path, kafka: &KafkaConfig) -> Arc<Spool> {
    let log: Arc<dyn EventLog> = Arc::new(open(kafka).await);
    Arc::new(Spool::open(config(dir), Some(log)).unwrap())
}

/// Closes a spool, so that it can be opened again.
async fn close(spool: Arc<Spool>) {
    SpooledLog::new(Arc::clone(&spool)).close(SOON).await;
}

/// What was charged, in that order.
type Charged = Arc<Mutex<Vec<Bytes>>>;

/// A drain on its way.
struct Drain {
    running: JoinHandle<()>,
    charged: Charged,
}

impl Drain {
    fn of(spool: &Arc<Spool>) -> Self {
        let charged = Charged::default();
        let (spool, noted) = (Arc::clone(spool), Arc::clone(&charged));
        let charge: ChargeCopies = Box::new(move |frames| {
            noted.lock().unwrap().extend(frames);
            Box::pin(async { Ok(()) })
        });
        Self { running: tokio::spawn(async move { spool.drain(&charge).await }), charged }
    }

    fn charged(&self) -> Vec<String> {
        self.charged.lock().unwrap().iter().map(text).collect()
    }

    fn is_running(&self) -> bool {
        !self.running.is_finished()
    }

    /// As when the process dies: whatever it was waiting for, nothing more is done.
    async fn kill(self) {
        self.running.abort();
        assert!(self.running.await.unwrap_err().is_cancelled());
    }
}

fn text(payload: &Bytes) -> String {
    String::from_utf8(payload.to_vec()).unwrap()
}

fn one(text: &str) -> Vec<Append> {
    vec![record(0, text)]
}

/// What the topic's first partition has, in order of the alphabet.
async fn sorted(kafka: &KafkaConfig) -> Vec<String> {
    let mut texts = read_partition(&open(kafka).await, 0).await;
    texts.sort();
    texts
}

/// What `drained` in the spool's folder says was handed over.
fn handed(dir: &Path) -> u64 {
    let text = std::fs::read_to_string(dir.join("spool/drained")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("handed ")).unwrap().parse().unwrap()
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A spool that is being drained, before a topic whose brokers have been seen.
struct Place {
    _dir: TempDir,
    mock: Mock,
    kafka: KafkaConfig,
    spool: Arc<Spool>,
    log: SpooledLog,
    drain: Drain,
}

impl Place {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let (mock, kafka) = mock_topic(1);
        let spool = spool(dir.path(), &kafka).await;
        let log = SpooledLog::new(Arc::clone(&spool));
        let drain = Drain::of(&spool);
        while log.append(one("before"), SOON).await.is_err() {}
        Self { _dir: dir, mock, kafka, spool, log, drain }
    }

    /// Takes the brokers away; the first append after that is not confirmed.
    async fn lose_brokers(&self, text: &str) {
        self.mock.broker_down(-1).unwrap();
        let first = self.log.append(one(text), SOON).await;
        assert!(matches!(first, Err(AppendError::Unknown(_))), "{first:?}");
        assert!(self.spool.status().spooling);
    }
}

#[tokio::test]
async fn what_is_accepted_while_brokers_are_away_is_in_the_log_when_they_are_back() {
    let place = Place::start().await;
    let begun = Instant::now();
    place.lose_brokers("unclear").await;
    let Place { mock, kafka, spool, log, drain, .. } = &place;
    assert!((PATIENCE..PATIENCE * 3).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    log.spool().unwrap().append(one("unclear"), SOON).await.unwrap();
    for n in 0..100 {
        let begun = Instant::now();
        log.append(one(&format!("during {n:02}")), SOON).await.unwrap();
        assert!(begun.elapsed() < PATIENCE, "nobody waits for brokers any more: {:?}", begun.elapsed());
    }
    assert_eq!(spool.status().records, 101);
    assert_eq!(spool.status().oldest_ms, Some(1_760_000_000_000));
    mock.broker_up(-1).unwrap();
    assert!(spool.drained_by(SOON).await);
    let status = spool.status();
    assert_eq!((status.spooling, status.bytes, status.records, status.oldest_ms), (false, 0, 0, None));
    log.append(one("zafter"), SOON).await.unwrap();
    let mut texts = sorted(kafka).await;
    texts.dedup();
    let wanted = std::iter::once("before".to_owned())
        .chain((0..100).map(|n| format!("during {n:02}")))
        .chain(["unclear".to_owned(), "zafter".to_owned()]);
    assert!(texts.iter().cloned().eq(wanted), "{texts:?}");
    assert!(drain.is_running());
}

#[tokio::test]
async fn appends_go_to_the_log_again_also_if_there_is_nothing_to_drain() {
    let place = Place::start().await;
    place.lose_brokers("no copy is made of it").await;
    place.mock.broker_up(-1).unwrap();
    eventually("it is seen that they are back", || !place.spool.status().spooling).await;
    assert_eq!(place.spool.status().records, 0);
    assert!(place.drain.is_running());
}

#[tokio::test]
async fn what_a_dead_drain_may_have_handed_over_is_charged_before_it_is_handed_over_again() {
    let dir = TempDir::new().unwrap();
    let (mock, kafka) = mock_topic(1);
    let first = spool(dir.path(), &kafka).await;
    for text in ["a", "b", "c"] {
        first.append(one(text), SOON).await.unwrap();
    }
    mock.broker_round_trip_time(-1, NEVER).unwrap();
    let drain = Drain::of(&first);
    eventually("a record is handed over", || handed(dir.path()) == 1).await;
    assert_eq!(drain.charged(), Vec::<String>::new(), "nothing was handed over before");
    drain.kill().await;
    close(first).await;
    mock.broker_round_trip_time(-1, Duration::ZERO).unwrap();

    let second = spool(dir.path(), &kafka).await;
    assert_eq!(second.status().records, 3);
    let drain = Drain::of(&second);
    assert!(second.drained_by(SOON).await);
    assert_eq!(drain.charged(), ["a"], "of the others it is known that they were not handed over");
    let mut texts = sorted(&kafka).await;
    texts.dedup();
    assert_eq!(texts, ["a", "b", "c"]);
    drain.kill().await;

    let third = spool_again(dir.path(), second, &kafka).await;
    let drain = Drain::of(&third);
    third.append(one("d"), SOON).await.unwrap();
    assert!(third.drained_by(SOON).await);
    assert_eq!(drain.charged(), Vec::<String>::new(), "what is drained is drained");
    drain.kill().await;
}

/// Closes a spool and opens it again.
async fn spool_again(dir: &Path, before: Arc<Spool>, kafka: &KafkaConfig) -> Arc<Spool> {
    close(before).await;
    spool(dir, kafka).await
}

#[tokio::test]
async fn what_brokers_do_not_confirm_to_the_drain_is_charged_each_time_it_is_handed_over_again() {
    let dir = TempDir::new().unwrap();
    let (mock, kafka) = mock_topic(1);
    let spool =
        spool(dir.path(), &KafkaConfig { ack_timeout: Duration::from_secs(2), ..kafka.clone() }).await;
    spool.append(one("a"), SOON).await.unwrap();
    // Brokers that answer, but not this.
    mock.broker_round_trip_time(-1, NEVER).unwrap();
    let drain = Drain::of(&spool);
    eventually("a record is handed over", || handed(dir.path()) == 1).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(drain.charged().len() <= 2, "asking whether brokers answer costs nothing: {:?}", drain.charged());
    mock.broker_round_trip_time(-1, Duration::ZERO).unwrap();
    assert!(spool.drained_by(SOON).await);
    let (copies, charged) = (read_partition(&open(&kafka).await, 0).await.len(), drain.charged().len());
    assert!(charged >= 1 && copies <= charged + 1, "{copies} copies, {charged} of them charged again");
    drain.kill().await;
}

#[tokio::test]
async fn a_record_that_brokers_refuse_for_good_is_kept_aside_and_holds_up_no_other() {
    let dir = TempDir::new().unwrap();
    let (mock, kafka) = mock_topic(1);
    let spool = spool(dir.path(), &kafka).await;
    for text in ["poison", "good"] {
        spool.append(one(text), SOON).await.unwrap();
    }
    mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let drain = Drain::of(&spool);
    assert!(spool.drained_by(SOON).await);
    assert_eq!(sorted(&kafka).await, ["good"]);
    let aside = std::fs::read(dir.path().join("spool/aside/00000000000000000000")).unwrap();
    assert_eq!(&aside[..4], &0_u32.to_le_bytes());
    assert_eq!(&aside[4..12], &1_760_000_000_000_i64.to_le_bytes());
    assert_eq!(&aside[12..], b"poison");
    drain.kill().await;
}

#[tokio::test]
async fn a_spool_takes_bytes_up_to_its_limit_and_not_one_more_and_room_comes_by_draining() {
    let dir = TempDir::new().unwrap();
    let (_mock, kafka) = mock_topic(1);
    let log: Arc<dyn EventLog> = Arc::new(open(&kafka).await);
    // 32 bytes of a record's header, 4 of the partition.
    let spooled = |len: u64| 32 + 4 + len;
    let bytes_max = 10 * spooled(1000) + spooled(500);
    let spool = Arc::new(Spool::open(SpoolConfig { bytes_max, ..config(dir.path()) }, Some(log)).unwrap());
    let put = |len: usize| spool.append(vec![record(0, "x".repeat(len))], SOON);
    for _ in 0..10 {
        put(1000).await.unwrap();
    }
    assert!(matches!(put(501).await, Err(AppendError::Refused(_))));
    put(500).await.unwrap();
    assert_eq!(spool.status().bytes, bytes_max);
    assert!(matches!(put(0).await, Err(AppendError::Refused(_))));
    let drain = Drain::of(&spool);
    eventually("it is empty", || spool.status().bytes == 0).await;
    for _ in 0..100 {
        while put(1000).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    assert!(spool.drained_by(SOON).await);
    let segments = std::fs::read_dir(dir.path().join("spool/p000")).unwrap().count();
    // Of more than a hundred; the newest are looked at when something is drained again.
    assert!(segments <= 30, "drained segments are removed: {segments} files");
    drain.kill().await;
}

#[tokio::test]
async fn a_spool_with_records_for_another_topic_is_refused_and_an_empty_one_is_not() {
    let dir = TempDir::new().unwrap();
    let ((_one, kafka), (_other, other)) = (mock_topic(1), mock_topic(1));
    let first = spool(dir.path(), &kafka).await;
    first.append(one("for the first topic"), SOON).await.unwrap();
    close(first).await;
    let log = |config: &KafkaConfig| {
        let config = config.clone();
        async move { Arc::new(KafkaLog::open(config).await.unwrap()) as Arc<dyn EventLog> }
    };
    let refused = Spool::open(config(dir.path()), Some(log(&other).await)).err();
    assert!(
        matches!(&refused, Some(LogError::Config(why)) if why.contains(&kafka.topic) && why.contains(&other.topic)),
        "{refused:?}"
    );
    let again = spool(dir.path(), &kafka).await;
    let drain = Drain::of(&again);
    assert!(again.drained_by(SOON).await);
    drain.kill().await;
    close(again).await;
    assert_eq!(sorted(&kafka).await, ["for the first topic"]);
    Spool::open(config(dir.path()), Some(log(&other).await)).unwrap();
}

#[tokio::test]
async fn a_spool_takes_records_before_its_log_is_reached_and_gives_them_to_no_other() {
    let dir = TempDir::new().unwrap();
    let ((_one, kafka), (_other, other)) = (mock_topic(2), mock_topic(2));
    let nothing = Spool::open(config(dir.path()), None).err();
    assert!(matches!(nothing, Some(LogError::Unavailable(_))), "{nothing:?}");
    let first = spool(dir.path(), &kafka).await;
    let id = first.id();
    close(first).await;

    let spool = Arc::new(Spool::open(config(dir.path()), None).unwrap());
    let log = SpooledLog::new(Arc::clone(&spool));
    assert_eq!((spool.id(), log.partitions(), log.identity()), (id, 2, open(&kafka).await.identity()));
    let drain = Drain::of(&spool);
    log.append(vec![record(1, "early")], SOON).await.unwrap();
    assert!(matches!(log.append(vec![record(2, "nowhere")], SOON).await, Err(AppendError::Rejected(_))));
    assert!(matches!(log.bounds().await, Err(LogError::Unavailable(_))));
    assert!(matches!(spool.connect(Arc::new(open(&other).await)), Err(LogError::Config(_))));
    spool.connect(Arc::new(open(&kafka).await)).unwrap();
    assert!(spool.drained_by(SOON).await);
    assert_eq!(read_partition(&open(&kafka).await, 1).await, ["early"]);
    assert!(!spool.status().spooling, "the log has confirmed");
    drain.kill().await;
}

#[tokio::test]
async fn where_events_are_to_be_refused_only_what_is_left_is_drained() {
    let dir = TempDir::new().unwrap();
    let (mock, kafka) = mock_topic(1);
    let first = spool(dir.path(), &kafka).await;
    first.append(one("left"), SOON).await.unwrap();
    close(first).await;
    let log: Arc<dyn EventLog> = Arc::new(open(&kafka).await);
    let spool = Arc::new(Spool::open(SpoolConfig { takes: false, ..config(dir.path()) }, Some(log)).unwrap());
    let drain = Drain::of(&spool);
    assert!(spool.drained_by(SOON).await);
    assert_eq!(sorted(&kafka).await, ["left"]);
    let log = SpooledLog::new(Arc::clone(&spool));
    mock.broker_down(-1).unwrap();
    assert!(matches!(log.append(one("unknown"), SOON).await, Err(AppendError::Unknown(_))));
    assert!(matches!(spool.append(one("copy"), SOON).await, Err(AppendError::Refused(_))));
    assert!(matches!(log.append(one("refused"), SOON).await, Err(AppendError::Refused(_))));
    assert_eq!(spool.status().records, 0);
    drain.kill().await;
}
