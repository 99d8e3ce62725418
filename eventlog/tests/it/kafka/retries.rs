use std::collections::HashSet;

use eventlog::{AppendError, LogError};
use futures_util::future::join_all;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::cluster::{Mock, mock_topic};
use super::*;

use RDKafkaRespErr as E;

/// What passes by itself: a new leader, a lost connection, replicas that lag.
const PASSING: [RDKafkaRespErr; 6] = [
    E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    E::RD_KAFKA_RESP_ERR__TRANSPORT,
    E::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    E::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
];

fn inject(mock: &Mock, key: RDKafkaApiKey, errors: &[RDKafkaRespErr]) {
    mock.request_errors(key, errors);
}

/// One partition and one record at a time, so that nothing else is under way when one fails. The mock looks at the
/// sequence numbers of transactional producers only: it writes again what a broker would know for a retry.
#[tokio::test]
async fn errors_that_pass_lose_and_double_nothing() {
    let (mock, config) = mock_topic(1);
    let log = open(&KafkaConfig { ack_timeout: SOON, stall_timeout: SOON, ..config.clone() }).await;
    let mut reader = log.reader(&[(0, 0)]).await.unwrap();
    for (round, error) in PASSING.iter().enumerate() {
        inject(&mock, RDKafkaApiKey::Produce, &[*error]);
        inject(&mock, RDKafkaApiKey::Fetch, &[*error]);
        append_all(&log, 0, (0..5).map(|n| format!("{round} {n}"))).await;
        mock.partition_leader(&config.topic, 0, Some(i32::try_from(round % 3).unwrap() + 1)).unwrap();
    }
    let records = read_some(reader.as_mut(), 30).await;
    assert!(records.iter().map(|record| record.offset).eq(0..30), "offsets follow each other");
    let wanted = (0..6).flat_map(|round| (0..5).map(move |n| format!("{round} {n}")));
    assert!(records.iter().map(text).eq(wanted));
}

/// The mock behaves here like a broker that knows nothing of the producer: it refuses one batch and takes the next,
/// whereupon librdkafka acknowledges both.
#[tokio::test]
async fn what_a_broker_refused_is_not_acknowledged_with_what_it_took_next() {
    let (mock, config) = mock_topic(1);
    let log = open(&KafkaConfig { ack_timeout: SOON, ..config }).await;
    append_all(&log, 0, ["first".to_owned()]).await;
    let mut acknowledged = Vec::new();
    let mut unknown = 0;
    for round in 0..40 {
        inject(&mock, RDKafkaApiKey::Produce, &[E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS]);
        let texts: Vec<_> = (0..50).map(|n| format!("{round} {n}")).collect();
        let appends = texts.iter().map(|text| log.append(vec![record(0, text.clone())], SOON));
        for (text, appended) in texts.iter().zip(join_all(appends).await) {
            match appended {
                Ok(()) => acknowledged.push(text.clone()),
                Err(AppendError::Unknown(_)) => unknown += 1,
                Err(AppendError::Refused(why) | AppendError::Rejected(why)) => panic!("{why}"),
            }
        }
    }
    let in_log: HashSet<_> = read_partition(&log, 0).await.into_iter().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|text| !in_log.contains(*text)).collect();
    assert!(lost.is_empty(), "acknowledged, but not in the log: {lost:?}");
    assert!(unknown < acknowledged.len(), "most are acknowledged");
}

#[tokio::test]
async fn a_record_that_brokers_refuse_for_its_size_is_refused() {
    let (mock, config) = mock_topic(1);
    let log = open(&config).await;
    inject(&mock, RDKafkaApiKey::Produce, &[E::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let refused = log.append(vec![record(0, "too large")], SOON).await;
    assert!(matches!(refused, Err(AppendError::Rejected(_))), "{refused:?}");
    append_all(&log, 0, ["next".to_owned()]).await;
    assert_eq!(read_partition(&log, 0).await, ["next"]);
}

#[tokio::test]
async fn frames_that_shared_a_refused_record_are_unknown() {
    let (mock, config) = mock_topic(1);
    let log = open(&config).await;
    inject(&mock, RDKafkaApiKey::Produce, &[E::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let one_of_them_is_too_large = vec![record(0, "first"), record(0, "second")];
    let unknown = log.append(one_of_them_is_too_large, SOON).await;
    assert!(matches!(unknown, Err(AppendError::Unknown(_))), "{unknown:?}");
}

#[tokio::test]
async fn a_producer_that_lost_track_has_failed_for_good() {
    let (mock, config) = mock_topic(1);
    let log = open(&config).await;
    append_all(&log, 0, ["before".to_owned()]).await;
    assert_eq!(log.fatal(), None);
    inject(&mock, RDKafkaApiKey::Produce, &[E::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
    let mut fatal = log.watch_fatal();
    let unknown = log.append(vec![record(0, "lost?")], SOON).await;
    assert!(matches!(unknown, Err(AppendError::Unknown(_))), "{unknown:?}");
    tokio::time::timeout(SOON, fatal.wait_for(Option::is_some)).await.unwrap().unwrap();
    assert!(log.fatal().is_some());
    let refused = log.append(vec![record(0, "after")], SOON).await;
    assert!(matches!(refused, Err(AppendError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_broker_that_denies_an_offset_ends_the_reader() {
    let (mock, config) = mock_topic(1);
    let log = open(&config).await;
    append_all(&log, 0, (0..3).map(|n| n.to_string())).await;
    let mut reader = log.reader(&[(0, 0)]).await.unwrap();
    read_some(reader.as_mut(), 3).await;
    // As often as a broker would say it; a single one may meet a request that librdkafka has given up.
    inject(&mock, RDKafkaApiKey::Fetch, &[E::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE; 10]);
    let ended = reader.read(1024, SOON).await.err();
    assert!(matches!(ended, Some(LogError::Unavailable(_) | LogError::OutOfRange { .. })), "{ended:?}");
    assert!(reader.read(1024, SOON).await.is_err(), "it stays ended");
}
