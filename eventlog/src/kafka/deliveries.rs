//! What librdkafka reports about records that it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use metrics::Gauge;
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::watch;

use super::ack::{Ack, Delivered};
use super::gate::Gate;
use crate::metrics::QUEUE_BYTES;

/// What became of records, whichever producer had them.
pub(super) struct Deliveries {
    /// Records that were acknowledged, or never will be.
    settled: AtomicU64,
    /// All that librdkafka has said: reports of records, errors, and lines for the log. They come in one queue.
    heard: AtomicU64,
    pub(super) queued_bytes: AtomicU64,
    pub(super) queue_bytes: Gauge,
    pub(super) gate: Gate,
    last_error: Mutex<Option<String>>,
    /// Something went wrong since the appender last looked.
    pub(super) alarmed: AtomicBool,
    pub(super) fatal: watch::Sender<Option<String>>,
}

/// Those who wait for one record.
#[derive(Default)]
pub(super) struct Waiters {
    pub(super) acks: Vec<Arc<Ack>>,
    /// Of their frames.
    pub(super) bytes: usize,
    /// Dropped with this: the record is settled then.
    pub(super) under_way: Arc<()>,
}

impl Waiters {
    /// How many bytes are no longer queued with it. Counted before a caller gets its result, since callers rely on the
    /// room.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives all of them their result. A broker refuses a record for the content of one frame, and which is unknown:
    /// frames that shared a record may try again.
    pub(super) fn settle(&self, delivered: Delivered) {
        let delivered = match delivered {
            Delivered::Refused(code) if self.acks.len() > 1 => Delivered::Unknown(code),
            other @ (Delivered::Stored | Delivered::Refused(_) | Delivered::Unknown(_)) => other,
        };
        self.acks.iter().for_each(|ack| ack.settle(delivered));
    }
}

impl Deliveries {
    pub(super) fn new() -> Self {
        Self {
            settled: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            queued_bytes: AtomicU64::new(0),
            queue_bytes: metrics::gauge!(QUEUE_BYTES),
            gate: Gate::new(),
            last_error: Mutex::new(None),
            alarmed: AtomicBool::new(false),
            fatal: watch::Sender::new(None),
        }
    }

    /// The last error that librdkafka reported, as the end of a sentence.
    pub(super) fn because(&self) -> String {
        self.last_error.lock().as_ref().map_or_else(String::new, |error| format!(" (last: {error})"))
    }

    /// How many records are settled.
    pub(super) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// How often librdkafka has said anything.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    fn hears(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// librdkafka did not even queue a record.
    pub(super) fn not_taken(&self, error: &KafkaError, waiting: &Waiters) {
        tracing::error!(%error, "librdkafka does not take a record");
        self.alarmed.store(true, Ordering::Release);
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        self.release(waiting.bytes());
        waiting.settle(Delivered::from(code));
    }

    fn release(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
        self.queue_bytes.decrement(bytes as f64);
    }
}

/// What one producer calls back, from the pump's thread.
pub(super) struct Reports(pub(super) Arc<Deliveries>);

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        use RDKafkaLogLevel as Level;
        self.0.hears();
        match level {
            Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
                tracing::error!(target: "librdkafka", facility, "{line}");
            }
            Level::Warning => tracing::warn!(target: "librdkafka", facility, "{line}"),
            Level::Notice | Level::Info => tracing::info!(target: "librdkafka", facility, "{line}"),
            Level::Debug => tracing::debug!(target: "librdkafka", facility, "{line}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.hears();
        let mut last_error = self.0.last_error.lock();
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            // Comes dozens of times a second. librdkafka has just reported why they are down.
            tracing::debug!(%error, reason, "Kafka producer");
        } else if last_error.as_deref() != Some(reason) {
            // rdkafka calls twice for each error.
            tracing::warn!(%error, reason, "Kafka producer");
            *last_error = Some(reason.to_owned());
        }
        self.0.alarmed.store(true, Ordering::Release);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Waiters>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Box<Waiters>) {
        let Self(deliveries) = self;
        deliveries.hears();
        let delivered = match result {
            Ok(message) => {
                deliveries.gate.acknowledged();
                Delivered::acknowledged(message.offset())
            }
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                if code == RDKafkaErrorCode::MessageTimedOut {
                    deliveries.gate.timed_out();
                }
                deliveries.alarmed.store(true, Ordering::Release);
                tracing::debug!(%code, partition = message.partition(), "record not acknowledged");
                Delivered::from(code)
            }
        };
        deliveries.settled.fetch_add(1, Ordering::Relaxed);
        deliveries.release(waiting.bytes());
        waiting.settle(delivered);
    }
}
