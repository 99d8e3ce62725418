//! Which timestamps of records brokers take: the last line against a node whose clock is ahead.

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::KafkaConfig;
use super::blocking::unavailable;
use crate::LogError;

/// The topic's setting for what a timestamp is, and the value that keeps it as it was sent.
pub(super) const TYPE: &str = "message.timestamp.type";
pub(super) const AS_SENT: &str = "CreateTime";
/// How far a record's timestamp may be ahead of the broker's clock, in milliseconds. Brokers know it since 3.6; their
/// default is this since 4.0, and no limit before.
pub(super) const AHEAD: &str = "message.timestamp.after.max.ms";
pub(super) const AHEAD_MAX_MS: i64 = 3_600_000;
/// A broker whose clock is a little slow must not refuse good records.
const AHEAD_MIN_MS: i64 = 60_000;
/// How far it may be behind. A spool may be drained weeks after its events were received.
pub(super) const BEHIND: &str = "message.timestamp.before.max.ms";
const BEHIND_MIN_MS: i64 = 30 * 86_400_000;

/// Looks at the topic's settings.
///
/// # Errors
/// [`LogError::Config`] if one of them does not do, or may not be seen: it says what to do. [`LogError::Unavailable`]
/// if brokers do not answer.
pub(super) async fn check(config: &KafkaConfig) -> Result<(), LogError> {
    let admin: AdminClient<DefaultClientContext> =
        config.admin()?.create().map_err(|error| LogError::Config(error.to_string()))?;
    let options = AdminOptions::new().request_timeout(Some(config.reach_timeout));
    let configs = admin.describe_configs([&ResourceSpecifier::Topic(&config.topic)], &options).await;
    for resource in configs.map_err(unavailable)? {
        let resource = resource.map_err(|code| {
            LogError::Config(format!(
                "the settings of the topic {} can't be read ({code}): allow weir to describe its configs \
                 (DescribeConfigs)",
                config.topic
            ))
        })?;
        judge(config, |name| value(&resource, name))?;
    }
    Ok(())
}

fn value(resource: &ConfigResource, name: &str) -> Option<String> {
    resource.get(name).and_then(|entry| entry.value.clone())
}

/// Whether settings do, by name.
fn judge(config: &KafkaConfig, value_of: impl Fn(&str) -> Option<String>) -> Result<(), LogError> {
    let is_within = |value: &str, from: i64, to: i64| {
        value.parse::<i64>().is_ok_and(|value| (from..=to).contains(&value))
    };
    let wanted = |name: &str, value: &str| match name {
        TYPE => value == AS_SENT,
        AHEAD => is_within(value, AHEAD_MIN_MS, AHEAD_MAX_MS),
        _ => is_within(value, BEHIND_MIN_MS, i64::MAX),
    };
    let (ahead, behind) = (AHEAD_MAX_MS.to_string(), i64::MAX.to_string());
    for (name, right) in [(TYPE, AS_SENT), (AHEAD, &*ahead), (BEHIND, &*behind)] {
        let Some(found) = value_of(name) else {
            return Err(LogError::Config(format!(
                "brokers do not know the topic's setting {name}: weir needs Kafka 3.6 or later"
            )));
        };
        if !wanted(name, &found) {
            let KafkaConfig { topic, brokers, .. } = config;
            return Err(LogError::Config(format!(
                "the topic {topic} has {name}={found}, which does not do: brokers must keep timestamps as \
                 they were sent, and refuse those in the future. Set it: kafka-configs.sh --bootstrap-server \
                 {brokers} --alter --entity-type topics --entity-name {topic} --add-config {name}={right}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(kind: &str, ahead: Option<i64>, behind: i64) -> Result<(), String> {
        let config = KafkaConfig::new("broker:1");
        let value_of = |name: &str| match name {
            TYPE => Some(kind.to_owned()),
            AHEAD => ahead.map(|ahead| ahead.to_string()),
            _ => Some(behind.to_string()),
        };
        judge(&config, value_of).map_err(|error| error.to_string())
    }

    #[test]
    fn the_future_is_refused_within_an_hour_and_the_past_never() {
        assert_eq!(judged("CreateTime", Some(AHEAD_MAX_MS), i64::MAX), Ok(()));
        assert_eq!(judged("CreateTime", Some(AHEAD_MIN_MS), BEHIND_MIN_MS), Ok(()));
        for (kind, ahead, behind, name) in [
            ("LogAppendTime", AHEAD_MAX_MS, i64::MAX, TYPE),
            ("CreateTime", AHEAD_MAX_MS + 1, i64::MAX, AHEAD),
            ("CreateTime", i64::MAX, i64::MAX, AHEAD),
            ("CreateTime", AHEAD_MIN_MS - 1, i64::MAX, AHEAD),
            ("CreateTime", AHEAD_MAX_MS, BEHIND_MIN_MS - 1, BEHIND),
        ] {
            let refused = judged(kind, Some(ahead), behind).unwrap_err();
            assert!(
                refused.contains("kafka-configs.sh") && refused.contains(&format!("--add-config {name}=")),
                "{refused}"
            );
        }
        assert!(judged("CreateTime", None, i64::MAX).unwrap_err().contains("3.6"));
    }
}
