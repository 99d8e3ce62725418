//! Refuses at once while brokers acknowledge nothing.
//!
//! Without it, an outage would hold every request for as long as the acknowledgement may take and then answer
//! "unknown" to all of them; with it, only the first ones, and one probe now and then.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two probes. One is always under way, since it waits for longer than that, and goes out as soon as
/// brokers are back.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// Closed by a record that nobody acknowledged in time, opened by the next that somebody does.
#[derive(Debug)]
pub(super) struct Gate {
    made: Instant,
    closed: AtomicBool,
    /// Milliseconds after `made`.
    probe_due_ms: AtomicU64,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { made: Instant::now(), closed: AtomicBool::new(false), probe_due_ms: AtomicU64::new(0) }
    }

    /// Whether an append may go out now.
    pub(super) fn admits(&self) -> bool {
        !self.closed.load(Ordering::Relaxed) || self.probe(self.made.elapsed())
    }

    fn probe(&self, now: Duration) -> bool {
        let now_ms = millis(now);
        let due_ms = self.probe_due_ms.load(Ordering::Relaxed);
        now_ms >= due_ms
            && self
                .probe_due_ms
                .compare_exchange(
                    due_ms,
                    now_ms + millis(PROBE_INTERVAL),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// A record was acknowledged.
    pub(super) fn acknowledged(&self) {
        if self.closed.load(Ordering::Relaxed) && self.closed.swap(false, Ordering::Relaxed) {
            tracing::info!("Kafka acknowledges records again");
        }
    }

    /// A record was not acknowledged in time.
    pub(super) fn timed_out(&self) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            self.probe_due_ms.store(millis(self.made.elapsed() + PROBE_INTERVAL), Ordering::Relaxed);
            tracing::error!("Kafka does not acknowledge records in time: refusing all but probes");
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_admits_one_probe_per_interval() {
        let gate = Gate::new();
        assert!(gate.admits());
        gate.timed_out();
        assert!(!gate.admits());
        let later = gate.made.elapsed() + PROBE_INTERVAL * 2;
        assert!(gate.probe(later));
        assert!(!gate.probe(later));
        assert!(gate.probe(later + PROBE_INTERVAL));
        gate.acknowledged();
        assert!(gate.admits() && gate.admits());
    }
}
