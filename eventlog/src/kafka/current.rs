//! The producer that records go to, until it has let one wait for too long. Then another takes its place.
//!
//! Brokers know a record that comes a second time by its number. A record that librdkafka gives up leaves a gap in
//! these numbers, so librdkafka gives all others new ones. Among them are some that brokers have already, because only
//! the acknowledgement was lost. Brokers take those for new records, and the log holds them twice. Nobody is charged
//! for such a copy, so its refund as a duplicate would let a cap be passed.
//!
//! So librdkafka never gives up one record alone. When the oldest has waited for too long, its producer ends with all
//! that it holds, and the outcome of each is unknown. The next producer has a new id and nothing to repeat.

use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;

use super::deliveries::{Deliveries, Reports};

pub(super) type Producer = BaseProducer<Reports>;

/// The producer of the moment.
pub(super) struct Current {
    config: ClientConfig,
    deliveries: Arc<Deliveries>,
    producer: Mutex<Arc<Producer>>,
}

impl Current {
    pub(super) fn new(config: ClientConfig) -> Result<Self, KafkaError> {
        let deliveries = Arc::new(Deliveries::new());
        let producer = Mutex::new(Self::create(&config, &deliveries)?);
        Ok(Self { config, deliveries, producer })
    }

    fn create(config: &ClientConfig, deliveries: &Arc<Deliveries>) -> Result<Arc<Producer>, KafkaError> {
        config.create_with_context(Reports(Arc::clone(deliveries))).map(Arc::new)
    }

    /// Of all producers, one after the other.
    pub(super) fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    pub(super) fn producer(&self) -> Arc<Producer> {
        Arc::clone(&self.producer.lock())
    }

    /// A new producer in the place of this one, which holds nothing any more.
    pub(super) fn replace(&self) -> Result<Arc<Producer>, KafkaError> {
        let producer = Self::create(&self.config, &self.deliveries)?;
        *self.producer.lock() = Arc::clone(&producer);
        Ok(producer)
    }
}
