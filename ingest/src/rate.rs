//! A tenant's rate: events a second on this node, by the generic cell rate algorithm.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};
use parking_lot::RwLock;

/// The burst: as many events as two seconds have, and a batch at least.
const BURST_SECONDS: u32 = 2;
const BURST_MIN: u32 = 1_000;

/// Holds a tenant to its rate.
#[derive(Debug)]
pub struct Rate(RwLock<Option<Arc<Limiter>>>);

#[derive(Debug)]
struct Limiter {
    rate: u32,
    burst: NonZeroU32,
    cells: DefaultDirectRateLimiter,
}

impl Rate {
    /// `rate` events a second; `None`: no limit.
    #[must_use]
    pub fn new(rate: Option<u32>) -> Self {
        Self(RwLock::new(rate.and_then(Limiter::new)))
    }

    /// Takes over a new rate; a rate that did not change keeps what has been spent of it.
    pub fn revise(&self, rate: Option<u32>) {
        let mut limiter = self.0.write();
        if limiter.as_ref().map(|limiter| limiter.rate) != rate {
            *limiter = rate.and_then(Limiter::new);
        }
    }

    /// Charges `events`. A batch larger than the burst is charged the whole burst: it passes when nothing has been
    /// spent for long enough, rather than never.
    ///
    /// # Errors
    /// How long to wait until as many would pass; nothing is charged then.
    pub fn charge(&self, events: u32) -> Result<(), Duration> {
        let limiter = self.0.read().clone();
        let (Some(limiter), Some(events)) = (limiter, NonZeroU32::new(events)) else { return Ok(()) };
        match limiter.cells.check_n(events.min(limiter.burst)) {
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(DefaultClock::default().now())),
        }
    }
}

impl Limiter {
    fn new(rate: u32) -> Option<Arc<Self>> {
        let per_second = NonZeroU32::new(rate)?;
        let burst =
            per_second.saturating_mul(NonZeroU32::new(BURST_SECONDS)?).max(NonZeroU32::new(BURST_MIN)?);
        let cells = DefaultDirectRateLimiter::direct(Quota::per_second(per_second).allow_burst(burst));
        Some(Arc::new(Self { rate, burst, cells }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_passes_and_one_more_does_not() {
        let rate = Rate::new(Some(1));
        assert_eq!(rate.charge(BURST_MIN - 1), Ok(()));
        assert_eq!(rate.charge(1), Ok(()));
        let wait = rate.charge(1).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn a_batch_beyond_the_burst_passes_once_and_takes_all_of_it() {
        let rate = Rate::new(Some(1));
        assert_eq!(rate.charge(BURST_MIN * 10), Ok(()));
        assert!(rate.charge(1).is_err());
    }

    #[test]
    fn a_rate_that_did_not_change_keeps_its_debt_and_a_new_one_does_not() {
        let rate = Rate::new(Some(1));
        assert_eq!(rate.charge(BURST_MIN), Ok(()));
        rate.revise(Some(1));
        assert!(rate.charge(1).is_err());
        rate.revise(Some(2));
        assert_eq!(rate.charge(1), Ok(()));
        rate.revise(None);
        assert_eq!(rate.charge(u32::MAX), Ok(()));
    }
}
