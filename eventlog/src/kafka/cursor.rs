//! Where a reader is in each partition: nothing is passed over, and nothing stands still unnoticed.

use std::time::{Duration, Instant};

use crate::LogError;

/// One partition's next offset.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) partition: u32,
    /// The offset of the record that must come next.
    pub(super) next: u64,
    seen: u64,
    lags_since: Option<Instant>,
}

impl Cursor {
    pub(super) fn new(partition: u32, next: u64) -> Self {
        Self { partition, next, seen: next, lags_since: None }
    }

    /// Takes the record at `offset`.
    ///
    /// # Errors
    /// [`LogError::PartitionDamaged`] if it is not the next one.
    pub(super) fn advance(&mut self, offset: i64) -> Result<u64, LogError> {
        let (partition, wanted) = (self.partition, self.next);
        if u64::try_from(offset) != Ok(wanted) {
            let why = format!(
                "partition {partition} continues at offset {offset}, not at {wanted}: records are missing, or \
                 something that is not weir has compacted the topic or written to it"
            );
            return Err(LogError::PartitionDamaged { partition, why });
        }
        self.next = wanted + 1;
        Ok(wanted)
    }

    /// Whether records came since the last call; if so, it does not lag.
    pub(super) fn moved(&mut self) -> bool {
        let moved = self.seen != self.next;
        self.seen = self.next;
        if moved {
            self.lags_since = None;
        }
        moved
    }

    /// Takes note of whether there is something to read that did not come, and for how long that has been so.
    pub(super) fn lags(&mut self, lags: bool, now: Instant) -> Duration {
        if !lags {
            self.lags_since = None;
            return Duration::ZERO;
        }
        now.duration_since(*self.lags_since.get_or_insert(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_the_next_offset() {
        let mut cursor = Cursor::new(3, 7);
        assert_eq!(cursor.advance(7).unwrap(), 7);
        for offset in [7, 9, -1] {
            assert!(
                matches!(cursor.advance(offset), Err(LogError::PartitionDamaged { partition: 3, .. })),
                "{offset}"
            );
        }
        assert_eq!(cursor.advance(8).unwrap(), 8);
    }

    #[test]
    fn lag_is_counted_from_when_it_was_first_seen_and_forgotten_by_progress() {
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        let mut cursor = Cursor::new(0, 0);
        assert!(!cursor.moved());
        assert_eq!(cursor.lags(true, begun), Duration::ZERO);
        assert_eq!(cursor.lags(true, begun + second), second);
        cursor.advance(0).unwrap();
        assert!(cursor.moved() && !cursor.moved());
        assert_eq!(cursor.lags(true, begun + second * 2), Duration::ZERO);
        assert_eq!(cursor.lags(false, begun + second * 3), Duration::ZERO);
        assert_eq!(cursor.lags(true, begun + second * 4), Duration::ZERO);
    }
}
