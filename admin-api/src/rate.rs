//! How many requests an address, a person or a token may send. Every reply says what is left
//! (draft-ietf-httpapi-ratelimit-headers), as ingest's do.
//!
//! Nodes do not share what they count, so with n of them a sender may send up to n times as much. Memory is bounded:
//! who finds no room shares one place.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use accounts::Actor;
use axum::http::HeaderMap;
use axum::http::header::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use schemas::problem::{Code, Problem};
use service::config::Settings;
use tokio::time::Instant;

use crate::reply::Refused;

/// Senders that are remembered by each limit, in some 8 MB. More count as one.
const SENDERS_MAX: usize = 100_000;
/// How often to look for room at most.
const CLEAR_EVERY: Duration = Duration::from_secs(1);

/// Requests within a window of time, which may come all at once; 0: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests.
    pub requests: u32,
    /// The window.
    pub window: Duration,
}

/// The limits of the admin API.
#[derive(Debug, Clone, Copy)]
pub struct RateConfig {
    /// Of an address, with all it sends.
    pub address: Quota,
    /// Of an address that signs in, registers or resets a password.
    pub sign_in: Quota,
    /// Of a person or a token.
    pub caller: Quota,
}

impl RateConfig {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Self {
        let mut quota = |name, default, seconds, meaning| {
            let requests = settings.number(name, default, 0..=1_000_000, meaning);
            Quota { requests, window: Duration::from_secs(seconds) }
        };
        Self {
            address: quota(
                "WEIR_ADMIN_ADDRESS_RATE",
                600,
                10,
                "requests to the admin API in 10 seconds that one address may send; 0: no limit",
            ),
            sign_in: quota(
                "WEIR_SIGN_IN_ADDRESS_RATE",
                120,
                60,
                "requests to /v1/auth in 60 seconds that one address may send; 0: no limit",
            ),
            caller: quota(
                "WEIR_ADMIN_CALLER_RATE",
                600,
                10,
                "requests to the admin API in 10 seconds that one person or token may send; 0: no limit",
            ),
        }
    }
}

/// All limits.
pub(crate) struct Rates {
    address: Limit,
    sign_in: Limit,
    caller: Limit,
}

struct Limit {
    name: &'static str,
    quota: Quota,
    senders_max: usize,
    begun: Instant,
    state: Mutex<State>,
}

/// An IPv4 address, the 64 bits of an IPv6 one that are one customer's, or an id. `None` stands for all those for
/// which there is no room.
type Sender = Option<u128>;

#[derive(Default)]
struct State {
    /// Until when each sender has paid for what it sent, since the limit was made.
    paid_until: HashMap<Sender, Duration>,
    cleared_at: Option<Instant>,
}

/// What is left to a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    name: &'static str,
    quota: Quota,
    /// Requests that would pass now.
    remaining: u32,
    /// Until all of them would.
    reset: Duration,
    /// How long to wait, if this one does not pass.
    wait: Option<Duration>,
}

impl Rates {
    pub(crate) fn new(config: RateConfig) -> Self {
        Self {
            address: Limit::new("address", config.address, SENDERS_MAX),
            sign_in: Limit::new("sign-in", config.sign_in, SENDERS_MAX),
            caller: Limit::new("caller", config.caller, SENDERS_MAX),
        }
    }

    /// Counts a request of an address.
    pub(crate) fn of_address(&self, address: IpAddr, path: &str) -> Vec<Left> {
        let block = match address.to_canonical() {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits() >> 64 << 64,
        };
        let sign_in = path.starts_with("/v1/auth/").then(|| self.sign_in.take(block)).flatten();
        self.address.take(block).into_iter().chain(sign_in).collect()
    }

    /// Counts a request of a person or a token. The operator is no sender of its own: an address is.
    pub(crate) fn of_caller(&self, actor: Actor) -> Option<Left> {
        match actor {
            Actor::Person(id) | Actor::Impersonator(id) => self.caller.take(id.uuid().as_u128()),
            Actor::Token(id) => self.caller.take(id.uuid().as_u128()),
            Actor::Operator | Actor::System => None,
        }
    }
}

impl Limit {
    fn new(name: &'static str, quota: Quota, senders_max: usize) -> Self {
        Self { name, quota, senders_max, begun: Instant::now(), state: Mutex::default() }
    }

    /// Counts a request, if it passes. `None`: there is no limit.
    fn take(&self, sender: u128) -> Option<Left> {
        let Quota { requests, window } = self.quota;
        let interval = window.checked_div(requests)?;
        let now = self.begun.elapsed();
        let mut state = self.state.lock();
        let sender = state.place(sender, self.senders_max, now);
        let paid = state.paid_until.get(&sender).map_or(now, |until| (*until).max(now));
        let next = paid + interval;
        let passes = next <= now + window;
        let owed = if passes {
            state.paid_until.insert(sender, next);
            next - now
        } else {
            paid - now
        };
        let free = window.saturating_sub(owed).as_nanos() / interval.as_nanos().max(1);
        Some(Left {
            name: self.name,
            quota: self.quota,
            remaining: u32::try_from(free).unwrap_or(requests).min(requests),
            reset: owed,
            wait: (!passes).then(|| next.saturating_sub(now + window)),
        })
    }
}

impl State {
    /// The sender itself, or the place of all for whom there is no room.
    fn place(&mut self, sender: u128, senders_max: usize, now: Duration) -> Sender {
        if self.paid_until.len() < senders_max || self.paid_until.contains_key(&Some(sender)) {
            return Some(sender);
        }
        if self.cleared_at.is_none_or(|at| at.elapsed() >= CLEAR_EVERY) {
            self.cleared_at = Some(Instant::now());
            self.paid_until.retain(|_, until| *until > now);
        }
        (self.paid_until.len() < senders_max).then_some(sender)
    }
}

/// Seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// # Errors
/// 429, if one of them is used up.
pub(crate) fn passes(left: &[Left]) -> Result<(), Refused> {
    let Some(wait) = left.iter().filter_map(|left| left.wait).max() else { return Ok(()) };
    let seconds = i64::try_from(seconds(wait)).unwrap_or(i64::MAX).max(1);
    let detail = format!("too many requests: try again in {seconds} s");
    Err(Refused::new(Problem::new(Code::TooManyRequests, detail)).after(seconds))
}

/// Writes what is left into a reply's header, behind what stands there.
pub(crate) fn say(left: &[Left], headers: &mut HeaderMap) {
    let (mut policies, mut rests) = (String::new(), String::new());
    for Left { name, quota, remaining, reset, .. } in left {
        // Writing to a string does not fail.
        let _ = write!(policies, ", \"{name}\";q={};w={}", quota.requests, quota.window.as_secs());
        let _ = write!(rests, ", \"{name}\";r={remaining};t={}", seconds(*reset));
    }
    for (name, text) in [("ratelimit-policy", policies), ("ratelimit", rests)] {
        let name = HeaderName::from_static(name);
        let before = headers.get(&name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let text = format!("{before}{text}");
        match HeaderValue::from_str(text.trim_start_matches(", ")) {
            Ok(value) if !value.is_empty() => headers.insert(name, value),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn limit(requests: u32, senders_max: usize) -> Limit {
        Limit::new("address", Quota { requests, window: Duration::from_secs(10) }, senders_max)
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_may_send_its_quota_at_once_and_then_as_much_as_time_gives_back() {
        let limit = limit(5, 10);
        for remaining in [4, 3, 2, 1, 0] {
            let left = limit.take(1).unwrap();
            assert_eq!((left.remaining, left.wait), (remaining, None));
        }
        let left = limit.take(1).unwrap();
        assert_eq!(
            (left.remaining, left.wait, left.reset),
            (0, Some(Duration::from_secs(2)), Duration::from_secs(10))
        );
        assert_eq!(limit.take(2).unwrap().wait, None);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(limit.take(1).unwrap().wait, None);
        assert!(limit.take(1).unwrap().wait.is_some());
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(limit.take(1).unwrap().remaining, 4);
        assert_eq!(Limit::new("x", Quota { requests: 0, window: Duration::from_secs(1) }, 1).take(1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_who_finds_no_room_shares_a_place() {
        let limit = limit(1, 10);
        let refused = (0..100).filter(|sender| limit.take(*sender).unwrap().wait.is_some()).count();
        assert_eq!(refused, 89, "ten have a place, and one of the others had the last");
        assert!(limit.state.lock().paid_until.len() <= 11);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(limit.take(1_000).unwrap().wait, None);
        assert!(limit.state.lock().paid_until.len() <= 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_held_to_a_stricter_limit_where_people_sign_in() {
        let quota = |requests| Quota { requests, window: Duration::from_secs(10) };
        let rates = Rates::new(RateConfig { address: quota(9), sign_in: quota(2), caller: quota(1) });
        let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(rates.of_address(v4, "/v1/me").len(), 1);
        for good in [true, true, false] {
            assert_eq!(passes(&rates.of_address(v4, "/v1/auth/login")).is_ok(), good);
        }
        let mapped = IpAddr::from(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        assert!(passes(&rates.of_address(mapped, "/v1/auth/login")).is_err());
        let v6 = |low: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, low));
        for good in [true, true, false] {
            assert_eq!(passes(&rates.of_address(v6(good.into()), "/v1/auth/login")).is_ok(), good);
        }
        let mut headers = HeaderMap::new();
        say(&rates.of_address(v4, "/v1/auth/login"), &mut headers);
        say(&rates.of_caller(Actor::Operator).into_iter().collect::<Vec<_>>(), &mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"address\";q=9;w=10, \"sign-in\";q=2;w=10");
        assert!(headers["ratelimit"].to_str().unwrap().ends_with("\"sign-in\";r=0;t=10"), "{headers:?}");
    }
}
