//! Whether appends go to the log, or to the spool at once.

use std::sync::atomic::{AtomicU64, Ordering};

/// Closed by an append that the log did not take, opened by the drain when the log has confirmed something since.
#[derive(Debug)]
pub(super) struct Gate {
    /// How often it was opened and closed; open when even.
    turns: AtomicU64,
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
        Self { turns: AtomicU64::new(u64::from(!open)) }
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
        let closed = seen.is_open()
            && self.turns.compare_exchange(seen.0, seen.0 + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if closed {
            tracing::error!(why, "the log does not take events: spooling them to the local disk");
        }
    }

    /// The log has confirmed something.
    pub(super) fn open(&self) {
        let opened = self.turns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |turns| {
            (!turns.is_multiple_of(2)).then_some(turns + 1)
        });
        if opened.is_ok() {
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
    fn opening_what_is_open_changes_nothing() {
        let gate = Gate::new(false);
        gate.open();
        gate.open();
        assert!(!gate.is_closed());
    }
}
