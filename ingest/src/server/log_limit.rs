//! Refusals in the log: of those that come in masses one a second, with the number of the others.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const LOG_EVERY: Duration = Duration::from_secs(1);

/// When the last one was logged, and how many were not since.
#[derive(Debug, Default)]
pub(super) struct LogLimit(Mutex<(Option<Instant>, u64)>);

impl LogLimit {
    /// How many were left out before this one; `None` if this one is left out, too.
    pub(super) fn turn(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        if state.0.is_some_and(|last| now.saturating_duration_since(last) < LOG_EVERY) {
            state.1 += 1;
            return None;
        }
        state.0 = Some(now);
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_is_logged_and_the_others_are_counted() {
        let (limit, start) = (LogLimit::default(), Instant::now());
        let at = |ms| limit.turn(start + Duration::from_millis(ms));
        assert_eq!(
            [at(0), at(1), at(999), at(1_000), at(1_001), at(5_000)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
