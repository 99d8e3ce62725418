//! Refusals in the log: of those that come in masses one a second, with the number of the others.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const TELL_EVERY: Duration = Duration::from_secs(1);

/// When the last one was told, and how many were not since.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<(Option<Instant>, u64)>);

impl Told {
    /// How many were not told before this one; `None` if this one is not to be told either.
    pub(super) fn turn(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        if state.0.is_some_and(|last| now.saturating_duration_since(last) < TELL_EVERY) {
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
    fn one_a_second_is_told_and_the_others_are_counted() {
        let (told, start) = (Told::default(), Instant::now());
        let at = |ms| told.turn(start + Duration::from_millis(ms));
        assert_eq!(
            [at(0), at(1), at(999), at(1_000), at(1_001), at(5_000)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
