//! How long after a failure a job is tried again.

use std::time::Duration;

/// After the first failure.
const FIRST_MS: u64 = 2_000;
/// At most: an hour.
const MOST_MS: u64 = 3_600_000;

/// Twice as long after each failure, up to an hour; of that, a random share between a half and all, so that jobs which
/// failed together are not tried again together.
pub(crate) fn after(attempt: i32, random: u32) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(16);
    let half = FIRST_MS.saturating_mul(1 << doublings).min(MOST_MS) / 2;
    Duration::from_millis(half + half * u64::from(random) / u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_differ() {
        let millis = |attempt, random| after(attempt, random).as_millis();
        assert_eq!((millis(1, 0), millis(1, u32::MAX)), (1_000, 2_000));
        assert_eq!((millis(5, 0), millis(5, u32::MAX)), (16_000, 32_000));
        for attempt in [12, 20, 100, i32::MAX] {
            assert_eq!((millis(attempt, 0), millis(attempt, u32::MAX)), (1_800_000, 3_600_000), "{attempt}");
        }
        for attempt in [0, -1, i32::MIN] {
            assert_eq!(after(attempt, 7), after(1, 7));
        }
    }
}
