//! The one place that decides which log there is.

mod spool;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use eventlog::kafka::{KafkaConfig, KafkaLog};
use eventlog::local::{LocalConfig, LocalLog};
use eventlog::{EventLog, LogError};
use sqlx::PgPool;
use tokio::sync::watch;

use crate::config::{OutageConfig, StoresConfig};

/// A log that is open.
pub(crate) struct OpenLog {
    pub(crate) log: Arc<dyn EventLog>,
    /// Why it takes no more records, once that is so.
    pub(crate) fatal: watch::Receiver<Option<String>>,
    /// Whether no other process can write to it.
    pub(crate) exclusive: bool,
}

const NOT_OPEN: &str = "the log in Kafka can't be opened";
/// Folder of the local log within the data folder.
const LOG_FOLDER: &str = "log";

/// Opens the log for a serving process; one that takes events says what is to be done with them while Kafka is away.
pub(crate) async fn open_log(
    config: &StoresConfig,
    outage: Option<&OutageConfig>,
    pool: &PgPool,
) -> anyhow::Result<OpenLog> {
    if let Some(kafka) = kafka(config) {
        if let Some(spool) = outage.map(|outage| spool::config(config, outage)).transpose()?.flatten() {
            return spool::open(kafka, spool, pool).await;
        }
        return open_kafka(kafka).await.context(NOT_OPEN);
    }
    let local = LocalConfig {
        retention: Duration::from_secs(config.retention_hours * 3600),
        ..LocalConfig::new(config.data_dir.join(LOG_FOLDER), config.partitions_made())
    };
    // The campaign waits for a segment's end.
    #[cfg(feature = "faults")]
    let local = LocalConfig { segment_bytes_max: 1 << 20, ..local };
    let log = tokio::task::spawn_blocking(|| LocalLog::open(local)).await??;
    let fatal = log.watch_fatal();
    Ok(OpenLog { log: Arc::new(log), fatal, exclusive: true })
}

async fn open_kafka(kafka: KafkaConfig) -> Result<OpenLog, LogError> {
    let log = KafkaLog::open(kafka.clone()).await?;
    KafkaLog::check_topic(&kafka).await?;
    let fatal = log.watch_fatal();
    Ok(OpenLog { log: Arc::new(log), fatal, exclusive: false })
}

/// Opens the log while another process may be writing to it.
pub(crate) async fn open_log_to_look(config: &StoresConfig) -> anyhow::Result<Arc<dyn EventLog>> {
    if let Some(kafka) = kafka(config) {
        return Ok(open_kafka(kafka).await.context(NOT_OPEN)?.log);
    }
    let folder = config.data_dir.join(LOG_FOLDER);
    let log = tokio::task::spawn_blocking(|| LocalLog::open_read_only(folder)).await??;
    Ok(Arc::new(log))
}

/// Makes the Kafka topic, if the log is in Kafka.
pub(crate) async fn make_topic(config: &StoresConfig) -> anyhow::Result<()> {
    let Some(kafka) = kafka(config) else { return Ok(()) };
    let retention = Duration::from_secs(config.retention_hours * 3600);
    KafkaLog::create_topic(&kafka, config.partitions_made(), config.kafka_replication, Some(retention))
        .await
        .context("the topic can't be made")?;
    KafkaLog::check_topic(&kafka).await.context("the topic can't be used")
}

fn kafka(config: &StoresConfig) -> Option<KafkaConfig> {
    let brokers = config.kafka_brokers.clone()?;
    let (topic, client) = (config.kafka_topic.clone(), config.kafka_settings.clone());
    Some(KafkaConfig { topic, client, ..KafkaConfig::new(brokers) })
}
