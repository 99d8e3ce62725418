//! What comes again and again.

use std::time::Duration;

/// A job that comes again and again, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Its name, and the kind of its jobs, whose payload is `{}`.
    pub name: &'static str,
    /// From one to the next, in whole seconds.
    pub every: Duration,
    /// How long after the beginning of such a span, counted from 1970, in whole seconds: for a day, the time of day.
    pub at: Duration,
}

impl Schedule {
    /// Every hour, so many minutes after it begins.
    #[must_use]
    pub const fn hourly(name: &'static str, minute: u64) -> Self {
        Self { name, every: Duration::from_secs(3_600), at: Duration::from_secs(minute * 60) }
    }

    /// Every day at that time.
    #[must_use]
    pub const fn daily(name: &'static str, hour: u64, minute: u64) -> Self {
        let at = Duration::from_secs(hour * 3_600 + minute * 60);
        Self { name, every: Duration::from_secs(86_400), at }
    }
}
