//! The time of day, as a parameter: tests set it. And whether the clock can be believed.
//!
//! A process asks Postgres for its time now and then, and notes how far that is from its own *monotonic* clock, which
//! nobody sets. From then on each look at the wall clock is held against Postgres's time, without asking again: a clock
//! that is set wrong is noticed at the next look.
//!
//! The monotonic clock (Linux's `CLOCK_MONOTONIC`) stands still while the machine is suspended, and the wall clock is
//! ahead afterwards. That looks like a jump, and is to be treated as one: what such a process knew has grown old.

mod compared;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use compared::Compared;
pub use compared::{Asked, Reading};

/// Where the time of day comes from. Cloning it is cheap, and clones agree, also on what Postgres said.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    compared: Arc<Compared>,
}

#[derive(Clone)]
enum Source {
    /// The system's clock, and by how many microseconds it is wrong.
    System(Arc<AtomicI64>),
    /// The time of the whole world.
    World(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::of(Source::System(Arc::default()))
    }

    /// A world whose time stands at `micros` until [`Clock::set`] moves it. Postgres's clock is taken to say the same.
    #[must_use]
    pub fn at(micros: i64) -> Self {
        Self::of(Source::World(Arc::new(AtomicI64::new(micros))))
    }

    fn of(source: Source) -> Self {
        Self { source, compared: Arc::default() }
    }

    /// Moves a clock made by [`Clock::at`], for all its clones; the system's clock stays as it is.
    pub fn set(&self, micros: i64) {
        match &self.source {
            Source::System(_) => {}
            Source::World(at) => at.store(micros, Ordering::Relaxed),
        }
    }

    /// Makes the system's clock wrong by so many microseconds, for all clones of this one, as if somebody had set it.
    /// For tests.
    pub fn mislead(&self, micros: i64) {
        match &self.source {
            Source::System(wrong_by) => wrong_by.store(micros, Ordering::Relaxed),
            Source::World(_) => {}
        }
    }

    /// What the clock says, right or wrong: microseconds since 1970-01-01 00:00 UTC.
    #[must_use]
    pub fn now_micros(&self) -> i64 {
        match &self.source {
            Source::System(wrong_by) => system_micros().saturating_add(wrong_by.load(Ordering::Relaxed)),
            Source::World(at) => at.load(Ordering::Relaxed),
        }
    }

    /// The same, with what is known of Postgres's time at this moment. Asks nobody.
    #[must_use]
    pub fn read(&self) -> Reading {
        match &self.source {
            Source::System(_) => self.compared.read(|| self.now_micros()),
            Source::World(at) => Reading::certain(at.load(Ordering::Relaxed)),
        }
    }

    /// To be called right before Postgres is asked for its time.
    #[must_use]
    pub fn asks(&self) -> Asked {
        self.compared.asks()
    }

    /// Postgres's answer, right after it came: its `clock_timestamp()` in microseconds since 1970.
    pub fn hears(&self, asked: Asked, database_micros: i64) {
        self.compared.hears(asked, database_micros);
    }

    /// Postgres's time is known to have come so far, whatever it is now: microseconds since 1970.
    pub fn has_reached(&self, micros: i64) {
        self.compared.has_reached(micros);
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

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn a_clock_that_jumps_is_noticed_without_asking_again_and_so_is_its_return() {
        let clock = Clock::system();
        assert_eq!(clock.read().skew(), None, "it has not been compared");
        clock.hears(clock.asks(), Clock::system().now_micros());
        let small = |skew: Option<i64>| skew.unwrap().abs() < DAY / 24;
        assert!(small(clock.read().skew()));
        for jump in [40 * DAY, -40 * DAY] {
            clock.mislead(jump);
            let reading = clock.read();
            assert!(small(reading.skew().map(|skew| skew - jump)), "{reading:?}");
            assert!(small(Some(reading.held() - Clock::system().now_micros())), "{reading:?}");
            assert_eq!(clock.clone().read().skew().map(i64::signum), Some(jump.signum()), "clones agree");
        }
        clock.mislead(0);
        assert!(small(clock.read().skew()));
    }

    #[test]
    fn a_world_has_one_time() {
        let clock = Clock::at(5);
        clock.hears(clock.asks(), DAY);
        clock.set(DAY * 50);
        let reading = clock.read();
        assert_eq!((reading.skew(), reading.held(), reading.earliest()), (Some(0), DAY * 50, DAY * 50));
    }
}
