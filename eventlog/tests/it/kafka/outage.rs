use std::net::TcpListener;
use std::time::Instant;

use eventlog::{AppendError, LogError};

use super::cluster::mock_topic;
use super::*;

/// For what must be over by a deadline: how late a busy machine may be.
const SLACK: Duration = Duration::from_secs(3);
/// Longer than any test: a broker that never answers.
const NEVER: Duration = Duration::from_hours(1);

async fn assert_unreachable(brokers: String) {
    let reach_timeout = Duration::from_secs(1);
    let begun = Instant::now();
    let opened = KafkaLog::open(KafkaConfig { reach_timeout, ..KafkaConfig::new(brokers) }).await.err();
    assert!(matches!(opened, Some(LogError::Unavailable(_))), "{opened:?}");
    assert!(begun.elapsed() < reach_timeout + SLACK);
}

#[tokio::test]
async fn opening_where_nothing_listens_is_unavailable_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    assert_unreachable(address).await;
}

#[tokio::test]
async fn opening_where_nobody_answers_is_unavailable_in_time() {
    let accepts_and_is_silent = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_unreachable(accepts_and_is_silent.local_addr().unwrap().to_string()).await;
}

#[tokio::test]
async fn a_broker_that_never_answers_leaves_an_append_unknown_by_its_deadline() {
    let (mock, config) = mock_topic(1);
    let log = open(&KafkaConfig { ack_timeout: NEVER, ..config }).await;
    append_all(&log, 0, ["before".to_owned()]).await;
    mock.broker_round_trip_time(-1, NEVER).unwrap();
    let (begun, deadline) = (Instant::now(), Duration::from_millis(300));
    let unknown = log.append(vec![record(0, "lost?")], deadline).await;
    assert!(matches!(unknown, Err(AppendError::Unknown(_))), "{unknown:?}");
    assert!((deadline..deadline + SLACK).contains(&begun.elapsed()));
}

#[tokio::test]
async fn without_brokers_the_first_append_is_unknown_and_the_next_refused_until_they_are_back() {
    let (mock, config) = mock_topic(1);
    let log = open(&config).await;
    append_all(&log, 0, ["before".to_owned()]).await;
    mock.broker_down(-1).unwrap();
    let begun = Instant::now();
    let unknown = log.append(vec![record(0, "during")], SOON).await;
    assert!(matches!(unknown, Err(AppendError::Unknown(_))), "{unknown:?}");
    assert!(begun.elapsed() < config.ack_timeout + SLACK, "librdkafka gave up, not the deadline");
    let refused = log.append(vec![record(0, "refused")], SOON).await;
    assert!(matches!(refused, Err(AppendError::Refused(_))), "{refused:?}");
    mock.broker_up(-1).unwrap();
    let begun = Instant::now();
    while log.append(vec![record(0, "after")], SOON).await.is_err() {
        assert!(begun.elapsed() < SOON, "brokers are back, appends are not");
        tokio::task::yield_now().await;
    }
    let texts = read_partition(&log, 0).await;
    assert_eq!(texts[0], "before");
    assert!(texts.contains(&"after".to_owned()) && !texts.contains(&"refused".to_owned()), "{texts:?}");
}

#[tokio::test]
async fn bytes_that_are_not_acknowledged_are_bounded() {
    let (mock, config) = mock_topic(1);
    let log = open(&KafkaConfig { queue_bytes_max: 10_000, ack_timeout: NEVER, ..config }).await;
    append_all(&log, 0, ["before".to_owned()]).await;
    mock.broker_round_trip_time(-1, NEVER).unwrap();
    let size = |bytes| record(0, "x".repeat(bytes));
    let unknown = log.append(vec![size(5_000), size(4_000)], Duration::from_millis(10)).await;
    assert!(matches!(unknown, Err(AppendError::Unknown(_))), "{unknown:?}");
    // Refused as a whole, though its first record would fit.
    let refused = log.append(vec![size(500), size(501)], SOON).await;
    assert!(matches!(refused, Err(AppendError::Refused(_))), "{refused:?}");
    let fits = log.append(vec![size(500), size(500)], Duration::from_millis(10)).await;
    assert!(matches!(fits, Err(AppendError::Unknown(_))), "{fits:?}");
}

#[tokio::test]
async fn room_in_the_queue_comes_back_with_acknowledgements() {
    let cluster = Cluster::any();
    let log = open(&KafkaConfig { queue_bytes_max: 1_000, ..cluster.topic(1).await }).await;
    append_all(&log, 0, (0..50).map(|_| "x".repeat(600))).await;
    assert_eq!(read_partition(&log, 0).await.len(), 50);
}

#[tokio::test]
async fn a_reader_without_brokers_ends_instead_of_waiting_without_limit() {
    let (mock, config) = mock_topic(1);
    let log = open(&config).await;
    append_all(&log, 0, ["before".to_owned()]).await;
    let mut reader = log.reader(&[(0, 0)]).await.unwrap();
    read_some(reader.as_mut(), 1).await;
    mock.broker_down(-1).unwrap();
    let ended = reader.read(1024, SOON).await.err();
    assert!(matches!(ended, Some(LogError::Unavailable(_))), "{ended:?}");
}
