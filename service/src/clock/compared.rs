//! A clock held against Postgres's.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What a process knows of Postgres's time.
#[derive(Debug)]
pub(super) struct Compared {
    /// From here the monotonic clock is counted.
    origin: Instant,
    known: Mutex<Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    difference: Option<Difference>,
    reached: i64,
}

/// When Postgres was asked, by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Asked(i64);

/// Postgres's time less the monotonic clock, in microseconds: within these bounds, which lie a round trip apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Difference {
    low: i64,
    high: i64,
}

/// One look at the clock. All in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What the clock says.
    pub wall: i64,
    /// What Postgres's clock says, at the earliest and at the latest; `None` if this process has never heard.
    pub database: Option<(i64, i64)>,
    /// What Postgres's time is known to have reached at least; `i64::MIN` if nothing is known.
    pub reached: i64,
}

impl Default for Compared {
    fn default() -> Self {
        let known = Known { difference: None, reached: i64::MIN };
        Self { origin: Instant::now(), known: Mutex::new(known) }
    }
}

impl Compared {
    pub(super) fn read(&self, wall: impl FnOnce() -> i64) -> Reading {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Between two looks at the monotonic clock, since this thread may be held up in between.
        let before = self.monotonic();
        let wall = wall();
        let after = self.monotonic();
        let database = known.difference.map(|difference| difference.at(before, after));
        Reading { wall, database, reached: known.reached }
    }

    pub(super) fn asks(&self) -> Asked {
        Asked(self.monotonic())
    }

    pub(super) fn hears(&self, asked: Asked, database_micros: i64) {
        let newer = Difference::measured(asked.0, database_micros, self.monotonic());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.difference = Some(known.difference.map_or(newer, |older| older.refined(newer)));
    }

    pub(super) fn has_reached(&self, micros: i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.reached = known.reached.max(micros);
    }

    fn monotonic(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl Difference {
    /// Postgres looked at its clock after it was asked and before it was heard.
    fn measured(asked: i64, said: i64, heard: i64) -> Self {
        Self { low: said.saturating_sub(heard), high: said.saturating_sub(asked) }
    }

    /// Both are true if that is possible, so that one slow answer makes nothing less exact. If not, a clock was set,
    /// this machine was suspended, or another Postgres has taken over: the newer one counts.
    fn refined(self, newer: Self) -> Self {
        let both = Self { low: self.low.max(newer.low), high: self.high.min(newer.high) };
        if both.low <= both.high { both } else { newer }
    }

    fn at(self, before: i64, after: i64) -> (i64, i64) {
        (self.low.saturating_add(before), self.high.saturating_add(after))
    }
}

impl Reading {
    /// Of a clock that is Postgres's.
    pub(super) fn certain(at: i64) -> Self {
        Self { wall: at, database: Some((at, at)), reached: at }
    }

    /// What the clock says, held within what Postgres's can say.
    #[must_use]
    pub fn held(&self) -> i64 {
        self.database.map_or(self.wall, |(low, high)| self.wall.max(low).min(high))
    }

    /// How far the clock is ahead of Postgres's at least, or behind it (negative), in microseconds; 0 if they can say
    /// the same. `None` if they have never been compared.
    #[must_use]
    pub fn skew(&self) -> Option<i64> {
        self.database.map(|_| self.wall.saturating_sub(self.held()))
    }

    /// The earlier of the two clocks: for what is forgotten for its age.
    #[must_use]
    pub fn earliest(&self) -> i64 {
        self.database.map_or(self.wall, |(_, high)| self.wall.min(high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reading at the monotonic time `at`, of a process that heard `said` at 100, having asked at 40.
    fn reading(said: i64, at: i64, wall: i64) -> Reading {
        let (low, high) = Difference::measured(40, said, 100).at(at, at);
        Reading { wall, database: Some((low, high)), reached: i64::MIN }
    }

    #[test]
    fn a_clock_is_right_if_it_can_say_what_postgres_says() {
        // Postgres said 1000 somewhere between 40 and 100: at 200 it says 1100 to 1160.
        for (wall, skew, held, earliest) in [
            (1_100, 0, 1_100, 1_100),
            (1_160, 0, 1_160, 1_160),
            (1_161, 1, 1_160, 1_160),
            (9_160, 8_000, 1_160, 1_160),
            (1_099, -1, 1_100, 1_099),
            (100, -1_000, 1_100, 100),
        ] {
            let reading = reading(1_000, 200, wall);
            assert_eq!(reading.database, Some((1_100, 1_160)));
            assert_eq!(
                (reading.skew(), reading.held(), reading.earliest()),
                (Some(skew), held, earliest),
                "{wall}"
            );
        }
    }

    #[test]
    fn a_slow_answer_makes_nothing_less_exact_and_another_postgres_counts_at_once() {
        let exact = Difference::measured(10, 1_000, 12);
        let slow = Difference::measured(20, 1_030, 900);
        assert_eq!(exact.refined(slow), exact);
        assert_eq!(slow.refined(exact), exact);
        for jump in [-5_000, 5_000] {
            let after_failover = Difference::measured(1_000, 2_000 + jump, 1_010);
            assert_eq!(exact.refined(after_failover), after_failover);
        }
    }

    #[test]
    fn a_suspended_machine_is_ahead_until_it_hears_from_postgres() {
        // Asleep for an hour from 200 on: the monotonic clock stood still, the wall clock did not.
        let hour = 3_600_000_000;
        assert_eq!(reading(1_000, 201, 1_101 + hour).skew(), Some(hour - 60));
        let heard =
            Difference::measured(40, 1_000, 100).refined(Difference::measured(202, 1_102 + hour, 203));
        let (low, high) = heard.at(204, 204);
        assert_eq!(Reading { wall: 1_104 + hour, database: Some((low, high)), reached: 0 }.skew(), Some(0));
    }

    #[test]
    fn what_has_never_been_compared_has_no_skew() {
        let compared = Compared::default();
        compared.has_reached(7);
        compared.has_reached(5);
        assert_eq!(compared.read(|| 3), Reading { wall: 3, database: None, reached: 7 });
    }
}
