//! Orders from a file, and rules that are broken.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use std::{env, fs, thread};

use rustix::process::{Signal, getpid, kill_process};

/// What a disk that is broken answers.
pub(crate) const EIO: i32 = 5;
/// For how long the thread that is at the point stands there before the whole process comes to harm.
const STANDS: Duration = Duration::from_millis(20);
/// The file of orders.
const ORDERS: &str = "WEIR_FAULTS";
/// The rule that is broken.
const MUTANT: &str = "WEIR_MUTANT";

/// Every rule that can be broken.
const MUTANTS: [&str; 10] = [
    "reply-before-durable",
    "commit-before-insert",
    "no-cas",
    "no-dedup",
    "clickhouse-token",
    "no-read-back",
    "now-in-row",
    "quota-in-memory",
    "log-without-fsync",
    "unbounded-queue",
];

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Order {
    /// It distinguishes two orders in a row for the same point.
    number: u64,
    point: String,
    action: String,
    /// At which passing.
    nth: u64,
}

impl Order {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let number = words.next()?.parse().ok()?;
        let (point, action) = (words.next()?.to_owned(), words.next()?.to_owned());
        Some(Self { number, point, action, nth: words.next()?.parse().ok()? })
    }
}

pub(crate) fn may_start() -> Result<String, String> {
    if env::var_os(ORDERS).is_none() {
        return Err(format!(
            "this build is for the fault campaign alone: it does not run unless {ORDERS} is set"
        ));
    }
    let mutant = the_mutant();
    if mutant.is_some_and(|name| !MUTANTS.iter().any(|known| *known == name)) {
        return Err(format!("{MUTANT} is one of {}", MUTANTS.join(", ")));
    }
    let rule = mutant.map_or_else(String::new, |name| format!(", and breaks a rule: {}", name.display()));
    Ok(format!("built for the fault campaign, never for production{rule}"))
}

fn the_mutant() -> Option<&'static OsString> {
    static NAME: OnceLock<Option<OsString>> = OnceLock::new();
    NAME.get_or_init(|| env::var_os(MUTANT)).as_ref()
}

pub(crate) fn mutant(name: &str) -> bool {
    debug_assert!(MUTANTS.contains(&name), "{name} is not listed");
    the_mutant().is_some_and(|chosen| chosen == name)
}

fn file() -> Option<&'static PathBuf> {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    FILE.get_or_init(|| env::var_os(ORDERS).map(PathBuf::from)).as_ref()
}

fn order_for(point: &str) -> Option<Order> {
    let text = fs::read_to_string(file()?).ok()?;
    Order::read(&text).filter(|order| order.point == point)
}

/// The process that removes the file carries the order out.
fn claim() -> bool {
    file().is_some_and(|file| fs::remove_file(file).is_ok())
}

/// Passes a point: kills or stops the process if that is the order. Whether the call at that point is to fail.
pub(crate) fn pass(point: &str) -> bool {
    let Some(order) = order_for(point) else { return false };
    if passings(&order) != order.nth || !claim() {
        return false;
    }
    let signal = match order.action.as_str() {
        "kill" => Signal::KILL,
        "stop" => Signal::STOP,
        _ => return order.action == "fail",
    };
    // All others go on meanwhile, and say what they have to say: an error of theirs is not to be cut short.
    thread::sleep(STANDS);
    // It can't fail: it is our own process.
    let _sent = kill_process(getpid(), signal);
    false
}

/// How often the order's point was passed since it was given, this time included.
fn passings(order: &Order) -> u64 {
    static COUNT: Mutex<(u64, u64)> = Mutex::new((0, 0));
    let mut count = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
    if count.0 != order.number {
        *count = (order.number, 0);
    }
    count.1 += 1;
    count.1
}

pub(crate) fn take(name: &str) -> Option<u64> {
    order_for(name).filter(|_| claim()).map(|order| order.number)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the mutant is to read the wall clock, past all who know better"
)]
pub(crate) fn now_micros() -> i64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) fn granted_from_memory(tenant: i64, wanted: i64, cap: i64) -> i64 {
    static GRANTED: Mutex<BTreeMap<i64, i64>> = Mutex::new(BTreeMap::new());
    let mut granted = GRANTED.lock().unwrap_or_else(PoisonError::into_inner);
    let so_far = granted.entry(tenant).or_default();
    let more = wanted.min(cap - *so_far).max(0);
    *so_far += more;
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_number_point_action_and_passing() {
        let order = Order::read("7 processor.before_insert kill 3\n").unwrap();
        let point = "processor.before_insert".to_owned();
        assert_eq!(order, Order { number: 7, point, action: "kill".to_owned(), nth: 3 });
        for broken in ["", "7", "7 a kill", "x a kill 1", "7 a kill x"] {
            assert_eq!(Order::read(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_point_is_counted_from_zero_for_each_order() {
        let order = |number| Order { number, point: String::new(), action: String::new(), nth: 1 };
        assert_eq!((passings(&order(1)), passings(&order(1)), passings(&order(2))), (1, 2, 1));
    }

    #[test]
    fn memory_grants_up_to_the_cap() {
        assert_eq!(granted_from_memory(1, 6, 10), 6);
        assert_eq!(granted_from_memory(1, 6, 10), 4);
        assert_eq!(granted_from_memory(1, 6, 10), 0);
        assert_eq!(granted_from_memory(2, 6, 10), 6);
    }
}
