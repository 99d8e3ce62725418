use eventlog::{AppendError, LogError};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::cluster::topic_name;
use super::*;

#[tokio::test]
async fn a_topic_is_made_once_and_keeps_its_partitions() {
    let cluster = Cluster::any();
    let config = cluster.topic(3).await;
    KafkaLog::create_topic(&config, 3, 1, Some(Duration::from_hours(24))).await.unwrap();
    let refused = KafkaLog::create_topic(&config, 4, 1, None).await;
    assert!(
        matches!(&refused, Err(LogError::Config(text)) if text.contains("has 3 partitions, not 4")),
        "{refused:?}"
    );
    assert_eq!(open(&config).await.partitions(), 3);
}

#[tokio::test]
async fn a_missing_topic_is_not_made_by_opening_it() {
    let cluster = Cluster::any();
    let config = KafkaConfig { topic: topic_name(), ..KafkaConfig::new(cluster.brokers()) };
    for _ in 0..2 {
        let missing = KafkaLog::open(config.clone()).await.err();
        assert!(
            matches!(&missing, Some(LogError::Config(text)) if text.contains("weir migrate")),
            "{missing:?}"
        );
    }
}

#[tokio::test]
async fn identity_is_of_the_cluster_and_the_topic() {
    let cluster = Cluster::any();
    let (one, other) = (cluster.topic(1).await, cluster.topic(1).await);
    let (log, again) = (open(&one).await, open(&one).await);
    assert_eq!(log.identity(), again.identity());
    assert!(log.identity().ends_with(&one.topic));
    assert_ne!(log.identity(), open(&other).await.identity());
    let (_mock, elsewhere) = super::cluster::mock_topic(1);
    let elsewhere = open(&elsewhere).await;
    assert_ne!(log.identity().split('/').next(), elsewhere.identity().split('/').next());
}

#[tokio::test]
async fn a_setting_that_is_not_known_or_not_free_is_refused() {
    let cluster = Cluster::any();
    let config = cluster.topic(1).await;
    for (key, value) in [("acks", "1"), ("no.such.setting", "1")] {
        let client = vec![(key.to_owned(), value.to_owned())];
        let refused = KafkaLog::open(KafkaConfig { client, ..config.clone() }).await.err();
        assert!(matches!(&refused, Some(LogError::Config(text)) if text.contains(key)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_topic_that_takes_records_of_the_future_is_refused_with_what_to_do() {
    let Some(cluster) = Cluster::real() else { return };
    let config = KafkaConfig { topic: topic_name(), ..KafkaConfig::new(cluster.brokers()) };
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", cluster.brokers()).create().unwrap();
    let made_by_others = NewTopic::new(&config.topic, 1, TopicReplication::Fixed(1))
        .set("message.timestamp.after.max.ms", "9223372036854775807");
    admin.create_topics([&made_by_others], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let refused = KafkaLog::check_topic(&config).await;
    let advice = "--add-config message.timestamp.after.max.ms=3600000";
    assert!(
        matches!(&refused, Err(LogError::Config(text)) if text.contains(advice) && text.contains(&config.topic)),
        "{refused:?}"
    );
    KafkaLog::check_topic(&cluster.topic(1).await).await.unwrap();
}

#[tokio::test]
async fn a_record_of_the_future_is_rejected_and_what_comes_after_it_is_stored() {
    let Some(cluster) = Cluster::real() else { return };
    let log = open(&cluster.topic(1).await).await;
    let now_ms = service_now_ms();
    let at = |timestamp_ms| Append { timestamp_ms, ..record(0, "event") };
    let rejected = log.append(vec![at(now_ms + 2 * 3_600_000)], SOON).await;
    assert!(matches!(&rejected, Err(AppendError::Rejected(_))), "{rejected:?}");
    assert_eq!(log.bounds().await.unwrap()[0].end, 0, "nothing of it is in the log");
    log.append(vec![at(now_ms)], SOON).await.unwrap();
    log.append(vec![at(now_ms - 40 * 86_400_000)], SOON).await.unwrap();
    assert_eq!(log.bounds().await.unwrap()[0].end, 2);
}

#[expect(clippy::disallowed_methods, reason = "brokers compare with the real clock")]
fn service_now_ms() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since_1970.as_millis()).unwrap()
}
