//! A reader: a thread that polls librdkafka, and the inbox that it fills.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message, Timestamp};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::cursor::Cursor;
use super::inbox::Inbox;
use super::{KafkaConfig, topic};
use crate::{LogError, LogReader, Record};

/// How long one poll waits: how soon the thread sees that its reader is gone.
const POLL: Duration = Duration::from_millis(100);
/// Which part of the stall timeout a full inbox holds the thread up before it pauses fetching: 2 s of 30. Pausing
/// throws away what librdkafka has fetched ahead, so that it is not for a caller who is merely slower than Kafka.
const PATIENCE_PART: u32 = 15;
/// Which part of the stall timeout lies between two looks at partitions from which nothing comes.
const CHECK_PART: u32 = 3;
/// How long to wait for one partition's bounds when nothing comes from it.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// What the broker says when it does not have an offset.
const LOST: &str = "records were dropped by the topic's retention before they were read, or this is another topic \
                    than the one that the cursor was kept for";

/// Reads some partitions.
pub(super) struct KafkaReader {
    inbox: Arc<Inbox>,
}

impl KafkaReader {
    /// Begins to fetch. Blocks.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] if an offset is not within its partition's bounds.
    pub(super) fn open(config: &KafkaConfig, from: &[(u32, u64)]) -> Result<Self, LogError> {
        let inbox = Arc::new(Inbox::new(config.inbox_bytes_max()));
        if from.is_empty() {
            return Ok(Self { inbox });
        }
        let consumer: BaseConsumer<Fetching> = config
            .consumer()?
            .create_with_context(Fetching)
            .map_err(|error| LogError::Config(format!("Kafka client: {error}")))?;
        let poller = Poller {
            consumer,
            topic: config.topic.clone(),
            stall_timeout: config.stall_timeout,
            cursors: from.iter().map(|(partition, next)| Cursor::new(*partition, *next)).collect(),
            paused: false,
            check_due: Instant::now() + config.stall_timeout / CHECK_PART,
            inbox: Arc::clone(&inbox),
        };
        if let Some(error) = poller.out_of_range(config.reach_timeout)? {
            return Err(error);
        }
        let assignment = poller.assignment()?;
        poller.consumer.assign(&assignment).map_err(super::blocking::unavailable)?;
        std::thread::Builder::new()
            // Fifteen bytes are what the kernel keeps.
            .name(format!("read {}", config.topic))
            .spawn(move || poller.run())
            .map_err(|error| LogError::Unavailable(format!("no thread for a reader: {error}")))?;
        Ok(Self { inbox })
    }
}

impl LogReader for KafkaReader {
    fn read(&mut self, bytes_max: usize, wait: Duration) -> BoxFuture<'_, Result<Vec<Record>, LogError>> {
        Box::pin(async move {
            let arrives = async {
                loop {
                    if let Some(taken) = self.inbox.take(bytes_max) {
                        return taken;
                    }
                    self.inbox.arrival().await;
                }
            };
            tokio::time::timeout(wait, arrives).await.unwrap_or_else(|_| Ok(Vec::new()))
        })
    }
}

impl Drop for KafkaReader {
    /// The thread sees it within [`POLL`], and takes the consumer down with it.
    fn drop(&mut self) {
        self.inbox.abandon();
    }
}

struct Poller {
    consumer: BaseConsumer<Fetching>,
    topic: String,
    stall_timeout: Duration,
    cursors: Vec<Cursor>,
    paused: bool,
    check_due: Instant,
    inbox: Arc<Inbox>,
}

impl Poller {
    fn run(mut self) {
        while !self.inbox.is_abandoned() {
            if let Err(error) = self.step() {
                self.inbox.end(error);
                break;
            }
        }
    }

    fn step(&mut self) -> Result<(), LogError> {
        self.hold_back()?;
        let taken = match self.consumer.poll(POLL) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(read(&mut self.cursors, &message)?)),
            Some(Err(error)) => Err(error),
        };
        match taken {
            Ok(Some(record)) => self.inbox.put(record),
            Ok(None) if !self.paused => self.check_progress()?,
            Ok(None) => {}
            Err(error) => self.judge(&error)?,
        }
        Ok(())
    }

    /// While the inbox is full: waits a little, then pauses fetching but goes on polling.
    fn hold_back(&mut self) -> Result<(), LogError> {
        if self.paused && self.inbox.is_half_empty() {
            self.consumer.resume(&self.assignment()?).map_err(super::blocking::unavailable)?;
            self.paused = false;
            self.postpone_check();
        } else if !self.paused && self.inbox.is_full() {
            if !self.inbox.wait_for_room(self.stall_timeout / PATIENCE_PART) {
                self.consumer.pause(&self.assignment()?).map_err(super::blocking::unavailable)?;
                self.paused = true;
            }
            self.postpone_check();
        }
        Ok(())
    }

    /// Transport errors are librdkafka's to retry, and [`Fetching`] has logged them.
    fn judge(&mut self, error: &KafkaError) -> Result<(), LogError> {
        use RDKafkaErrorCode as Code;
        let Some(code) = error.rdkafka_error_code() else { return Ok(()) };
        if [Code::AutoOffsetReset, Code::OffsetOutOfRange, Code::LogTruncation].contains(&code) {
            let found = self.out_of_range(ASK_TIMEOUT)?;
            return Err(
                found.unwrap_or_else(|| LogError::Unavailable(format!("Kafka lost its place: {code}")))
            );
        }
        if is_damage(error) {
            return Err(self.damaged(code));
        }
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(LogError::Unavailable(format!("the Kafka consumer has failed for good: {code}")));
        }
        Ok(())
    }

    /// The first offset that its partition does not have, if there is one.
    fn out_of_range(&self, timeout: Duration) -> Result<Option<LogError>, LogError> {
        let until = Instant::now() + timeout;
        for cursor in &self.cursors {
            let left = until.saturating_duration_since(Instant::now());
            let bounds = topic::bounds(self.consumer.client(), &self.topic, cursor.partition, left)?;
            if cursor.next < bounds.start || cursor.next > bounds.end {
                let (partition, wanted) = (cursor.partition, cursor.next);
                return Ok(Some(LogError::OutOfRange { partition, wanted, bounds, why: LOST }));
            }
        }
        Ok(None)
    }

    /// Names the partition of a record that can't be read, which librdkafka's error does not: each is asked alone that
    /// has a next record. All records before it have come, so it is its partition's next. What the others are asked is
    /// not lost, and from those that are idle nothing is awaited: nobody waits for long on account of this one.
    fn damaged(&mut self, code: RDKafkaErrorCode) -> LogError {
        let until = Instant::now() + ASK_TIMEOUT;
        for place in 0..self.cursors.len() {
            let Some(cursor) = self.cursors.get(place) else { break };
            let (partition, next) = (cursor.partition, cursor.next);
            let left = until.saturating_duration_since(Instant::now());
            let asked = topic::bounds(self.consumer.client(), &self.topic, partition, left);
            if asked.is_ok_and(|bounds| bounds.end <= next) {
                continue;
            }
            let alone = self.assignment_of(std::slice::from_ref(cursor));
            if alone.is_ok_and(|alone| self.consumer.assign(&alone).is_ok())
                && self.next_is_damaged(partition)
            {
                let why = format!(
                    "the record {next} of partition {partition}, or one after it, is damaged: {code}"
                );
                return LogError::PartitionDamaged { partition, why };
            }
        }
        LogError::Unavailable(format!("a record could not be read, and can be by now: {code}"))
    }

    fn next_is_damaged(&mut self, partition: u32) -> bool {
        let until = Instant::now() + ASK_TIMEOUT;
        while Instant::now() < until {
            match self.consumer.poll(POLL) {
                Some(Err(error)) if is_damage(&error) => return true,
                Some(Ok(message)) if u32::try_from(message.partition()) == Ok(partition) => {
                    // A place that is not the next is found by who reads on.
                    if let Ok(record) = read(&mut self.cursors, &message) {
                        self.inbox.put(record);
                    }
                    return false;
                }
                // Of another partition, from before.
                Some(Ok(_) | Err(_)) | None => {}
            }
        }
        false
    }

    /// Now and then: asks for the ends of partitions from which nothing came since the last time.
    fn check_progress(&mut self) -> Result<(), LogError> {
        let now = Instant::now();
        if now < self.check_due {
            return Ok(());
        }
        self.check_due = now + self.stall_timeout / CHECK_PART;
        for cursor in &mut self.cursors {
            if cursor.moved() {
                continue;
            }
            let asked = topic::bounds(self.consumer.client(), &self.topic, cursor.partition, ASK_TIMEOUT);
            let lags = asked.as_ref().map_or(true, |bounds| bounds.end > cursor.next);
            if cursor.lags(lags, now) >= self.stall_timeout {
                let found = asked
                    .map_or_else(|error| error.to_string(), |bounds| format!("its end is {}", bounds.end));
                return Err(LogError::Unavailable(format!(
                    "partition {} stands still at offset {}: {found}",
                    cursor.partition, cursor.next
                )));
            }
            if asked.is_err() {
                // The others would only wait as long again.
                break;
            }
        }
        Ok(())
    }

    /// Standing still because nobody takes is no stall.
    fn postpone_check(&mut self) {
        let now = Instant::now();
        self.check_due = now + self.stall_timeout / CHECK_PART;
        for cursor in &mut self.cursors {
            cursor.lags(false, now);
        }
    }

    /// Every partition, with the offset that must come next.
    fn assignment(&self) -> Result<TopicPartitionList, LogError> {
        self.assignment_of(&self.cursors)
    }

    fn assignment_of(&self, cursors: &[Cursor]) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::with_capacity(cursors.len());
        for cursor in cursors {
            let (Ok(partition), Ok(next)) = (i32::try_from(cursor.partition), i64::try_from(cursor.next))
            else {
                return Err(LogError::Config(format!("there is no offset {} in Kafka", cursor.next)));
            };
            list.add_partition_offset(&self.topic, partition, Offset::Offset(next))
                .map_err(super::blocking::unavailable)?;
        }
        Ok(list)
    }
}

impl Drop for Poller {
    /// However the thread ends, its reader hears of it.
    fn drop(&mut self) {
        self.inbox.end(LogError::Unavailable("the reader's thread has ended".to_owned()));
    }
}

fn read(cursors: &mut [Cursor], message: &BorrowedMessage<'_>) -> Result<Record, LogError> {
    let found = cursors.iter_mut().find(|cursor| i32::try_from(cursor.partition) == Ok(message.partition()));
    let Some(cursor) = found else {
        return Err(LogError::Damaged(format!(
            "a record of partition {} was not asked for",
            message.partition()
        )));
    };
    let offset = cursor.advance(message.offset())?;
    let timestamp_ms = match message.timestamp() {
        Timestamp::CreateTime(timestamp_ms) => timestamp_ms,
        // Row bytes and billing periods depend on when the request was received, as only its ingest node knows.
        Timestamp::NotAvailable | Timestamp::LogAppendTime(_) => {
            return Err(LogError::Config(
                "the topic must keep the timestamps of records: message.timestamp.type=CreateTime".to_owned(),
            ));
        }
    };
    let payload = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    Ok(Record { partition: cursor.partition, offset, timestamp_ms, payload })
}

/// Whether a record can't be read.
fn is_damage(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let damages = [Code::BadMessage, Code::BadCompression, Code::InvalidMessage];
    error.rdkafka_error_code().is_some_and(|code| damages.contains(&code))
}

/// Logs what the consumer reports.
struct Fetching;

impl ClientContext for Fetching {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "Kafka consumer");
    }
}

impl ConsumerContext for Fetching {}
