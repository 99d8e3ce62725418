//! From a request's records to librdkafka, and its acknowledgements back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metrics::{Counter, Histogram};
use rdkafka::producer::Producer as _;
use tokio::sync::watch;

use super::KafkaConfig;
use super::ack::{Ack, Settled};
use super::current::{Current, Producer};
use super::deliveries::Deliveries;
use super::pump::Pump;
use crate::metrics::{ACK_SECONDS, APPEND_BYTES};
use crate::{Append, AppendError, LogError};

/// Hands records over and counts their bytes until they are settled.
pub(super) struct Appender {
    current: Arc<Current>,
    pump: Pump,
    partitions: u32,
    queue_bytes_max: u64,
    closed: AtomicBool,
    append_bytes: Counter,
    ack_seconds: Histogram,
}

impl Appender {
    pub(super) fn new(config: &KafkaConfig) -> Result<Self, LogError> {
        let current = Current::new(config.producer()?)
            .map_err(|error| LogError::Config(format!("Kafka client: {error}")))?;
        let current = Arc::new(current);
        let pump = Pump::start(Arc::clone(&current), config)?;
        Ok(Self {
            current,
            pump,
            partitions: 0,
            queue_bytes_max: config.queue_bytes_max,
            closed: AtomicBool::new(false),
            append_bytes: metrics::counter!(APPEND_BYTES),
            ack_seconds: metrics::histogram!(ACK_SECONDS),
        })
    }

    /// Takes records for the partitions below this number from now on; before, for none.
    pub(super) fn serve(&mut self, partitions: u32) {
        self.partitions = partitions;
    }

    pub(super) async fn append(&self, records: Vec<Append>, deadline: Duration) -> Result<(), AppendError> {
        if records.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let bytes = self.admit(&records)?;
        let ack = Ack::new(records.len());
        self.pump.push(records, Arc::clone(&ack));
        match tokio::time::timeout(deadline.saturating_sub(begun.elapsed()), Settled(ack)).await {
            Ok(Ok(())) => {
                self.append_bytes.increment(bytes);
                self.ack_seconds.record(begun.elapsed());
                Ok(())
            }
            Ok(Err(error)) => {
                self.look_for_fatal();
                Err(error)
            }
            Err(_) => Err(AppendError::Unknown("the brokers did not acknowledge in time".to_owned())),
        }
    }

    /// Refuses while nothing has been handed over yet: then nothing of the request can be in the log. Else counts
    /// its bytes as queued.
    fn admit(&self, records: &[Append]) -> Result<u64, AppendError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(AppendError::Refused("the log is closed".to_owned()));
        }
        let mut bytes = 0;
        for record in records {
            if record.partition >= self.partitions || record.payload.len() > schemas::limit::FRAME_BYTES_MAX {
                let (partition, length) = (record.partition, record.payload.len());
                return Err(AppendError::Rejected(format!(
                    "no record of {length} bytes for partition {partition}"
                )));
            }
            bytes += record.payload.len() as u64;
        }
        self.look_for_fatal();
        let deliveries = self.deliveries();
        if let Some(why) = deliveries.fatal.borrow().as_ref() {
            return Err(AppendError::Refused(format!("the producer has failed: {why}")));
        }
        if deliveries.queued_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.queue_bytes_max {
            deliveries.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(AppendError::Refused("too many records are not acknowledged yet".to_owned()));
        }
        // Last, so that a probe that the gate lets through does go out.
        if !deliveries.gate.admits() {
            deliveries.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(AppendError::Refused(format!(
                "the brokers do not acknowledge{}",
                deliveries.because()
            )));
        }
        deliveries.queue_bytes.increment(bytes as f64);
        Ok(bytes)
    }

    /// A fatal error is called back under the code of its cause, like any other: only a question to librdkafka finds
    /// it.
    fn look_for_fatal(&self) {
        let deliveries = self.deliveries();
        if !deliveries.alarmed.load(Ordering::Relaxed) || !deliveries.alarmed.swap(false, Ordering::Acquire) {
            return;
        }
        if let Some((code, reason)) = self.producer().client().fatal_error() {
            deliveries.fatal.send_if_modified(|fatal| {
                let first = fatal.is_none();
                if first {
                    tracing::error!(%code, reason, "the Kafka producer has failed for good");
                    *fatal = Some(format!("{code}: {reason}"));
                }
                first
            });
        }
    }

    pub(super) fn producer(&self) -> Arc<Producer> {
        self.current.producer()
    }

    pub(super) fn deliveries(&self) -> &Deliveries {
        self.current.deliveries()
    }

    pub(super) fn fatal(&self) -> watch::Receiver<Option<String>> {
        self.look_for_fatal();
        self.deliveries().fatal.subscribe()
    }

    /// Takes no more records and waits until those handed over are settled. Blocks.
    pub(super) fn close(&self, deadline: Duration) {
        self.closed.store(true, Ordering::Release);
        if !self.pump.wait_until_empty(deadline) {
            let bytes = self.deliveries().queued_bytes.load(Ordering::Relaxed);
            tracing::error!(bytes, "records were not acknowledged before the log was closed");
        }
    }
}
