//! How full the spool is.

use std::path::Path;

use parking_lot::Mutex;

use super::record::stored_len;
use crate::local::segment_files;
use crate::{Append, AppendError, LogError};

/// Counts bytes of records that are not drained.
#[derive(Debug)]
pub(super) struct Level {
    bytes_max: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bytes: u64,
    /// Records that are being written: they may be behind the end, and are counted.
    taking: u64,
}

/// Room for records that are being written. They count as being there, should nobody wait for the outcome.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    level: &'a Level,
    bytes: u64,
}

impl Level {
    pub(super) fn new(bytes: u64, bytes_max: u64) -> Self {
        Self { bytes_max, state: Mutex::new(State { bytes, taking: 0 }) }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    /// Sets room aside for all records, or refuses them.
    pub(super) fn take(&self, records: &[Append]) -> Result<Reservation<'_>, AppendError> {
        let bytes = records.iter().map(|record| stored_len(record.payload.len())).sum::<u64>();
        let mut state = self.state.lock();
        if state.bytes.saturating_add(bytes) > self.bytes_max {
            let (held, max) = (state.bytes, self.bytes_max);
            return Err(AppendError::Refused(format!("the spool is full: {held} bytes of {max}")));
        }
        state.bytes += bytes;
        state.taking += 1;
        Ok(Reservation { level: self, bytes })
    }

    /// Records are drained; `empty` says whether none is left.
    pub(super) fn drain(&self, bytes: u64, empty: impl FnOnce() -> bool) {
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
        // What was counted too much at the start is corrected when it can be.
        if state.taking == 0 && empty() {
            state.bytes = 0;
        }
    }
}

impl Reservation<'_> {
    /// The records are not there.
    pub(super) fn give_back(self) {
        let mut state = self.level.state.lock();
        state.bytes = state.bytes.saturating_sub(self.bytes);
    }

    /// They are, or may be.
    pub(super) fn keep(self) {}
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.level.state.lock().taking -= 1;
    }
}

/// Bytes of all segments in the folder.
pub(super) fn bytes_on_disk(dir: &Path) -> Result<u64, LogError> {
    let mut bytes = 0;
    for path in segment_files(dir)? {
        let meta = std::fs::metadata(&path);
        bytes += meta.map_err(|error| LogError::Unavailable(format!("{}: {error}", path.display())))?.len();
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn records(payload_len: usize) -> Vec<Append> {
        vec![Append { partition: 0, timestamp_ms: 0, payload: Bytes::from(vec![0; payload_len]) }]
    }

    #[test]
    fn it_takes_bytes_up_to_its_limit_and_not_one_more() {
        let level = Level::new(0, stored_len(10) + stored_len(20));
        level.take(&records(10)).unwrap().keep();
        assert!(matches!(level.take(&records(21)), Err(AppendError::Refused(_))));
        level.take(&records(20)).unwrap().keep();
        assert!(matches!(level.take(&records(0)), Err(AppendError::Refused(_))));
        level.drain(stored_len(10), || false);
        assert_eq!(level.bytes(), stored_len(20));
    }

    #[test]
    fn room_that_was_not_used_comes_back() {
        let level = Level::new(0, stored_len(10));
        level.take(&records(10)).unwrap().give_back();
        drop(level.take(&records(10)).unwrap());
        assert_eq!(level.bytes(), stored_len(10), "nobody knows what became of it");
        level.drain(0, || true);
        assert_eq!(level.bytes(), 0);
    }
}
