use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::MonotonicClock;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;

/// The burst, in seconds' worth.
const BURST_SECONDS: u32 = 5;
/// Addresses that are remembered, in about 5 MB. More count as one.
const BLOCKS_MAX: usize = 100_000;
/// How often to look for room at most.
const CLEAR_EVERY: Duration = Duration::from_secs(1);

/// Plain bytes, and time of work, that come with a failed request; one with more counts as several. At the default
/// rate, what senders without a key cost a node is a tenth of a core for each address, and 6 MB a second.
const REQUEST_BYTES: usize = 64 * 1024;
const REQUEST_TIME: Duration = Duration::from_millis(1);
/// What an address may owe beyond its burst: on a slow machine one large body may have cost more than minutes can pay.
const DEBT_MAX: Duration = Duration::from_secs(30);

/// Holds each address to so many requests a second that fail before it is known who sends them, and to so much work on
/// them: keys are guessed and garbage is sent at this rate at most. Requests with a good key cost an address nothing.
#[derive(Debug)]
pub struct Addresses(Option<Limits>);

#[derive(Debug)]
struct Limits {
    blocks: Blocks,
    limiter: RateLimiter<Block, Blocks, MonotonicClock>,
    /// What an address may owe and still send one more.
    tolerance: Duration,
    /// For how long an address pays for one request.
    interval: Duration,
}

/// An IPv4 address, or the 64 bits of an IPv6 address that are one customer's. `None` stands for all those for
/// which there is no room.
type Block = Option<u64>;

/// Until when each block has paid for what it sent, since the limiter was made.
#[derive(Debug, Clone)]
struct Blocks {
    state: Arc<Mutex<State>>,
    begun: Instant,
    blocks_max: usize,
}

#[derive(Debug, Default)]
struct State {
    until: HashMap<Block, Nanos>,
    cleared_at: Option<Instant>,
}

impl Addresses {
    /// `rate` failed requests a second for each address; 0: no limit.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self::with_room_for(BLOCKS_MAX, rate)
    }

    fn with_room_for(blocks_max: usize, rate: u32) -> Self {
        Self(NonZeroU32::new(rate).map(|rate| Limits::new(blocks_max, rate)))
    }

    /// Whether the address may send a request of which it is not known yet who sends it. Charges nothing.
    ///
    /// # Errors
    /// How long to wait.
    pub fn check(&self, address: IpAddr) -> Result<(), Duration> {
        let Some(limits) = &self.0 else { return Ok(()) };
        let wait = limits.blocks.owed(block(address)).saturating_sub(limits.tolerance);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Charges a request that failed before it was known who sent it.
    ///
    /// # Errors
    /// How long to wait.
    pub fn charge(&self, address: IpAddr) -> Result<(), Duration> {
        let Some(limits) = &self.0 else { return Ok(()) };
        let charged = limits.limiter.check_key(&block(address));
        charged.map_err(|not_until| not_until.wait_time_from(Instant::now()))
    }

    /// Charges the work on a request that failed before it was known who sent it: the plain bytes that were made of its
    /// body, or the time for which they were worked on, whichever is more.
    pub fn charge_work(&self, address: IpAddr, bytes: usize, time: Duration) {
        let Some(limits) = &self.0 else { return };
        let requests = (time.as_nanos() / REQUEST_TIME.as_nanos()).max((bytes / REQUEST_BYTES) as u128);
        if requests > 0 {
            let requests = u32::try_from(requests).unwrap_or(u32::MAX);
            limits.blocks.add(block(address), limits.interval.saturating_mul(requests), limits.tolerance);
        }
    }
}

fn block(address: IpAddr) -> Block {
    Some(match address.to_canonical() {
        // Where no IPv6 address that is routed begins.
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => u64::try_from(ip.to_bits() >> 64).unwrap_or_default(),
    })
}

impl Limits {
    fn new(blocks_max: usize, rate: NonZeroU32) -> Self {
        let burst = rate.saturating_mul(const { NonZeroU32::new(BURST_SECONDS).unwrap() });
        let quota = Quota::per_second(rate).allow_burst(burst);
        let interval = quota.replenish_interval();
        let tolerance = interval.saturating_mul(burst.get() - 1);
        let blocks = Blocks { state: Arc::default(), begun: Instant::now(), blocks_max };
        let limiter = RateLimiter::new(quota, blocks.clone(), MonotonicClock);
        Self { blocks, limiter, tolerance, interval }
    }
}

impl Blocks {
    fn owed(&self, block: Block) -> Duration {
        let state = self.state.lock();
        let known = state.until.get(&block).or_else(|| {
            let is_full = state.until.len() >= self.blocks_max;
            if is_full { state.until.get(&None) } else { None }
        });
        let until = known.map_or(Duration::ZERO, |until| Duration::from(*until));
        until.saturating_sub(self.begun.elapsed())
    }

    /// Makes a block owe more, also beyond what it may owe and still be served.
    fn add(&self, block: Block, more: Duration, tolerance: Duration) {
        let mut state = self.state.lock();
        let block = state.place(block, self);
        let now = self.begun.elapsed();
        let until = state.until.get(&block).map_or(Duration::ZERO, |until| Duration::from(*until));
        let until = until.max(now).saturating_add(more).min(now + tolerance + DEBT_MAX);
        state.until.insert(block, Nanos::from(until));
    }
}

impl StateStore for Blocks {
    type Key = Block;

    fn measure_and_replace<T, F, E>(&self, block: &Block, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut state = self.state.lock();
        let block = state.place(*block, self);
        let (result, until) = decide(state.until.get(&block).copied())?;
        state.until.insert(block, until);
        Ok(result)
    }
}

impl State {
    /// The block itself, or the one that stands for all for which there is no room.
    fn place(&mut self, block: Block, blocks: &Blocks) -> Block {
        if self.until.len() < blocks.blocks_max || self.until.contains_key(&block) {
            return block;
        }
        if self.cleared_at.is_none_or(|at| at.elapsed() >= CLEAR_EVERY) {
            self.cleared_at = Some(Instant::now());
            let now = Nanos::from(blocks.begun.elapsed());
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() < blocks.blocks_max { block } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn v4(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn an_address_is_refused_after_its_burst_and_others_are_not() {
        let addresses = Addresses::new(2);
        for _ in 0..10 {
            assert_eq!(addresses.check(v4(1)), Ok(()));
            assert_eq!(addresses.charge(v4(1)), Ok(()));
        }
        for wait in [addresses.check(v4(1)).unwrap_err(), addresses.charge(v4(1)).unwrap_err()] {
            assert!(wait > Duration::ZERO && wait <= Duration::from_millis(500), "{wait:?}");
        }
        assert_eq!(addresses.check(v4(2)), Ok(()));
    }

    #[test]
    fn large_work_counts_as_many_requests_and_little_as_none() {
        let addresses = Addresses::new(2);
        addresses.charge_work(v4(1), REQUEST_BYTES - 1, REQUEST_TIME / 2);
        for _ in 0..10 {
            assert_eq!(addresses.charge(v4(1)), Ok(()));
        }
        let by_bytes = |address| addresses.charge_work(address, 20 * REQUEST_BYTES, Duration::ZERO);
        let by_time = |address| addresses.charge_work(address, 0, 20 * REQUEST_TIME);
        by_bytes(v4(2));
        by_time(v4(3));
        for address in [v4(2), v4(3)] {
            let wait = addresses.check(address).unwrap_err();
            assert!(wait > Duration::from_secs(5) && wait <= Duration::from_millis(5_500), "{wait:?}");
        }
        addresses.charge_work(v4(4), usize::MAX, Duration::MAX);
        assert!(addresses.check(v4(4)).unwrap_err() <= DEBT_MAX);
        assert_eq!(addresses.check(v4(5)), Ok(()));
    }

    #[test]
    fn one_customer_of_ipv6_is_one_address() {
        let addresses = Addresses::new(1);
        let v6 =
            |low: u128, high: u128| IpAddr::from(Ipv6Addr::from_bits((0x2001_0db8 << 96) | high << 64 | low));
        for low in 0..5 {
            assert_eq!(addresses.charge(v6(low, 7)), Ok(()));
        }
        assert!(addresses.charge(v6(99, 7)).is_err());
        assert_eq!(addresses.charge(v6(0, 8)), Ok(()));
        let mapped = IpAddr::from(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        assert_eq!(block(mapped), block(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn memory_is_bounded_and_who_finds_no_room_shares_a_place() {
        let addresses = Addresses::with_room_for(10, 1);
        for number in 0..10 {
            assert_eq!(addresses.charge(v4(number)), Ok(()));
        }
        let refused = (10..100).filter(|number| addresses.charge(v4(*number)).is_err()).count();
        assert!(refused >= 80, "{refused}");
        assert!(addresses.check(v4(1_000)).is_err());
        assert_eq!(addresses.check(v4(3)), Ok(()), "who has a place keeps it");
        assert!(addresses.0.unwrap().blocks.state.lock().until.len() <= 11);
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        let addresses = Addresses::new(0);
        assert!((0..1_000).all(|_| addresses.charge(v4(1)).is_ok()));
    }
}
