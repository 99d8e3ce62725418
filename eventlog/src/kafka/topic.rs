//! The topic: made once, with a number of partitions that never changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, ClientContext, DefaultClientContext};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::KafkaConfig;
use super::blocking::{blocking, unavailable};
use super::stamps;
use crate::{Bounds, LogError};

/// A new topic is made by the controller, and other brokers hear of it later.
const KNOWN_POLL: Duration = Duration::from_millis(50);

/// Makes the topic, or finds it made.
///
/// # Errors
/// [`LogError::Config`] if the topic exists with another number of partitions, or the cluster refuses to make it;
/// [`LogError::Unavailable`] if the cluster can't be reached.
pub(super) async fn create(
    config: &KafkaConfig,
    partitions: u32,
    replication: u16,
    retention: Option<Duration>,
) -> Result<(), LogError> {
    let admin: AdminClient<DefaultClientContext> =
        config.admin()?.create().map_err(|error| LogError::Config(error.to_string()))?;
    let admin = Arc::new(admin);
    if let Some(found) = count(&admin, config).await? {
        return agree(config, found, partitions);
    }
    request(&admin, config, partitions, replication, retention).await?;
    let until = Instant::now() + config.reach_timeout;
    while Instant::now() < until {
        if let Some(found) = count(&admin, config).await? {
            return agree(config, found, partitions);
        }
        tokio::time::sleep(KNOWN_POLL).await;
    }
    Err(LogError::Unavailable(format!("the topic {} was made, but brokers do not know it yet", config.topic)))
}

async fn request(
    admin: &AdminClient<DefaultClientContext>,
    config: &KafkaConfig,
    partitions: u32,
    replication: u16,
    retention: Option<Duration>,
) -> Result<(), LogError> {
    let partitions = i32::try_from(partitions)
        .map_err(|_| LogError::Config(format!("{partitions} partitions are too many")))?;
    let retention_ms = retention.map_or_else(|| "-1".to_owned(), |kept| kept.as_millis().to_string());
    // A record counts as written when it would outlive the loss of a broker, as far as there are brokers to lose.
    let min_insync = if replication >= 3 { "2" } else { "1" };
    let (ahead, behind) = (stamps::AHEAD_MAX_MS.to_string(), i64::MAX.to_string());
    let topic = NewTopic::new(&config.topic, partitions, TopicReplication::Fixed(i32::from(replication)))
        .set("cleanup.policy", "delete")
        .set("retention.ms", &retention_ms)
        .set("retention.bytes", "-1")
        .set("min.insync.replicas", min_insync)
        .set("unclean.leader.election.enable", "false")
        .set(stamps::TYPE, stamps::AS_SENT)
        .set(stamps::AHEAD, &ahead)
        .set(stamps::BEHIND, &behind)
        .set("compression.type", "producer");
    let options = AdminOptions::new()
        .request_timeout(Some(config.reach_timeout))
        .operation_timeout(Some(config.reach_timeout));
    let results = admin.create_topics([&topic], &options).await.map_err(unavailable)?;
    for result in results {
        match result {
            // Another process made it at the same time; its partitions are looked at next.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(LogError::Config(format!("the topic {name} can't be made: {code}")));
            }
        }
    }
    Ok(())
}

async fn count(
    admin: &Arc<AdminClient<DefaultClientContext>>,
    config: &KafkaConfig,
) -> Result<Option<u32>, LogError> {
    let (admin, config) = (Arc::clone(admin), config.clone());
    blocking(move || partition_count(admin.inner(), &config.topic, config.reach_timeout).map_err(unavailable))
        .await
}

fn agree(config: &KafkaConfig, found: u32, wanted: u32) -> Result<(), LogError> {
    if found == wanted {
        return Ok(());
    }
    Err(LogError::Config(format!(
        "the topic {} has {found} partitions, not {wanted}: the number is frozen when a topic is made, because an \
         event's partition depends on it",
        config.topic
    )))
}

/// The number of partitions of a topic; `None` if there is no such topic. Blocks.
pub(super) fn partition_count<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<u32>, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), timeout)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(None);
    };
    match found.error() {
        None => {}
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Ok(None),
        Some(error) => return Err(KafkaError::MetadataFetch(error.into())),
    }
    let count = u32::try_from(found.partitions().len()).unwrap_or(u32::MAX);
    Ok((count > 0).then_some(count))
}

/// The offsets that a partition holds. Blocks.
pub(super) fn bounds<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: u32,
    timeout: Duration,
) -> Result<Bounds, LogError> {
    let number = i32::try_from(partition)
        .map_err(|_| LogError::Config(format!("there is no partition {partition}")))?;
    let (start, end) = client.fetch_watermarks(topic, number, timeout).map_err(unavailable)?;
    match (u64::try_from(start), u64::try_from(end)) {
        (Ok(start), Ok(end)) => Ok(Bounds { start, end }),
        _ => Err(LogError::Unavailable(format!("partition {partition} has the bounds [{start}, {end})"))),
    }
}
