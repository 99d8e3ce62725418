//! How long after a failure a job is tried again.

use std::time::Duration;

/// After the first failure.
const FIRST: Duration = Duration::from_secs(2);
/// At most: an hour.
const MOST: Duration = Duration::from_secs(3_600);

/// Twice as long after each failure, up to an hour; of that, a random share between a half and all, so that jobs which
/// failed together are not tried again together.
pub(crate) fn after(attempt: i32, share: f64) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(16);
    let most = FIRST.saturating_mul(1 << doublings).min(MOST);
    let wait = most.mul_f64((0.5 + share / 2.0).clamp(0.5, 1.0));
    // Postgres knows microseconds, and refuses what is finer.
    Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_differ() {
        assert_eq!(after(1, 1.0), Duration::from_secs(2));
        assert_eq!(after(1, 0.0), Duration::from_secs(1));
        assert_eq!(after(5, 1.0), Duration::from_secs(32));
        for attempt in [12, 20, 100, i32::MAX] {
            assert_eq!(after(attempt, 1.0), MOST, "{attempt}");
            assert_eq!(after(attempt, 0.0), MOST / 2, "{attempt}");
        }
        assert_eq!(after(0, 1.0), after(1, 1.0));
        assert_eq!(after(i32::MIN, 1.0), after(1, 1.0));
    }
}
