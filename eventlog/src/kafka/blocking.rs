//! librdkafka's questions to the cluster block: they are asked from threads that may.

use rdkafka::error::KafkaError;

use crate::LogError;

/// Runs `ask` where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    match tokio::task::spawn_blocking(ask).await {
        Ok(answer) => answer,
        Err(error) => Err(LogError::Unavailable(format!("the question to Kafka was not finished: {error}"))),
    }
}

/// The cluster did not answer, or not with what was asked for.
pub(super) fn unavailable(error: KafkaError) -> LogError {
    LogError::Unavailable(error.to_string())
}
