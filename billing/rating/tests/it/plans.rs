//! Plans of tests, by way of their JSON.

use proptest::prelude::*;
use rating::{Plan, Quantity, Usage};
use serde_json::{Value, json};

/// A plan in euros that has these charges, and nothing else.
pub(crate) fn plan(charges: &Value) -> Plan {
    plan_of("0", "0", charges)
}

pub(crate) fn plan_of(fee: &str, minimum: &str, charges: &Value) -> Plan {
    let plan = json!({
        "name": "Test", "currency": "EUR", "interval": "month", "fee": fee, "minimum": minimum, "rate": null,
        "retention_days": null, "charges": charges,
    });
    Plan::from_json(plan.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}: {plan}"))
}

pub(crate) fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

pub(crate) fn events(text: &str) -> Usage {
    [("events", quantity(text))].into_iter().collect()
}

/// A number with up to `decimals` decimals, which is `units` of the last one.
fn decimal(units: u64, decimals: u32) -> String {
    let one = 10_u64.pow(decimals);
    format!("{}.{:0>width$}", units / one, units % one, width = usize::try_from(decimals).unwrap())
}

fn price() -> impl Strategy<Value = String> {
    // Cents, prices finer than a cent, halves of cents, and the finest.
    prop_oneof![
        Just("0".to_owned()),
        (0..500_u64).prop_map(|units| decimal(units, 2)),
        (0..5_000_u64).prop_map(|units| decimal(units * 5, 3)),
        (0..10_000_000_u64).prop_map(|units| decimal(units, 6)),
        (0..1_000_000_000_000_000_u64).prop_map(|units| decimal(units, 12)),
    ]
}

fn tiers() -> impl Strategy<Value = Value> {
    let tier = (1..12_u64, price(), prop_oneof![Just("0".to_owned()), price()]);
    prop::collection::vec(tier, 1..5).prop_map(|tiers| {
        let (mut end, last) = (0, tiers.len() - 1);
        let tier = |(n, (length, unit, flat)): (usize, (u64, String, String))| {
            end += length;
            let up_to = (n < last).then(|| end.to_string());
            json!({"up_to": up_to, "unit": unit, "flat": flat})
        };
        tiers.into_iter().enumerate().map(tier).collect()
    })
}

fn model() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"model": "none"})),
        price().prop_map(|unit| json!({"model": "flat", "unit": unit})),
        tiers().prop_map(|tiers| json!({"model": "graduated", "tiers": tiers})),
        tiers().prop_map(|tiers| json!({"model": "volume", "tiers": tiers})),
        (1..10_u64, price()).prop_map(|(size, amount)| json!({
            "model": "package", "size": size.to_string(), "amount": amount,
        })),
    ]
}

/// A charge of a meter, whose quantities are small, so that each unit can be looked at.
pub(crate) fn charge(meter: &'static str) -> impl Strategy<Value = Value> {
    let minimum = prop_oneof![Just("0".to_owned()), (0..3_000_u64).prop_map(|cents| decimal(cents, 2))];
    (0..20_u64, prop::option::of(0..40_u64), minimum, model()).prop_map(move |(included, more, minimum, price)| {
        let cap = more.filter(|_| price["model"] != "none").map(|more| (included + more).to_string());
        json!({"meter": meter, "included": included.to_string(), "cap": cap, "minimum": minimum, "price": price})
    })
}

/// Up to three charges, with a fee and a minimum.
pub(crate) fn any_plan() -> impl Strategy<Value = Value> {
    let charges = (charge("events"), charge("bytes"), charge("seats"), 0..=3_usize);
    let charges = charges.prop_map(|(a, b, c, count)| [a, b, c].into_iter().take(count).collect::<Value>());
    (0..10_000_u64, prop_oneof![Just(0), 0..30_000_u64], charges).prop_map(|(fee, minimum, charges)| {
        json!({"fee": decimal(fee, 2), "minimum": decimal(minimum, 2), "charges": charges})
    })
}

/// The plan that `any_plan` describes.
pub(crate) fn made(said: &Value) -> Plan {
    plan_of(said["fee"].as_str().unwrap(), said["minimum"].as_str().unwrap(), &said["charges"])
}
