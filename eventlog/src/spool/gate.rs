//! Whether appends go to the log, or to the spool at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A log that was good for less than this is not steady: next time it must prove itself for longer.
const STEADY: Duration = Duration::from_secs(30);
/// How long the gate stays closed after the log was not steady for the first time; doubled each further time.
const HOLD_FIRST: Duration = Duration::from_secs(1);
const HOLD_MAX: Duration = Duration::from_secs(60);

/// Closed by an append that the log did not take, opened by the drain when the log has confirmed something since. Each
/// time that a log fails soon after, requests wait for it in vain, so that the gate stays closed for a while then.
#[derive(Debug)]
pub(super) struct Gate {
    /// How often it was opened and closed; open when even.
    turns: AtomicU64,
    history: Mutex<History>,
}

#[derive(Debug, Default)]
struct History {
    opened_at: Option<Instant>,
    closed_at: Option<Instant>,
    /// How long it stays closed from `closed_at`.
    hold: Duration,
}

/// The gate as somebody saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GateTurn(u64);

impl GateTurn {
    pub(super) fn is_open(self) -> bool {
        self.0.is_multiple_of(2)
    }
}

impl Gate {
    pub(super) fn new(open: bool) -> Self {
        Self { turns: AtomicU64::new(u64::from(!open)), history: Mutex::default() }
    }

    pub(super) fn look(&self) -> GateTurn {
        GateTurn(self.turns.load(Ordering::Relaxed))
    }

    pub(super) fn is_closed(&self) -> bool {
        !self.look().is_open()
    }

    /// Closes it, if it is still as it was `seen`: an append that waited says nothing of a log that has confirmed
    /// others since.
    pub(super) fn close(&self, seen: GateTurn, why: &str) {
        self.close_at(seen, why, Instant::now());
    }

    fn close_at(&self, seen: GateTurn, why: &str, now: Instant) {
        let mut history = self.history.lock();
        let closed = seen.is_open()
            && self.turns.compare_exchange(seen.0, seen.0 + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if closed {
            let is_unsteady = history.opened_at.is_some_and(|at| now.duration_since(at) < STEADY);
            let longer = (history.hold * 2).clamp(HOLD_FIRST, HOLD_MAX);
            history.hold = if is_unsteady { longer } else { Duration::ZERO };
            history.closed_at = Some(now);
            tracing::error!(why, hold = ?history.hold, "the log does not take events: spooling them to the local disk");
        }
    }

    /// The log has confirmed something.
    pub(super) fn open(&self) {
        self.open_at(Instant::now());
    }

    fn open_at(&self, now: Instant) {
        let mut history = self.history.lock();
        if history.closed_at.is_some_and(|at| now.duration_since(at) < history.hold) {
            return;
        }
        let opened = self.turns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |turns| {
            (!turns.is_multiple_of(2)).then_some(turns + 1)
        });
        if opened.is_ok() {
            history.opened_at = Some(now);
            tracing::info!("the log takes events again: draining what was spooled");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_saw_it_before_it_was_opened_again_does_not_close_it() {
        let gate = Gate::new(true);
        let early = gate.look();
        gate.close(early, "test");
        assert!(gate.is_closed());
        gate.close(early, "test");
        assert!(gate.is_closed(), "two that failed at once do not open it");
        gate.open();
        gate.close(early, "test");
        assert!(!gate.is_closed());
        gate.close(gate.look(), "test");
        assert!(gate.is_closed());
    }

    #[test]
    fn a_log_that_fails_again_and_again_is_tried_less_and_less_often() {
        let gate = Gate::new(true);
        // It fails after each second, and answers in between whenever it is asked.
        let (start, mut turns) = (Instant::now(), 0);
        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            if gate.is_closed() {
                gate.open_at(now);
            } else {
                gate.close_at(gate.look(), "test", now);
                turns += 1;
            }
        }
        assert!((5..20).contains(&turns), "{turns} times in ten minutes");
        // Once it has been steady, an outage ends as soon as it is over.
        let later = start + Duration::from_secs(1_000);
        gate.open_at(later);
        assert!(!gate.is_closed());
        gate.close_at(gate.look(), "test", later + STEADY);
        gate.open_at(later + STEADY);
        assert!(!gate.is_closed());
    }

    #[test]
    fn opening_what_is_open_changes_nothing() {
        let gate = Gate::new(false);
        gate.open();
        gate.open();
        assert!(!gate.is_closed());
    }
}
