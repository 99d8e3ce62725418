//! Whether this node's clock may stamp events.
//!
//! An event belongs to the period that holds its time of receipt, so a clock that is wrong bills in a wrong period, and
//! one that is ahead in a period that has not begun. Each heartbeat brings Postgres's time ([`Clock::hears`]), and each
//! request holds the clock against it: a jump is noticed by the first request after it, whenever that comes. What is
//! stamped lies within a heartbeat's round trip of Postgres's time.
//!
//! A node that has not heard from Postgres yet knows only what Postgres's time had reached when the copy of keys and
//! tenants was saved. It stamps events only into periods that had begun by then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono_tz::Tz;
use metering::period::Period;
use schemas::problem::{Code, Problem};
use schemas::time::Micros;
use service::clock::{Asked, Clock};
use tokio::sync::Notify;

use crate::metrics;

/// Holds the node's clock against Postgres's.
#[derive(Debug)]
pub struct Timekeeper {
    clock: Clock,
    /// In microseconds.
    skew_max: u64,
    is_off: AtomicBool,
    doubts: Notify,
}

impl Timekeeper {
    /// Of a clock that has not been compared yet, and may differ from Postgres's by so much.
    #[must_use]
    pub fn new(clock: Clock, skew_max: Duration) -> Self {
        let skew_max = u64::try_from(skew_max.as_micros()).unwrap_or(u64::MAX);
        Self { clock, skew_max, is_off: AtomicBool::new(false), doubts: Notify::new() }
    }

    /// The time, held within what Postgres's clock can say. For all that is no event's time of receipt.
    #[must_use]
    pub fn now(&self) -> Micros {
        Micros(self.clock.read().held())
    }

    /// The time of receipt of an event that is taken now, of a tenant in that time zone.
    ///
    /// # Errors
    /// A 503 if this clock can't be believed.
    pub fn received_at(&self, zone: Tz) -> Result<Micros, Problem> {
        let reading = self.clock.read();
        let (at, skew) = (Micros(reading.held()), reading.skew());
        let Some(skew) = skew else {
            let behind = reading.reached.saturating_sub(at.0);
            let has_begun = Period::month_of(at, zone).start.0 <= reading.reached;
            return if has_begun && !self.is_too_much(behind.max(0)) { Ok(at) } else { Err(not_compared()) };
        };
        if self.judge(skew) { Ok(at) } else { Err(disagree()) }
    }

    /// Right before Postgres is asked for its time.
    #[must_use]
    pub fn asks(&self) -> Asked {
        self.clock.asks()
    }

    /// Right after Postgres has answered with its time.
    pub fn hears(&self, asked: Asked, database: Micros) {
        self.clock.hears(asked, database.0);
        let skew = self.clock.read().skew().unwrap_or_default();
        if self.judge(skew) {
            set_gauge(skew);
        }
    }

    /// Completes when the clock has begun to disagree: Postgres's word may be too old, since this machine was
    /// suspended.
    pub async fn doubted(&self) {
        self.doubts.notified().await;
    }

    /// Whether the clock is good enough; says so when that changes.
    fn judge(&self, skew: i64) -> bool {
        let is_off = self.is_too_much(skew);
        if is_off {
            set_gauge(skew);
        }
        if self.is_off.load(Ordering::Relaxed) != is_off
            && self.is_off.swap(is_off, Ordering::Relaxed) != is_off
        {
            set_gauge(skew);
            let skew_ms = skew / 1000;
            if is_off {
                tracing::error!(
                    skew_ms,
                    "this node's clock and Postgres's disagree: no events are taken until they agree; see to \
                     NTP on both"
                );
                self.doubts.notify_one();
            } else {
                tracing::warn!(skew_ms, "this node's clock and Postgres's agree again: events are taken");
            }
        }
        !is_off
    }

    fn is_too_much(&self, skew: i64) -> bool {
        skew.unsigned_abs() > self.skew_max
    }
}

fn set_gauge(skew: i64) {
    let seconds = Duration::from_micros(skew.unsigned_abs()).as_secs_f64();
    ::metrics::gauge!(metrics::CLOCK_SKEW_SECONDS).set(if skew < 0 {
        seconds.copysign(-1.0)
    } else {
        seconds
    });
}

fn disagree() -> Problem {
    Problem::new(
        Code::Unavailable,
        "this node's clock and its database's disagree, so that it can't decide to which period events \
         belong; nothing was stored: send the same events again",
    )
}

fn not_compared() -> Problem {
    Problem::new(
        Code::Unavailable,
        "this node has not compared its clock with its database's yet, and a period may have ended \
         meanwhile; nothing was stored: send the same events again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * Micros::HOUR;

    fn timekeeper() -> (Clock, Timekeeper) {
        let clock = Clock::system();
        (clock.clone(), Timekeeper::new(clock, Duration::from_secs(5)))
    }

    fn hears_the_truth(timekeeper: &Timekeeper) {
        timekeeper.hears(timekeeper.asks(), Micros(Clock::system().now_micros()));
    }

    #[tokio::test]
    async fn no_event_is_stamped_between_a_jump_and_the_return() {
        let (clock, timekeeper) = timekeeper();
        hears_the_truth(&timekeeper);
        let received = timekeeper.received_at(Tz::UTC).unwrap();
        for jump in [40 * DAY, -40 * DAY, 60 * Micros::SECOND] {
            clock.mislead(jump);
            let refused = timekeeper.received_at(Tz::UTC).unwrap_err();
            assert_eq!(refused.code, Code::Unavailable);
            assert!(refused.detail.contains("clock"), "{}", refused.detail);
            assert!(timekeeper.now().0 - received.0 < Micros::HOUR, "what is no receipt follows Postgres");
            // The keeper asks Postgres at once, and Postgres says what it said before.
            timekeeper.doubted().await;
            hears_the_truth(&timekeeper);
            assert!(timekeeper.received_at(Tz::UTC).is_err());
            clock.mislead(0);
            assert!(timekeeper.received_at(Tz::UTC).unwrap() >= received);
        }
    }

    #[test]
    fn a_skew_of_less_than_the_most_is_taken_out_of_what_is_stamped() {
        let (clock, timekeeper) = timekeeper();
        hears_the_truth(&timekeeper);
        clock.mislead(2 * Micros::SECOND);
        let stamped = timekeeper.received_at(Tz::UTC).unwrap();
        assert!(stamped.0 <= Clock::system().now_micros() + Micros::SECOND);
    }

    #[test]
    fn another_postgres_with_another_clock_is_not_believed_against_ones_own() {
        let (_, timekeeper) = timekeeper();
        hears_the_truth(&timekeeper);
        timekeeper.hears(timekeeper.asks(), Micros(Clock::system().now_micros() + 40 * DAY));
        assert!(timekeeper.received_at(Tz::UTC).is_err());
        hears_the_truth(&timekeeper);
        assert!(timekeeper.received_at(Tz::UTC).is_ok());
    }

    #[test]
    fn without_postgres_only_periods_that_had_begun_are_stamped_into() {
        let (clock, timekeeper) = timekeeper();
        let now = Clock::system().now_micros();
        assert!(timekeeper.received_at(Tz::UTC).is_err(), "nothing is known");
        let began = Period::month_of(Micros(now), Tz::UTC).start.0;
        clock.has_reached(began - 1);
        assert!(timekeeper.received_at(Tz::UTC).is_err(), "this period may not have begun");
        clock.has_reached(began);
        assert!(timekeeper.received_at(Tz::UTC).is_ok());
        clock.mislead(40 * DAY);
        assert!(timekeeper.received_at(Tz::UTC).is_err(), "nor the next one");
        clock.mislead(began - now - 10 * Micros::SECOND);
        assert!(timekeeper.received_at(Tz::UTC).is_err(), "time does not go backwards");
        clock.mislead(0);
        hears_the_truth(&timekeeper);
        assert!(timekeeper.received_at(Tz::UTC).is_ok());
    }
}
