//! What rating costs: a period of each of 100,000 tenants, by every model, and a spending limit for each.
//!
//! `cargo bench -p rating --bench rating`; `-- TENANTS` for another number of them.

#![allow(clippy::unwrap_used, clippy::float_arithmetic, reason = "a figure that can't be taken ends the run")]

use std::hint::black_box;
use std::time::Duration;

use rating::{Anchor, Currency, Interval, Money, Plan, Quantity, Scope, Usage, affordable, rate};
use schemas::time::Micros;

const TENANTS: u64 = 100_000;
const MODELS: [(&str, &str); 5] = [
    ("none", r#"{"model":"none"}"#),
    ("flat", r#"{"model":"flat","unit":"0.00001"}"#),
    ("graduated", r#"{"model":"graduated","tiers":TIERS}"#),
    ("volume", r#"{"model":"volume","tiers":TIERS}"#),
    ("package", r#"{"model":"package","size":"1000","amount":"0.01"}"#),
];
const TIERS: &str = r#"[{"up_to":"10000000","unit":"0.00001","flat":"5"},{"up_to":"100000000","unit":"0.000008"},
    {"up_to":null,"unit":"0.000005"}]"#;

fn plan(price: &str) -> Plan {
    let price = price.replace("TIERS", TIERS);
    let text = format!(
        r#"{{"name":"Pro","currency":"EUR","interval":"month","fee":"49.00","minimum":"60","rate":1000,
        "retention_days":365,"charges":[
        {{"meter":"events","included":"5000000","cap":null,"price":{price}}},
        {{"meter":"bytes","included":"1000000000","cap":null,"minimum":"1","price":{price}}}]}}"#
    );
    Plan::from_json(text.as_bytes()).unwrap()
}

/// What tenant `n` has used: from nothing to a thousand million events.
fn usage(n: u64) -> Usage {
    let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 34;
    let whole = |number| Quantity::whole(number).unwrap();
    [("events", whole(spread)), ("bytes", whole(spread * 300))].into_iter().collect()
}

/// CPU time of this thread, by the kernel's count: others on the machine change it little.
fn cpu() -> Duration {
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(counts.split_whitespace().next().unwrap().parse().unwrap())
}

fn timed(what: &str, times: u64, mut work: impl FnMut(u64)) {
    let before = cpu();
    (0..times).for_each(&mut work);
    let each = (cpu() - before).as_secs_f64() * 1e9 / u64::to_string(&times).parse::<f64>().unwrap();
    println!("{what:44} {each:>9.0} ns each");
}

fn main() {
    // `cargo test --all-targets` runs benches too, without this word: there it is enough that they build.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let tenants = asked.unwrap_or(TENANTS);
    println!("{tenants} tenants, two charges each");
    let used: Vec<Usage> = (0..tenants).map(usage).collect();
    let of = |n: u64| &used[usize::try_from(n).unwrap()];
    // Once over all of it, so that the first figure is no colder than the others.
    let warm = plan(MODELS[0].1);
    (0..tenants).for_each(|n| drop(black_box(rate(&warm, of(n)).unwrap())));
    for (name, price) in MODELS {
        let plan = plan(price);
        timed(&format!("rating, {name}"), tenants, |n| {
            black_box(rate(&plan, of(n)).unwrap());
        });
    }
    let plan = plan(MODELS[2].1);
    timed("rating, graduated, to JSON", tenants, |n| {
        black_box(serde_json::to_string(&rate(&plan, of(n)).unwrap()).unwrap());
    });
    timed("a spending limit to events, graduated", tenants / 10, |n| {
        let limit = Money::new(10_000 + i64::try_from(n).unwrap(), Currency::EUR);
        black_box(affordable(&plan, "events", &Usage::default(), limit, Scope::Plan).unwrap());
    });
    let text = plan.canonical();
    timed("reading a plan", tenants / 10, |_| {
        black_box(Plan::from_json(text.as_bytes()).unwrap());
    });
    timed("a plan's hash", tenants / 10, |_| {
        black_box(plan.hash());
    });
    let zone = chrono_tz::Tz::Europe__Berlin;
    let anchor = Anchor::at(Micros(1_700_000_000 * Micros::SECOND), zone, Interval::Month).unwrap();
    timed("the period that holds an instant", tenants, |n| {
        let at = 1_700_000_000 + i64::try_from(n).unwrap() * 1_000;
        black_box(anchor.holding(Micros(at * Micros::SECOND), zone).unwrap());
    });
}
