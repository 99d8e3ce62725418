//! A tenant's rate on this node, by the generic cell rate algorithm.
//!
//! A limiter's quota can't be changed. So a new one is made when rate or share change, and takes over the debt of
//! the old one, in events: nobody gets a fresh burst, and of two nodes one loses what the other gains.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::MonotonicClock;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use parking_lot::RwLock;

use super::share::Share;

/// The burst: as many events as two seconds have, and a batch at least. Nodes share it as they share the rate.
const BURST_SECONDS: u32 = 2;
const BURST_MIN: u32 = 1_000;
/// However large a batch was that the burst did not cover, it costs no longer a wait than an hour.
const DEBT_NANOS_MAX: u64 = 3600 * 1_000_000_000;
/// A hundred years, in nanoseconds: sums of a few of them fit.
const FAR: u64 = 100 * 365 * 86_400 * 1_000_000_000;

/// Holds a tenant to its rate on this node.
#[derive(Debug)]
pub struct Rate {
    limiter: RwLock<Option<Limiter>>,
    /// Events asked for since the last exchange.
    asked: AtomicU32,
    /// In millionths; 0: the share of all tenants that no node is asked for.
    own_share: AtomicU32,
}

#[derive(Debug)]
struct Limiter {
    rate: NonZeroU32,
    share: Share,
    burst: NonZeroU32,
    /// Nanoseconds that pass for each event.
    pace: u64,
    debt: Debt,
    begun: Instant,
    cells: RateLimiter<NotKeyed, Debt, MonotonicClock>,
}

/// Until when the events let in so far are paid for, in nanoseconds since the limiter was made.
#[derive(Debug, Clone, Default)]
struct Debt(Arc<AtomicU64>);

/// What a tenant could send at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// The tenant's whole rate, events a second.
    pub rate: u32,
    /// Events that would pass on this node, a second's worth at most.
    pub events: u32,
    /// Until a second's worth would.
    pub full_in: Duration,
}

impl Rate {
    /// `rate` events a second; `None`: no limit.
    #[must_use]
    pub fn new(rate: Option<u32>) -> Self {
        let limiter = rate.and_then(NonZeroU32::new).map(|rate| Limiter::new(rate, Share::WHOLE, None));
        Self { limiter: RwLock::new(limiter), asked: AtomicU32::new(0), own_share: AtomicU32::new(0) }
    }

    /// Takes over a new rate. What has been spent stays spent.
    pub fn revise(&self, rate: Option<u32>) {
        let mut limiter = self.limiter.write();
        *limiter = match (limiter.take(), rate.and_then(NonZeroU32::new)) {
            (_, None) => None,
            (None, Some(rate)) => Some(Limiter::new(rate, self.share(Share::WHOLE), None)),
            (Some(old), Some(rate)) if old.rate == rate => Some(old),
            (Some(old), Some(rate)) => Some(Limiter::new(rate, old.share, Some(&old))),
        };
    }

    /// What could be sent now; `None`: as much as one likes.
    #[must_use]
    pub fn left(&self) -> Option<Left> {
        self.limiter.read().as_ref().map(Limiter::left)
    }

    /// Counts what is asked for, of a tenant with a limit; whether it is the first since [`Rate::asked`].
    pub(crate) fn ask(&self, events: u32) -> bool {
        self.limiter.read().is_some() && self.asked.fetch_add(events.max(1), Ordering::Relaxed) == 0
    }

    /// What was asked for since the last call.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.swap(0, Ordering::Relaxed)
    }

    /// Gives the tenant a share of its own, or again that of all idle ones.
    pub(crate) fn set_share(&self, own: Option<Share>, idle: Share) {
        self.own_share.store(own.map_or(0, Share::ppm), Ordering::Relaxed);
        self.settle(idle);
    }

    fn share(&self, idle: Share) -> Share {
        match self.own_share.load(Ordering::Relaxed) {
            0 => idle,
            ppm => Share::of_ppm(ppm),
        }
    }

    pub(crate) fn settle(&self, idle: Share) {
        let outdated = |limiter: &Limiter| self.share(idle).replaces(limiter.share);
        if !self.limiter.read().as_ref().is_some_and(outdated) {
            return;
        }
        let mut limiter = self.limiter.write();
        // Asked again: somebody else may have been here in between.
        if limiter.as_ref().is_some_and(outdated) {
            *limiter = limiter.take().map(|old| Limiter::new(old.rate, self.share(idle), Some(&old)));
        }
    }

    pub(crate) fn charge(&self, events: u32) -> Result<(), Duration> {
        // The lock is held until it is charged: a limiter that is being replaced must not miss a charge.
        let limiter = self.limiter.read();
        let (Some(limiter), Some(events)) = (limiter.as_ref(), NonZeroU32::new(events)) else {
            return Ok(());
        };
        limiter.charge(events)
    }

    pub(crate) fn check(&self) -> Result<(), Duration> {
        self.limiter.read().as_ref().map_or(Ok(()), Limiter::check)
    }
}

impl Limiter {
    fn new(rate: NonZeroU32, share: Share, old: Option<&Self>) -> Self {
        let burst = rate.get().saturating_mul(BURST_SECONDS).max(BURST_MIN);
        let burst = NonZeroU32::new(share.of(burst)).unwrap_or(NonZeroU32::MIN);
        let pace = share.pace(rate);
        let debt = Debt::default();
        let quota = Quota::with_period(Duration::from_nanos(pace)).unwrap_or(Quota::per_second(rate));
        let (begun, cells) =
            (Instant::now(), RateLimiter::new(quota.allow_burst(burst), debt.clone(), MonotonicClock));
        if let Some(old) = old {
            debt.add(rescaled(old.owed(), old.pace, pace));
        }
        Self { rate, share, burst, pace, debt, begun, cells }
    }

    fn charge(&self, events: NonZeroU32) -> Result<(), Duration> {
        if let Err(not_until) = self.cells.check() {
            return Err(not_until.wait_time_from(Instant::now()));
        }
        let others = u64::from(events.get() - 1).saturating_mul(self.pace);
        self.debt.add(others.min(self.tolerance().saturating_add(DEBT_NANOS_MAX)));
        Ok(())
    }

    /// Never refuses what [`Limiter::charge`] would let in at the same moment.
    fn check(&self) -> Result<(), Duration> {
        match self.owed().checked_sub(self.tolerance()) {
            None | Some(0) => Ok(()),
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }

    /// Nanoseconds that may be owed where one event more is let in.
    fn tolerance(&self) -> u64 {
        u64::from(self.burst.get() - 1).saturating_mul(self.pace)
    }

    /// Nanoseconds until everything let in so far is paid for.
    fn owed(&self) -> u64 {
        let now = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.debt.0.load(Ordering::Relaxed).saturating_sub(now)
    }

    fn left(&self) -> Left {
        let owed = self.owed();
        let events = u64::from(self.burst.get()).saturating_sub(owed.div_ceil(self.pace));
        let second = u64::from(self.burst.min(self.rate).get());
        let missing = second.saturating_sub(events).saturating_mul(self.pace);
        // What is owed beyond the burst is waited for first.
        let beyond = owed.saturating_sub(self.tolerance().saturating_add(self.pace));
        Left {
            rate: self.rate.get(),
            events: u32::try_from(events.min(second)).unwrap_or(u32::MAX),
            full_in: Duration::from_nanos(missing.saturating_add(beyond)),
        }
    }
}

/// The same events, at another pace.
fn rescaled(owed: u64, old_pace: u64, pace: u64) -> u64 {
    let owed = u128::from(owed) * u128::from(pace) / u128::from(old_pace);
    u64::try_from(owed).unwrap_or(u64::MAX).min(FAR)
}

impl Debt {
    fn add(&self, nanos: u64) {
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl StateStore for Debt {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut before = self.0.load(Ordering::Relaxed);
        loop {
            let (result, after) = decide((before > 0).then_some(Nanos::new(before)))?;
            match self.0.compare_exchange_weak(before, after.as_u64(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(result),
                Err(now) => before = now,
            }
        }
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
    fn a_batch_passes_while_anything_is_left_and_then_nothing_does_until_it_is_paid_for() {
        let rate = Rate::new(Some(1));
        assert_eq!(rate.charge(BURST_MIN - 1), Ok(()));
        assert_eq!(rate.check(), Ok(()));
        assert_eq!(rate.charge(11), Ok(()));
        let (checked, charged) = (rate.check().unwrap_err(), rate.charge(1).unwrap_err());
        for wait in [checked, charged] {
            assert!(wait > Duration::from_secs(8) && wait <= Duration::from_secs(11), "{wait:?}");
        }
        let left = rate.left().unwrap();
        assert_eq!(left.events, 0);
        assert!(left.full_in > Duration::from_secs(9), "{left:?}");
        assert_eq!(Rate::new(None).check(), Ok(()));
    }

    #[test]
    fn a_batch_beyond_the_burst_passes_once_and_is_owed_whole() {
        let rate = Rate::new(Some(10));
        assert_eq!(rate.charge(BURST_MIN * 10), Ok(()));
        let wait = rate.charge(1).unwrap_err();
        assert!(wait > Duration::from_secs(899) && wait <= Duration::from_secs(901), "{wait:?}");
        assert_eq!(rate.charge(0), Ok(()));
    }

    #[test]
    fn a_debt_is_bounded() {
        let rate = Rate::new(Some(1));
        assert_eq!(rate.charge(u32::MAX), Ok(()));
        let wait = rate.charge(1).unwrap_err();
        assert!(wait <= Duration::from_nanos(DEBT_NANOS_MAX) + Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn a_changed_rate_or_share_keeps_what_is_owed() {
        let rate = Rate::new(Some(10));
        assert_eq!(rate.charge(BURST_MIN + 99), Ok(()));
        rate.revise(Some(20));
        let wait = rate.charge(100).unwrap_err();
        assert!(wait > Duration::from_secs(4) && wait <= Duration::from_secs(5), "{wait:?}");
        for ppm in [500_000, 1_000_000, 50_000, 1_000_000, 300_000] {
            rate.set_share(Some(Share::of_ppm(ppm)), Share::WHOLE);
            assert!(rate.charge(100).is_err(), "no share hands out a fresh burst");
        }
        rate.revise(None);
        assert_eq!(rate.charge(u32::MAX), Ok(()));
    }

    #[test]
    fn what_a_node_gains_by_its_share_another_loses() {
        let (one, other) = (Rate::new(Some(1)), Rate::new(Some(1)));
        let share = |rate: &Rate, ppm| rate.set_share(Some(Share::of_ppm(ppm)), Share::WHOLE);
        let half = |rate: &Rate| share(rate, 500_000);
        half(&one);
        half(&other);
        assert_eq!(one.charge(BURST_MIN / 2), Ok(()));
        assert_eq!(other.charge(BURST_MIN / 2), Ok(()));
        share(&one, 900_000);
        share(&other, 100_000);
        assert_eq!(one.charge(BURST_MIN * 4 / 10), Ok(()));
        assert!(one.charge(1).is_err());
        half(&one);
        half(&other);
        assert!(one.charge(1).is_err());
        assert!(other.charge(1).is_err(), "shares that go to and fro make no events");
    }

    #[test]
    fn what_is_left_is_reported_as_it_stands() {
        let rate = Rate::new(Some(1_000));
        assert_eq!(rate.left().map(|left| (left.rate, left.events)), Some((1_000, 1_000)));
        assert_eq!(rate.charge(1_500), Ok(()));
        let left = rate.left().unwrap();
        assert!((500..600).contains(&left.events), "{left:?}");
        assert!(
            left.full_in > Duration::from_millis(400) && left.full_in <= Duration::from_millis(500),
            "{left:?}"
        );
        assert_eq!(Rate::new(None).left(), None);
    }
}
