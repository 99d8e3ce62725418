//! The one thread that hands records to librdkafka and hears what became of them.
//!
//! Each hand-over between threads puts one to sleep and wakes another, which costs ten times what is done to a record.
//! So requests do not meet librdkafka's threads one by one: they leave their records here, and once in
//! [`super::KafkaConfig::linger`] all that has come together is handed over, and those who wait get the result of all
//! that brokers have acknowledged in the meantime. Frames for the same partition share a record then
//! (`schemas::frame`): librdkafka and brokers are paid by the record.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rdkafka::producer::{BaseRecord, Producer as _, PurgeConfig};
use schemas::frame::BundleWriter;

use super::KafkaConfig;
use super::ack::Ack;
use super::current::{Current, Producer};
use super::deliveries::Waiters;
use crate::{Append, LogError};

/// A record is full at this many bytes; a frame that is larger has one of its own.
const BUNDLE_BYTES: usize = 256 * 1024;
/// For how long the thread sleeps while there is nothing to do: librdkafka's errors and logs are heard that late.
const IDLE: Duration = Duration::from_millis(100);
/// A shorter pause than this would not be one.
const LINGER_MIN: Duration = Duration::from_micros(100);
/// For how long reports are taken before records are handed over again.
const HEARING_MAX: Duration = Duration::from_millis(50);
/// How long a producer that is given up may take to report so of each record, and how long one report is waited for.
const GIVING_UP: Duration = Duration::from_secs(1);
const REPORT: Duration = Duration::from_millis(10);

/// Where requests leave their records. Dropped, it ends its thread.
pub(super) struct Pump {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// For the thread: there is something to do. For [`Pump::wait_until_empty`]: there is nothing left.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    left_here: Vec<(Vec<Append>, Arc<Ack>)>,
    asleep: bool,
    ended: bool,
    /// The thread has taken what was left here, and has not counted it as outstanding yet.
    in_hand: bool,
    /// Records handed over and not settled.
    outstanding: u64,
}

impl Pump {
    /// Starts the thread.
    pub(super) fn start(current: Arc<Current>, config: &KafkaConfig) -> Result<Self, LogError> {
        let queue = Arc::new(Queue::default());
        let thread = Thread::new(current, config, Arc::clone(&queue));
        let linger = config.linger.max(LINGER_MIN);
        let thread =
            std::thread::Builder::new().name("kafka-pump".to_owned()).spawn(move || thread.run(linger));
        let thread =
            thread.map_err(|error| LogError::Unavailable(format!("no thread for Kafka: {error}")))?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Leaves one request's records; `ack` is settled once for each.
    pub(super) fn push(&self, records: Vec<Append>, ack: Arc<Ack>) {
        let mut state = self.queue.state.lock();
        state.left_here.push((records, ack));
        let wake = mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.queue.changed.notify_all();
        }
    }

    /// Waits until nothing is waiting or outstanding; whether that came within `deadline`. Blocks.
    pub(super) fn wait_until_empty(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let mut state = self.queue.state.lock();
        while !state.is_empty() {
            if self.queue.changed.wait_until(&mut state, until).timed_out() {
                return state.is_empty();
            }
        }
        true
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.queue.state.lock().ended = true;
        self.queue.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the Kafka producer's thread broke");
        }
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.left_here.is_empty() && !self.in_hand && self.outstanding == 0
    }
}

struct Thread {
    current: Arc<Current>,
    producer: Arc<Producer>,
    topic: String,
    ack_timeout: Duration,
    queue: Arc<Queue>,
    /// By partition.
    slots: Vec<Slot>,
    sent: u64,
    /// The records of this producer in the order in which it was handed them, and when. Settled ones are dead.
    under_way: VecDeque<(Instant, Weak<()>)>,
}

/// What comes together for one partition.
#[derive(Default)]
struct Slot {
    bundle: BundleWriter,
    waiting: Waiters,
    timestamp_ms: i64,
}

impl Thread {
    fn new(current: Arc<Current>, config: &KafkaConfig, queue: Arc<Queue>) -> Self {
        Self {
            producer: current.producer(),
            current,
            topic: config.topic.clone(),
            ack_timeout: config.ack_timeout,
            queue,
            slots: Vec::new(),
            sent: 0,
            under_way: VecDeque::new(),
        }
    }

    fn run(mut self, linger: Duration) {
        let mut taken = Vec::new();
        while self.take(&mut taken) {
            for (records, ack) in taken.drain(..) {
                for record in &records {
                    self.add(record, &ack);
                }
            }
            for partition in 0..self.slots.len() {
                self.send(partition);
            }
            if self.sent > self.settled() {
                std::thread::sleep(linger);
            }
            self.hear();
            if self.is_late() {
                self.give_up();
            }
        }
    }

    /// Waits for something to do; `false`: for nothing any more.
    fn take(&self, taken: &mut Vec<(Vec<Append>, Arc<Ack>)>) -> bool {
        let mut state = self.queue.state.lock();
        // Nobody waits for an acknowledgement any more: the appender is gone.
        if state.ended {
            return false;
        }
        state.in_hand = false;
        state.outstanding = self.sent - self.settled();
        if state.is_empty() {
            self.queue.changed.notify_all();
            state.asleep = true;
            self.queue.changed.wait_for(&mut state, IDLE);
            state.asleep = false;
        }
        mem::swap(taken, &mut state.left_here);
        state.in_hand = !taken.is_empty();
        true
    }

    fn add(&mut self, record: &Append, ack: &Arc<Ack>) {
        // The appender has looked: the number is below that of the topic's partitions.
        let partition = usize::try_from(record.partition).unwrap_or(usize::MAX);
        if partition >= self.slots.len() {
            self.slots.resize_with(partition.saturating_add(1), Slot::default);
        }
        if self.slots[partition].bundle.len_with(record.payload.len()) > BUNDLE_BYTES {
            self.send(partition);
        }
        let slot = &mut self.slots[partition];
        if slot.bundle.is_empty() {
            slot.timestamp_ms = record.timestamp_ms;
        }
        slot.bundle.push(&record.payload);
        slot.waiting.acks.push(Arc::clone(ack));
        slot.waiting.bytes += record.payload.len();
    }

    fn send(&mut self, partition: usize) {
        let slot = &mut self.slots[partition];
        if slot.bundle.is_empty() {
            return;
        }
        let waiting = Box::new(mem::take(&mut slot.waiting));
        let under_way = Arc::downgrade(&waiting.under_way);
        let message: BaseRecord<'_, (), [u8], Box<Waiters>> =
            BaseRecord::with_opaque_to(&self.topic, waiting)
                .partition(i32::try_from(partition).unwrap_or(i32::MAX))
                .timestamp(slot.timestamp_ms)
                .payload(slot.bundle.record());
        // librdkafka copies the payload.
        match self.producer.send(message) {
            Ok(()) => {
                self.sent += 1;
                self.under_way.push_back((Instant::now(), under_way));
            }
            Err((error, message)) => self.current.deliveries().not_taken(&error, &message.delivery_opaque),
        }
        slot.bundle.clear();
    }

    fn settled(&self) -> u64 {
        self.current.deliveries().settled()
    }

    /// Takes every report that has come: `poll` takes one thing a call. After an outage tens of thousands of errors and
    /// lines for the log may stand before the first report, so that those are taken with it. That ends after
    /// [`HEARING_MAX`], since records wait to be handed over.
    fn hear(&self) {
        let deliveries = self.current.deliveries();
        let until = Instant::now() + HEARING_MAX;
        loop {
            let before = deliveries.heard();
            self.producer.poll(Duration::ZERO);
            if deliveries.heard() == before || Instant::now() >= until {
                return;
            }
        }
    }

    /// Whether the oldest record that is under way has not been acknowledged in time.
    fn is_late(&mut self) -> bool {
        while self.under_way.pop_front_if(|(_, record)| record.strong_count() == 0).is_some() {}
        self.under_way.front().is_some_and(|(since, _)| since.elapsed() >= self.ack_timeout)
    }

    /// Gives up all that is under way, and its producer with it: [`super::current`] says why.
    fn give_up(&mut self) {
        self.current.deliveries().gate.timed_out();
        self.producer.purge(PurgeConfig::default().queue().inflight());
        let until = Instant::now() + GIVING_UP;
        while self.sent > self.settled() && Instant::now() < until {
            self.producer.poll(REPORT);
        }
        self.under_way.clear();
        match self.current.replace() {
            Ok(next) => end(mem::replace(&mut self.producer, next)),
            Err(error) => tracing::error!(%error, "no new Kafka producer: the old one goes on"),
        }
    }
}

/// Lets go of a producer on a thread of its own: librdkafka waits for its own threads.
fn end(producer: Arc<Producer>) {
    let ended = std::thread::Builder::new().name("kafka-ended".to_owned()).spawn(move || drop(producer));
    if let Err(error) = ended {
        tracing::warn!(%error, "no thread to end a Kafka producer: it was ended by the pump");
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// A producer that reaches no broker, and the thread's own part without the thread.
    fn thread() -> Thread {
        let config =
            KafkaConfig { ack_timeout: Duration::from_millis(10), ..KafkaConfig::new("127.0.0.1:1") };
        let current = Current::new(config.producer().unwrap()).unwrap();
        Thread::new(Arc::new(current), &config, Arc::default())
    }

    #[test]
    fn what_the_thread_has_in_hand_is_not_done_with() {
        let mut thread = thread();
        let record = Append { partition: 0, timestamp_ms: 0, payload: Bytes::from_static(b"frame") };
        let ack = Ack::new(1);
        thread.queue.state.lock().left_here.push((vec![record], Arc::clone(&ack)));
        assert!(!thread.queue.state.lock().is_empty(), "left here");
        let mut taken = Vec::new();
        assert!(thread.take(&mut taken));
        assert_eq!(taken.len(), 1);
        assert!(!thread.queue.state.lock().is_empty(), "in hand");
        for (records, ack) in taken.drain(..) {
            records.iter().for_each(|record| thread.add(record, &ack));
        }
        thread.send(0);
        assert!(thread.take(&mut taken));
        assert!(!thread.queue.state.lock().is_empty(), "outstanding");
    }

    #[test]
    fn a_report_that_stands_behind_errors_and_log_lines_is_heard_at_once() {
        let mut thread = thread();
        let ack = Ack::new(1);
        thread.add(&Append { partition: 0, timestamp_ms: 0, payload: Bytes::from_static(b"frame") }, &ack);
        thread.send(0);
        // No broker is there, which librdkafka says more than once.
        std::thread::sleep(Duration::from_millis(500));
        thread.producer.purge(PurgeConfig::default().queue().inflight());
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(thread.settled(), 0, "nobody has listened");
        thread.hear();
        assert_eq!(thread.settled(), 1);
        assert!(thread.current.deliveries().heard() > 2, "there was something before it");
    }

    #[test]
    fn a_record_that_is_late_takes_all_others_and_its_producer_with_it() {
        let mut thread = thread();
        let ack = Ack::new(2);
        for partition in [0, 1] {
            thread.add(&Append { partition, timestamp_ms: 0, payload: Bytes::from_static(b"frame") }, &ack);
        }
        thread.send(0);
        assert!(!thread.is_late(), "just handed over");
        std::thread::sleep(thread.ack_timeout);
        thread.send(1);
        assert!(thread.is_late());
        let first = Arc::clone(&thread.producer);
        thread.give_up();
        assert_eq!((thread.sent, thread.settled()), (2, 2), "the one that was in time, too");
        assert!(!Arc::ptr_eq(&first, &thread.producer) && !thread.is_late());
        assert!(Arc::ptr_eq(&thread.producer, &thread.current.producer()));
    }
}
