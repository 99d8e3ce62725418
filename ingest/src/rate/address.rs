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

/// Holds each address to so many requests a second that fail before it is known who sends them: keys are guessed
/// and garbage is sent at this rate at most. Requests with a good key cost an address nothing.
#[derive(Debug)]
pub struct Addresses(Option<Limits>);

#[derive(Debug)]
struct Limits {
    blocks: Blocks,
    limiter: RateLimiter<Block, Blocks, MonotonicClock>,
    /// What an address may owe and still send one more.
    tolerance: Duration,
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
        let tolerance = quota.replenish_interval().saturating_mul(burst.get() - 1);
        let blocks = Blocks { state: Arc::default(), begun: Instant::now(), blocks_max };
        let limiter = RateLimiter::new(quota, blocks.clone(), MonotonicClock);
        Self { blocks, limiter, tolerance }
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
