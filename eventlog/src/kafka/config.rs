//! Where the cluster is, and the settings with which librdkafka keeps the log's promises.

use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::LogError;

/// The consumer group's name that librdkafka insists on. Nothing is ever committed to it.
const GROUP: &str = "weir-cursor-is-in-postgres";
/// How long librdkafka waits for a connection's next reply before it drops the connection.
const SOCKET_TIMEOUT_MS: u32 = 10_000;
/// The pump gives a record up so long before librdkafka would. Only in a process that was suspended is librdkafka
/// first.
const GIVEN_UP_BEFORE: Duration = Duration::from_secs(2);

/// How records are compressed between producer and disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are. The default: compression would cost ingest, which has the least CPU to spare, several times
    /// what all else does for a record, and disks and networks between brokers are cheap in comparison.
    #[default]
    None,
    /// zstd, for clusters whose network or disk is dearer than ingest's CPU. Brokers keep what they are sent.
    Zstd,
}

/// Where the log is and how much of it may be in memory.
#[derive(Clone)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// The topic. Nobody else may write to it.
    pub topic: String,
    /// Payload bytes handed over and not yet acknowledged; beyond that, appends are refused.
    pub queue_bytes_max: u64,
    /// Bytes that one reader holds ahead of its caller, half of them inside librdkafka.
    pub read_ahead_bytes_max: usize,
    /// How long brokers may take to acknowledge a record. Keep it below the deadline of the HTTP reply. When it has
    /// passed, the outcome of all records that are not acknowledged yet is unknown.
    pub ack_timeout: Duration,
    /// How long a reader may lag without receiving anything before it ends with [`LogError::Unavailable`].
    pub stall_timeout: Duration,
    /// How long to try to reach the cluster for metadata and bounds.
    pub reach_timeout: Duration,
    /// How long frames wait for others, to go to brokers together; at least 0.1 ms. The first after a pause does not
    /// wait, but hears of its acknowledgement that late.
    pub linger: Duration,
    /// Compression of records.
    pub compression: Compression,
    /// Further librdkafka settings: TLS and SASL. What the log's promises stand on can't be set here.
    pub client: Vec<(String, String)>,
}

impl KafkaConfig {
    /// The defaults, for the brokers given.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            topic: "weir.events".to_owned(),
            queue_bytes_max: 64 * 1024 * 1024,
            read_ahead_bytes_max: 32 * 1024 * 1024,
            ack_timeout: Duration::from_secs(6),
            stall_timeout: Duration::from_secs(30),
            reach_timeout: Duration::from_secs(10),
            linger: Duration::from_millis(1),
            compression: Compression::None,
            client: Vec::new(),
        }
    }

    /// Settings of a client that only asks and administers.
    pub(super) fn admin(&self) -> Result<ClientConfig, LogError> {
        self.client_config(&[])
    }

    /// Settings of the producer.
    pub(super) fn producer(&self) -> Result<ClientConfig, LogError> {
        // The bound is `Queue`'s; librdkafka's lies above it, because it releases a little later.
        let queue_kbytes = (self.queue_bytes_max / 1024).saturating_add(16 * 1024).clamp(1, 2_097_151);
        let compression = match self.compression {
            Compression::None => "none",
            Compression::Zstd => "zstd",
        };
        self.client_config(&[
            ("enable.idempotence", "true".to_owned()),
            ("acks", "all".to_owned()),
            ("message.timeout.ms", (self.ack_timeout + GIVEN_UP_BEFORE).as_millis().to_string()),
            ("queue.buffering.max.kbytes", queue_kbytes.to_string()),
            ("queue.buffering.max.messages", "0".to_owned()),
            // What waits, waits in the pump, for all partitions at once.
            ("linger.ms", "0".to_owned()),
            ("compression.type", compression.to_owned()),
        ])
    }

    /// Settings of a reader's consumer.
    pub(super) fn consumer(&self) -> Result<ClientConfig, LogError> {
        self.client_config(&[
            ("group.id", GROUP.to_owned()),
            ("enable.auto.commit", "false".to_owned()),
            ("enable.auto.offset.store", "false".to_owned()),
            ("auto.offset.reset", "error".to_owned()),
            ("check.crcs", "true".to_owned()),
            (
                "queued.max.messages.kbytes",
                (self.read_ahead_bytes_max / 2 / 1024).clamp(1, 2_097_151).to_string(),
            ),
            ("fetch.max.bytes", "8388608".to_owned()),
            ("fetch.message.max.bytes", "1048576".to_owned()),
            // By default a broker answers for each record that comes in. The reader collects batches anyway.
            ("fetch.min.bytes", "262144".to_owned()),
            ("fetch.wait.max.ms", "100".to_owned()),
            // Whenever the queue above is full, the next request waits for this long: by default a whole second.
            ("fetch.queue.backoff.ms", "20".to_owned()),
            ("fetch.error.backoff.ms", "100".to_owned()),
        ])
    }

    /// Bytes that a reader's inbox may hold: what librdkafka does not.
    pub(super) fn inbox_bytes_max(&self) -> usize {
        (self.read_ahead_bytes_max / 2).max(1)
    }

    fn client_config(&self, own: &[(&str, String)]) -> Result<ClientConfig, LogError> {
        let common = [
            ("bootstrap.servers", self.brokers.clone()),
            ("client.id", "weir".to_owned()),
            // A misspelt topic is an error to report, not a topic to make.
            ("allow.auto.create.topics", "false".to_owned()),
            ("socket.timeout.ms", SOCKET_TIMEOUT_MS.to_string()),
            ("socket.keepalive.enable", "true".to_owned()),
            // By default a client may stay away for ten seconds from a broker that is back.
            ("reconnect.backoff.max.ms", "1000".to_owned()),
        ];
        let mut config = ClientConfig::new();
        for (key, value) in &self.client {
            if RESERVED.contains(&key.as_str()) {
                return Err(LogError::Config(format!(
                    "the Kafka client setting {key} is weir's own to choose"
                )));
            }
            config.set(key, value);
        }
        for (key, value) in common.iter().chain(own) {
            config.set(*key, value);
        }
        Ok(config)
    }
}

/// Settings that the log's promises stand on, by every name that librdkafka has for them.
const RESERVED: &[&str] = &[
    "acks",
    "allow.auto.create.topics",
    "auto.commit.enable",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "linger.ms",
    "log.queue",
    "message.timeout.ms",
    "metadata.broker.list",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "request.required.acks",
    "test.mock.num.brokers",
    "transactional.id",
];

/// Without the values of `client`: passwords are among them.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client: Vec<&str> = self.client.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .field("queue_bytes_max", &self.queue_bytes_max)
            .field("read_ahead_bytes_max", &self.read_ahead_bytes_max)
            .field("ack_timeout", &self.ack_timeout)
            .field("stall_timeout", &self.stall_timeout)
            .field("reach_timeout", &self.reach_timeout)
            .field("linger", &self.linger)
            .field("compression", &self.compression)
            .field("client", &client)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_known_to_librdkafka() {
        let config = KafkaConfig { compression: Compression::Zstd, ..KafkaConfig::new("localhost:1") };
        for settings in [config.admin(), config.producer(), config.consumer()] {
            settings.unwrap().create_native_config().unwrap();
        }
    }

    #[test]
    fn the_promises_are_asked_for() {
        let config = KafkaConfig::new("localhost:1");
        let (producer, consumer) = (config.producer().unwrap(), config.consumer().unwrap());
        let asked = |settings: &ClientConfig, key: &str| settings.get(key).map(ToOwned::to_owned);
        for (settings, key, value) in [
            (&producer, "enable.idempotence", "true"),
            (&producer, "acks", "all"),
            (&producer, "message.timeout.ms", "8000"),
            (&consumer, "auto.offset.reset", "error"),
            (&consumer, "enable.auto.commit", "false"),
            (&consumer, "enable.auto.offset.store", "false"),
            (&consumer, "check.crcs", "true"),
        ] {
            assert_eq!(asked(settings, key).as_deref(), Some(value), "{key}");
        }
    }

    #[test]
    fn promises_cannot_be_configured_away() {
        for key in RESERVED {
            let client = vec![((*key).to_owned(), "1".to_owned())];
            let config = KafkaConfig { client, ..KafkaConfig::new("localhost:1") };
            assert!(matches!(config.producer(), Err(LogError::Config(text)) if text.contains(key)));
        }
        let own = KafkaConfig::new("localhost:1");
        for key in
            own.producer().unwrap().config_map().keys().chain(own.consumer().unwrap().config_map().keys())
        {
            let tunable = ["client.id", "compression.type", "reconnect.", "socket.", "fetch.", "queued."];
            assert!(RESERVED.contains(key) || tunable.iter().any(|name| key.starts_with(name)), "{key}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let client = vec![("sasl.password".to_owned(), "hunter2".to_owned())];
        let shown = format!("{:?}", KafkaConfig { client, ..KafkaConfig::new("localhost:1") });
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"));
    }
}
