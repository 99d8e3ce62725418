//! The time of day, as a parameter: tests set it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

/// Where the time of day comes from. Cloning it is cheap, and clones agree.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `micros` until [`Clock::set`] moves it.
    #[must_use]
    pub fn at(micros: i64) -> Self {
        Self(Source::Set(Arc::new(AtomicI64::new(micros))))
    }

    /// Moves a clock made by [`Clock::at`], for all its clones; the system's clock stays as it is.
    pub fn set(&self, micros: i64) {
        match &self.0 {
            Source::System => {}
            Source::Set(at) => at.store(micros, Ordering::Relaxed),
        }
    }

    /// Microseconds since 1970-01-01 00:00 UTC.
    #[must_use]
    pub fn now_micros(&self) -> i64 {
        match &self.0 {
            Source::System => system_micros(),
            Source::Set(at) => at.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now_micros())
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn system_micros() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX)
}
