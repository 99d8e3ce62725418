//! What a reader's polling thread has fetched and its caller has not yet taken: bounded in bytes.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::{LogError, Record};

/// Between one polling thread and one reader.
pub(super) struct Inbox {
    bytes_max: usize,
    state: Mutex<State>,
    /// Notified when there is something to take.
    arrived: Notify,
    /// Notified when there is room again, or nobody who takes.
    taken: Condvar,
}

#[derive(Default)]
struct State {
    records: VecDeque<Record>,
    bytes: usize,
    failed: Option<LogError>,
    /// No record will come any more.
    ended: bool,
    /// Nobody will take any more.
    abandoned: bool,
}

impl Inbox {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: Mutex::default(), arrived: Notify::new(), taken: Condvar::new() }
    }

    /// Adds a record, full or not: looking at [`Inbox::is_full`] before polling is up to the thread.
    pub(super) fn put(&self, record: Record) {
        let mut state = self.state.lock();
        state.bytes += record.payload.len();
        state.records.push_back(record);
        drop(state);
        self.arrived.notify_one();
    }

    /// Nothing comes after this; `why` is the last that the reader gets.
    pub(super) fn end(&self, why: LogError) {
        let mut state = self.state.lock();
        if !state.ended {
            state.ended = true;
            state.failed = Some(why);
        }
        drop(state);
        self.arrived.notify_one();
    }

    pub(super) fn is_full(&self) -> bool {
        self.state.lock().bytes >= self.bytes_max
    }

    /// So empty that fetching may begin again.
    pub(super) fn is_half_empty(&self) -> bool {
        self.state.lock().bytes <= self.bytes_max / 2
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.state.lock().abandoned
    }

    /// Waits until it is not full, or nobody takes any more; false if neither came in time.
    pub(super) fn wait_for_room(&self, timeout: Duration) -> bool {
        let mut state = self.state.lock();
        let full = |state: &mut State| state.bytes >= self.bytes_max && !state.abandoned;
        !self.taken.wait_while_for(&mut state, full, timeout).timed_out()
    }

    /// The reader is gone.
    pub(super) fn abandon(&self) {
        let mut state = self.state.lock();
        state.abandoned = true;
        state.records.clear();
        state.bytes = 0;
        drop(state);
        self.taken.notify_one();
    }

    /// Records of `bytes_max` bytes at most, or one; `None` if there is nothing. An error comes after all records
    /// before it.
    pub(super) fn take(&self, bytes_max: usize) -> Option<Result<Vec<Record>, LogError>> {
        let mut state = self.state.lock();
        let mut records = Vec::new();
        let mut bytes = 0;
        while let Some(next) = state.records.front() {
            let length = next.payload.len();
            if !records.is_empty() && bytes + length > bytes_max {
                break;
            }
            bytes += length;
            records.extend(state.records.pop_front());
        }
        if !records.is_empty() {
            state.bytes -= bytes;
            drop(state);
            self.taken.notify_one();
            return Some(Ok(records));
        }
        state.ended.then(|| {
            Err(state
                .failed
                .take()
                .unwrap_or_else(|| LogError::Unavailable("this reader has failed before".to_owned())))
        })
    }

    /// Returns when something may have arrived since the last call.
    pub(super) async fn arrival(&self) {
        self.arrived.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn record(offset: u64, length: usize) -> Record {
        Record { partition: 0, offset, timestamp_ms: 0, payload: Bytes::from(vec![0; length]) }
    }

    fn offsets(taken: Option<Result<Vec<Record>, LogError>>) -> Vec<u64> {
        taken.unwrap().unwrap().iter().map(|record| record.offset).collect()
    }

    #[test]
    fn takes_as_many_bytes_as_asked_for_but_one_record_at_least() {
        let inbox = Inbox::new(100);
        for offset in 0..5 {
            inbox.put(record(offset, 10));
        }
        assert_eq!(offsets(inbox.take(25)), [0, 1]);
        assert_eq!(offsets(inbox.take(1)), [2]);
        assert_eq!(offsets(inbox.take(20)), [3, 4]);
        assert!(inbox.take(20).is_none());
    }

    #[test]
    fn an_error_comes_after_the_records_before_it() {
        let inbox = Inbox::new(100);
        inbox.put(record(0, 10));
        inbox.end(LogError::Damaged("first".to_owned()));
        inbox.end(LogError::Damaged("second".to_owned()));
        assert_eq!(offsets(inbox.take(1)), [0]);
        assert!(matches!(inbox.take(1), Some(Err(LogError::Damaged(text))) if text == "first"));
        assert!(matches!(inbox.take(1), Some(Err(LogError::Unavailable(_)))));
    }

    #[test]
    fn room_comes_by_taking_and_by_leaving() {
        let inbox = Inbox::new(20);
        inbox.put(record(0, 10));
        assert!(!inbox.is_full());
        inbox.put(record(1, 10));
        assert!(inbox.is_full() && !inbox.is_half_empty());
        assert!(!inbox.wait_for_room(Duration::ZERO));
        assert_eq!(offsets(inbox.take(1)), [0]);
        assert!(inbox.wait_for_room(Duration::ZERO) && inbox.is_half_empty());
        inbox.put(record(2, 10));
        inbox.abandon();
        assert!(inbox.wait_for_room(Duration::ZERO) && inbox.is_abandoned());
    }
}
