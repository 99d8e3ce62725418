//! From a spending limit to events: the limit is never passed on the way to them, and one more would pass it.

use num_bigint::BigInt;
use proptest::prelude::*;
use rating::{Affordable, Currency, Money, Quantity, Scope, Usage, affordable, rate};
use serde_json::{Value, json};

use crate::plans::{any_plan, charge, made, plan, plan_of, quantity};
use crate::slow::{BITS, charge_cents, plan_cents};

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

fn of_charge(price: &Value, included: &str, cap: Option<&str>, limit: i64) -> Affordable {
    let plan = plan(&json!([{"meter": "events", "included": included, "cap": cap, "price": price}]));
    affordable(&plan, "events", &Usage::default(), eur(limit), Scope::Charge).unwrap()
}

/// How far the oracles look: beyond all tiers and caps that plans of tests have.
const LOOK: u64 = 80;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_charge_never_passes_the_limit_up_to_the_number_and_does_one_beyond(
        charge in charge("events"), limit in prop_oneof![0..500_i64, 0..50_000_i64],
    ) {
        let plan = plan(&json!([charge]));
        let found = affordable(&plan, "events", &Usage::default(), eur(limit), Scope::Charge).unwrap();
        let totals: Vec<BigInt> = (0..=LOOK).map(|units| charge_cents(&charge, units * BITS)).collect();
        let first_above = totals.iter().position(|total| *total > BigInt::from(limit));
        match (found, first_above) {
            (Affordable::Nothing, above) => prop_assert_eq!(above, Some(0)),
            (Affordable::UpTo(most), Some(above)) => prop_assert_eq!(most, u64::try_from(above).unwrap() - 1),
            (Affordable::UpTo(most), None) => {
                prop_assert!(most >= LOOK);
                let total = |units| {
                    let usage = [("events", Quantity::whole(units).unwrap())].into_iter().collect();
                    rate(&plan, &usage).unwrap().subtotal.minor()
                };
                prop_assert!(total(most) <= limit && total(most + 1) > limit);
            }
            (Affordable::All, above) => prop_assert_eq!(above, None),
        }
    }

    #[test]
    fn a_plan_never_passes_the_limit_whatever_its_other_meters_stand_at(
        said in any_plan(), limit in 0..60_000_i64, others in prop::array::uniform3(0..60_u64),
    ) {
        let plan = made(&said);
        let charges = plan.charges().iter().zip(others);
        let usage: Usage =
            charges.map(|(charge, units)| (charge.meter(), Quantity::whole(units).unwrap())).collect();
        let found = affordable(&plan, "events", &usage, eur(limit), Scope::Plan).unwrap();
        let total = |units: u64| plan_cents(&said, &[units * BITS, others[1] * BITS, others[2] * BITS]);
        let above = (0..=LOOK).find(|units| total(*units) > BigInt::from(limit));
        match found {
            Affordable::Nothing => prop_assert_eq!(above, Some(0)),
            Affordable::UpTo(most) => prop_assert!(above == Some(most + 1) || (above.is_none() && most >= LOOK)),
            Affordable::All => prop_assert_eq!(above, None),
        }
    }

    #[test]
    fn it_holds_at_any_usage_below_a_large_number_too(
        unit in 1..1_000_000_u64, limit in 0..1_000_000_000_i64, at in any::<prop::sample::Index>(),
    ) {
        let price = json!({"model": "volume", "tiers": [
            {"up_to": "1000000", "unit": format!("0.{unit:0>9}")},
            {"up_to": null, "unit": format!("0.{:0>9}", unit / 2)}]});
        let plan = plan(&json!([{"meter": "events", "included": "1000", "cap": null, "price": price}]));
        let total = |units: u64| {
            let usage = [("events", Quantity::whole(units).unwrap())].into_iter().collect();
            rate(&plan, &usage).unwrap().subtotal.minor()
        };
        match affordable(&plan, "events", &Usage::default(), eur(limit), Scope::Plan).unwrap() {
            Affordable::UpTo(most) => {
                let some = u64::try_from(at.index(usize::try_from(most + 1).unwrap())).unwrap();
                prop_assert!(total(some) <= limit && total(most) <= limit && total(most + 1) > limit);
            }
            found @ (Affordable::Nothing | Affordable::All) => prop_assert!(false, "{:?}", found),
        }
    }
}

#[test]
fn a_price_that_falls_at_a_tier_is_held_at_what_comes_before() {
    // 100 cost 2.00 each, 200.00 in all; from 101 on each costs 1.00. A limit of 150.00 is passed at 76 and at 151.
    let price =
        json!({"model": "volume", "tiers": [{"up_to": "100", "unit": "2"}, {"up_to": null, "unit": "1"}]});
    assert_eq!(of_charge(&price, "0", None, 15_000), Affordable::UpTo(75));
    assert_eq!(of_charge(&price, "0", None, 19_999), Affordable::UpTo(99));
    assert_eq!(of_charge(&price, "0", None, 20_000), Affordable::UpTo(200));
    assert_eq!(of_charge(&price, "10", None, 20_000), Affordable::UpTo(210));
}

#[test]
fn each_model_stops_at_its_last_unit() {
    let flat = json!({"model": "flat", "unit": "0.005"});
    // 2 cost 0.01; 3 cost 0.015, which is 0.02.
    assert_eq!(of_charge(&flat, "0", None, 1), Affordable::UpTo(2));
    assert_eq!(of_charge(&flat, "0", None, 0), Affordable::UpTo(0));
    let package = json!({"model": "package", "size": "1000", "amount": "1"});
    assert_eq!(of_charge(&package, "5000000", None, 250), Affordable::UpTo(5_002_000));
    assert_eq!(of_charge(&package, "7", None, 99), Affordable::UpTo(7));
    let graduated = json!({"model": "graduated", "tiers": [
        {"up_to": "10", "unit": "1", "flat": "5"}, {"up_to": null, "unit": "0.5", "flat": "3"}]});
    for (limit, most) in [(499, 0), (599, 0), (600, 1), (1500, 10), (1849, 10), (1850, 11)] {
        assert_eq!(of_charge(&graduated, "0", None, limit), Affordable::UpTo(most), "{limit}");
    }
}

#[test]
fn there_is_no_end_where_nothing_more_is_charged() {
    let flat = json!({"model": "flat", "unit": "1"});
    assert_eq!(of_charge(&flat, "0", Some("5"), 499), Affordable::UpTo(4));
    assert_eq!(of_charge(&flat, "0", Some("5"), 500), Affordable::All);
    assert_eq!(of_charge(&json!({"model": "none"}), "9", None, 0), Affordable::All);
    assert_eq!(of_charge(&json!({"model": "flat", "unit": "0"}), "9", None, 0), Affordable::All);
    let [nothing, up_to, all] = [Affordable::Nothing, Affordable::UpTo(7), Affordable::All];
    assert_eq!([nothing.cap(), up_to.cap(), all.cap()], [Some(0), Some(7), None]);
}

#[test]
fn the_fee_and_minimums_of_a_plan_count() {
    let charges = json!([
        {"meter": "events", "cap": null, "minimum": "2", "price": {"model": "flat", "unit": "1"}},
        {"meter": "seats", "cap": null, "price": {"model": "flat", "unit": "10"}}]);
    let plan = plan_of("50", "60", &charges);
    let seats: Usage = [("seats", quantity("1"))].into_iter().collect();
    let of = |limit, scope| affordable(&plan, "events", &seats, eur(limit), scope).unwrap();
    assert_eq!(of(6199, Scope::Plan), Affordable::Nothing);
    assert_eq!(of(6200, Scope::Plan), Affordable::UpTo(2));
    assert_eq!(of(6300, Scope::Plan), Affordable::UpTo(3));
    assert_eq!((of(199, Scope::Charge), of(200, Scope::Charge)), (Affordable::Nothing, Affordable::UpTo(2)));
    assert!(affordable(&plan, "events", &seats, Money::new(1, Currency::USD), Scope::Plan).is_err());
}

#[test]
fn what_is_more_than_money_can_be_is_above_each_limit() {
    let dear = json!({"model": "flat", "unit": "999999999999999"});
    assert_eq!(of_charge(&dear, "0", None, i64::MAX), Affordable::UpTo(92));
    assert_eq!(of_charge(&dear, "0", None, -1), Affordable::Nothing);
}
