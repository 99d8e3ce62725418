use eventlog::LogError;

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
