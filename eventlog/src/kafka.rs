//! Kafka, by librdkafka.
//!
//! # Path of an event
//! `append` counts the request's bytes against the queue's bound, leaves its frames with the pump's thread under one
//! shared acknowledgement, and waits for it. Each millisecond the pump hands over what has come together, the frames
//! for one partition as one record. The producer is idempotent and waits for all in-sync replicas, so that librdkafka's
//! own retries neither double nor reorder records. A producer that has not confirmed a record in time is replaced by
//! another (`current`), because librdkafka would send records again that brokers may have.
//! `append::Appender` → `pump::Pump` → brokers → `reader::Poller`, a thread of its own per reader → `inbox::Inbox` →
//! `read`.
//!
//! # What holds
//! * `Refused` is said before the first frame is left with the pump, `Rejected` when brokers refuse a record for what
//!   it is. All else is `Unknown`: a record that timed out may have been written, and one that librdkafka acknowledges
//!   without an offset may not (`ack`).
//! * Everything is bounded: unacknowledged bytes by [`KafkaConfig::queue_bytes_max`], time by
//!   [`KafkaConfig::ack_timeout`] and the caller's deadline, what a reader holds by
//!   [`KafkaConfig::read_ahead_bytes_max`].
//! * Nothing is committed to Kafka and no consumer group is joined: a reader starts where its caller says. An
//!   offset that follows on no other ends it.
//!
//! # On a crash
//! Of a broker: `Unknown` at worst, and a refusal at once while no broker acknowledges (`gate`). Of the process:
//! records in librdkafka's queue are lost; none of them had been acknowledged to anybody. When the producer can no
//! longer know what was written ([`KafkaLog::fatal`]), the process has to end.
//!
//! # What it may do in Kafka
//! Describe, read and write the one topic, idempotently, and describe its settings; describe the group
//! `weir-cursor-is-in-postgres`, because librdkafka looks for its coordinator; `weir migrate` makes the topic.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use rdkafka::producer::Producer as _;
use tokio::sync::watch;

use crate::{Append, AppendError, Bounds, EventLog, LogError, LogReader};

mod config;
mod blocking;
mod topic;
mod stamps;
mod gate;
mod ack;
mod deliveries;
mod current;
mod pump;
mod append;
mod cursor;
mod inbox;
mod reader;

pub use config::{Compression, KafkaConfig};

use append::Appender;
use blocking::blocking;
use reader::KafkaReader;

/// A topic in a Kafka cluster.
pub struct KafkaLog {
    config: Arc<KafkaConfig>,
    appender: Arc<Appender>,
    partitions: u32,
    identity: String,
}

impl KafkaLog {
    /// Makes the topic; does nothing if it is there already, with as many partitions.
    /// Records are kept for `retention`, or without limit.
    ///
    /// # Errors
    /// [`LogError::Config`] if it is there with another number of partitions, or the cluster refuses to make it;
    /// [`LogError::Unavailable`] if the cluster can't be reached.
    pub async fn create_topic(
        config: &KafkaConfig,
        partitions: u32,
        replication: u16,
        retention: Option<Duration>,
    ) -> Result<(), LogError> {
        topic::create(config, partitions, replication, retention).await
    }

    /// Looks at the topic's settings: brokers must keep timestamps, and refuse those in the future. To be called for
    /// every topic that is opened; librdkafka's own brokers, for tests, can't be asked.
    ///
    /// # Errors
    /// [`LogError::Config`] if they do not do, or may not be seen: it says what to do. [`LogError::Unavailable`] if the
    /// cluster can't be reached within [`KafkaConfig::reach_timeout`].
    pub async fn check_topic(config: &KafkaConfig) -> Result<(), LogError> {
        stamps::check(config).await
    }

    /// Opens the topic for appending and reading.
    ///
    /// # Errors
    /// [`LogError::Config`] if there is no such topic or a setting is wrong; [`LogError::Unavailable`] if the
    /// cluster can't be reached within [`KafkaConfig::reach_timeout`].
    pub async fn open(config: KafkaConfig) -> Result<Self, LogError> {
        blocking(move || Self::open_blocking(config)).await
    }

    fn open_blocking(config: KafkaConfig) -> Result<Self, LogError> {
        let mut appender = Appender::new(&config)?;
        let KafkaConfig { topic, reach_timeout, brokers, .. } = &config;
        let unreachable = |why: String| {
            let because = appender.deliveries().because();
            LogError::Unavailable(format!("Kafka at {brokers}: {why}{because}"))
        };
        let partitions = topic::partition_count(appender.producer().client(), topic, *reach_timeout)
            .map_err(|error| unreachable(error.to_string()))?;
        let Some(partitions) = partitions else {
            return Err(LogError::Config(format!(
                "there is no topic {topic} in Kafka at {brokers}: run `weir migrate`"
            )));
        };
        let cluster = appender.producer().client().fetch_cluster_id(*reach_timeout);
        let cluster = cluster.ok_or_else(|| unreachable("the cluster does not report its id".to_owned()))?;
        let identity = format!("kafka:{cluster}/{topic}");
        appender.serve(partitions);
        Ok(Self { config: Arc::new(config), appender: Arc::new(appender), partitions, identity })
    }

    /// Why the producer can append nothing more, if that is so. The process has to end: only a new producer starts
    /// from a known state.
    #[must_use]
    pub fn fatal(&self) -> Option<String> {
        self.appender.fatal().borrow().clone()
    }

    /// To wait for the error of [`KafkaLog::fatal`]. The append that fails with it finds it, or the next append.
    #[must_use]
    pub fn watch_fatal(&self) -> watch::Receiver<Option<String>> {
        self.appender.fatal()
    }
}

impl EventLog for KafkaLog {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The cluster's id and the topic's name. A topic that was deleted and made again in the same cluster has the
    /// same: rdkafka does not report a topic's id. Its offsets are found out of range, as far as they are.
    fn identity(&self) -> &str {
        &self.identity
    }

    fn append(&self, records: Vec<Append>, deadline: Duration) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(self.appender.append(records, deadline))
    }

    fn reader(&self, from: &[(u32, u64)]) -> BoxFuture<'_, Result<Box<dyn LogReader>, LogError>> {
        let from = from.to_vec();
        Box::pin(async move {
            let mut named = BTreeSet::new();
            if let Some((partition, _)) =
                from.iter().find(|(p, _)| *p >= self.partitions || !named.insert(*p))
            {
                return Err(LogError::Config(format!(
                    "there is no partition {partition}, or it is named twice"
                )));
            }
            let config = Arc::clone(&self.config);
            let reader = blocking(move || KafkaReader::open(&config, &from)).await?;
            Ok(Box::new(reader) as Box<dyn LogReader>)
        })
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Vec<Bounds>, LogError>> {
        let (appender, config, partitions) =
            (Arc::clone(&self.appender), Arc::clone(&self.config), self.partitions);
        Box::pin(blocking(move || {
            let until = Instant::now() + config.reach_timeout;
            (0..partitions)
                .map(|partition| {
                    let left = until.saturating_duration_since(Instant::now());
                    topic::bounds(appender.producer().client(), &config.topic, partition, left)
                })
                .collect()
        }))
    }

    fn bounds_of(&self, partition: u32) -> BoxFuture<'_, Result<Bounds, LogError>> {
        let (appender, config) = (Arc::clone(&self.appender), Arc::clone(&self.config));
        Box::pin(blocking(move || {
            let producer = appender.producer();
            topic::bounds(producer.client(), &config.topic, partition, config.reach_timeout)
        }))
    }

    /// Kafka retains by itself, by the topic's settings.
    fn trim(&self, _partition: u32, _before: u64) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(async { Ok(()) })
    }

    fn close(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        let appender = Arc::clone(&self.appender);
        Box::pin(async move {
            let closing = blocking(move || {
                appender.close(deadline);
                Ok(())
            });
            if let Err(error) = closing.await {
                tracing::error!(%error, "closing the log");
            }
        })
    }
}
