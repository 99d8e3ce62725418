//! A cluster to test on, and topics of a test's own.

use std::io::Write;
use std::sync::Once;
use std::time::Duration;

use eventlog::kafka::{KafkaConfig, KafkaLog};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

pub(crate) type Mock = MockCluster<'static, DefaultProducerContext>;

const BROKERS: i32 = 3;
static ANNOUNCED: Once = Once::new();

pub(crate) enum Cluster {
    Real(String),
    Mock(Mock),
}

impl Cluster {
    /// The real one, if there is one.
    pub(crate) fn any() -> Self {
        brokers_given().map_or_else(|| Self::Mock(mock()), Self::Real)
    }

    /// The real one, or nothing to test on.
    pub(crate) fn real() -> Option<Self> {
        brokers_given().map(Self::Real)
    }

    pub(crate) fn brokers(&self) -> String {
        match self {
            Self::Real(brokers) => brokers.clone(),
            Self::Mock(mock) => mock.bootstrap_servers(),
        }
    }

    /// A new topic.
    pub(crate) async fn topic(&self, partitions: u32) -> KafkaConfig {
        let config = KafkaConfig { topic: topic_name(), ..KafkaConfig::new(self.brokers()) };
        match self {
            Self::Real(_) => KafkaLog::create_topic(&config, partitions, 1, None).await.unwrap(),
            // The mock can't do it by request.
            Self::Mock(mock) => make(mock, &config.topic, partitions),
        }
        config
    }
}

/// A mock cluster, a topic in it, and settings that do not wait for long.
pub(crate) fn mock_topic(partitions: u32) -> (Mock, KafkaConfig) {
    let mock = mock();
    let config = KafkaConfig {
        topic: topic_name(),
        // On a busy machine it takes the producer a second or two to get its id.
        ack_timeout: Duration::from_secs(4),
        stall_timeout: Duration::from_secs(1),
        ..KafkaConfig::new(mock.bootstrap_servers())
    };
    make(&mock, &config.topic, partitions);
    (mock, config)
}

fn mock() -> Mock {
    MockCluster::new(BROKERS).unwrap()
}

fn make(mock: &Mock, topic: &str, partitions: u32) {
    mock.create_topic(topic, i32::try_from(partitions).unwrap(), BROKERS).unwrap();
}

/// Unlike any other in its first characters: thread names keep ten of them.
pub(crate) fn topic_name() -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    // Its end is random, its beginning the time.
    format!("t{}", &id[id.len() - 9..])
}

#[expect(clippy::disallowed_methods, reason = "a test's own switch is no configuration of a service")]
fn brokers_given() -> Option<String> {
    let given = std::env::var("WEIR_TEST_KAFKA_BROKERS").ok().filter(|brokers| !brokers.is_empty());
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(
        given.is_some() || !in_ci,
        "WEIR_TEST_KAFKA_BROKERS is not set: with CI=true no test is left out"
    );
    ANNOUNCED.call_once(|| {
        let on = given.as_deref().unwrap_or("librdkafka's MOCK cluster: WEIR_TEST_KAFKA_BROKERS IS NOT SET");
        // Not by a macro: those lines are kept back when a test passes.
        let written =
            std::io::stderr().write_all(format!("\n*** KAFKA TESTS RUN ON {on} ***\n\n").as_bytes());
        written.unwrap();
    });
    given
}
