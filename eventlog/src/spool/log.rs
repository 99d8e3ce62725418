use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Spool;
use crate::{Append, AppendError, Bounds, EventLog, LogError, LogReader};

/// A log with a spool before it. What is spooled is no part of the log yet: bounds and readers are the log's own.
#[derive(Clone)]
pub struct SpooledLog(Arc<Spool>);

impl SpooledLog {
    /// The log that `spool` is for.
    #[must_use]
    pub fn new(spool: Arc<Spool>) -> Self {
        Self(spool)
    }

    fn log(&self) -> Result<&Arc<dyn EventLog>, LogError> {
        self.0.log().ok_or_else(|| LogError::Unavailable("it has not been reached yet".to_owned()))
    }

    async fn append_all(&self, records: Vec<Append>, deadline: Duration) -> Result<(), AppendError> {
        let begun = Instant::now();
        let seen = self.0.gate.look();
        let Some(log) = self.0.log().filter(|_| seen.is_open() || !self.0.takes) else {
            return self.0.append(records, deadline).await;
        };
        if !self.0.takes {
            return log.append(records, deadline).await;
        }
        // Whatever happens, there is time for the spool.
        let patience = self.0.patience.min(deadline / 2);
        let appended = log.append(records.clone(), patience).await;
        match &appended {
            Ok(()) | Err(AppendError::Rejected(_)) => appended,
            Err(AppendError::Refused(why)) => {
                self.0.gate.close(seen, why);
                self.0.append(records, deadline.saturating_sub(begun.elapsed())).await
            }
            Err(AppendError::Unknown(why)) => {
                self.0.gate.close(seen, why);
                appended
            }
        }
    }
}

impl EventLog for SpooledLog {
    fn partitions(&self) -> u32 {
        self.0.binding.partitions
    }

    fn identity(&self) -> &str {
        &self.0.binding.identity
    }

    /// Answers within the deadline. `Unknown` comes after the spool's patience, so that there is time for a copy.
    fn append(&self, records: Vec<Append>, deadline: Duration) -> BoxFuture<'_, Result<(), AppendError>> {
        self.append_all(records, deadline).boxed()
    }

    fn reader(&self, from: &[(u32, u64)]) -> BoxFuture<'_, Result<Box<dyn LogReader>, LogError>> {
        match self.log() {
            Ok(log) => log.reader(from),
            Err(error) => async { Err(error) }.boxed(),
        }
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Vec<Bounds>, LogError>> {
        match self.log() {
            Ok(log) => log.bounds(),
            Err(error) => async { Err(error) }.boxed(),
        }
    }

    fn bounds_of(&self, partition: u32) -> BoxFuture<'_, Result<Bounds, LogError>> {
        match self.log() {
            Ok(log) => log.bounds_of(partition),
            Err(error) => async { Err(error) }.boxed(),
        }
    }

    fn trim(&self, partition: u32, before: u64) -> BoxFuture<'_, Result<(), LogError>> {
        match self.log() {
            Ok(log) => log.trim(partition, before),
            Err(error) => async { Err(error) }.boxed(),
        }
    }

    fn spool(&self) -> Option<&Arc<Spool>> {
        Some(&self.0)
    }

    fn close(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        async move {
            let log = async {
                if let Some(log) = self.0.log() {
                    log.close(deadline).await;
                }
            };
            futures_util::join!(log, self.0.segments.close(deadline));
        }
        .boxed()
    }
}
