//! When a connection's next batch is due.

use std::time::{Duration, Instant};

/// Runtime timers are this coarse. A batch that starts later than its time by less is timed from when it started:
/// the delay is the generator's own. Beyond it, it is timed from when it was due, so that a stalled server is
/// charged for the requests that its stall held back ("coordinated omission").
const TIMER_SLOP: Duration = Duration::from_millis(2);

/// The schedule of one connection.
#[derive(Debug)]
pub(crate) enum Schedule {
    /// Closed loop: due as soon as the last one is answered.
    Closed,
    /// Open loop: due on a fixed schedule.
    Open {
        /// When the next batch is due.
        due: Instant,
        /// Between two batches.
        interval: Duration,
    },
}

impl Schedule {
    /// The schedule of `connection` of `connections`; in an open loop they start evenly spread.
    pub(crate) fn new(start: Instant, interval: Option<Duration>, connection: u16, connections: u16) -> Self {
        match interval {
            None => Self::Closed,
            Some(interval) => {
                let offset = interval.saturating_mul(u32::from(connection)) / u32::from(connections.max(1));
                Self::Open { due: start + offset, interval }
            }
        }
    }

    /// When the next batch is due, if it has a time.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self {
            Self::Closed => None,
            Self::Open { due, .. } => Some(*due),
        }
    }

    /// Counts one batch as begun `now`; returns the instant from which its latency counts.
    pub(crate) fn begin(&mut self, now: Instant) -> Instant {
        match self {
            Self::Closed => now,
            Self::Open { due, interval } => {
                let intended = *due;
                *due += *interval;
                if now.saturating_duration_since(intended) < TIMER_SLOP { now } else { intended }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    #[test]
    fn connections_start_evenly_spread() {
        let start = Instant::now();
        let offsets = (0..4).map(|c| Schedule::new(start, Some(INTERVAL), c, 4).due().unwrap() - start);
        assert_eq!(offsets.map(|offset| offset.as_millis()).collect::<Vec<_>>(), [0, 25, 50, 75]);
    }

    #[test]
    fn a_batch_that_a_stall_held_back_is_timed_from_when_it_was_due() {
        let start = Instant::now();
        let mut pace = Schedule::new(start, Some(INTERVAL), 0, 1);
        let stalled_until = start + Duration::from_millis(250);
        assert_eq!(pace.begin(stalled_until), start);
        assert_eq!(pace.begin(stalled_until), start + INTERVAL);
        assert_eq!(pace.begin(stalled_until), start + INTERVAL * 2);
        assert_eq!(pace.due(), Some(start + INTERVAL * 3), "caught up");
    }

    #[test]
    fn the_timers_own_delay_is_not_the_servers() {
        let start = Instant::now();
        let woken = start + Duration::from_millis(1);
        assert_eq!(Schedule::new(start, Some(INTERVAL), 0, 1).begin(woken), woken);
    }

    #[test]
    fn a_closed_loop_has_no_schedule() {
        let start = Instant::now();
        let mut pace = Schedule::new(start, None, 0, 1);
        assert_eq!((pace.due(), pace.begin(start + INTERVAL)), (None, start + INTERVAL));
    }
}
