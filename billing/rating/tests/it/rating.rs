//! Lines and sums, against the slow oracle.

use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;
use rating::{Kind, MoneyError, Plan, Quantity, Rated, Usage, rate};
use serde_json::json;

use crate::plans::{any_plan, events, made, plan, plan_of, quantity};
use crate::slow::{BITS, plan_cents};

fn usage(plan: &Plan, bits: &[u64]) -> Usage {
    let quantity = |bits: u64| format!("{}.{:0>2}", bits / BITS, bits % BITS * 25);
    let charges = plan.charges().iter().zip(bits);
    charges.map(|(charge, bits)| (charge.meter(), quantity(*bits).parse().unwrap())).collect()
}

fn fraction(text: &str) -> BigRational {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits: BigInt = format!("{whole}{decimals}").parse().unwrap();
    BigRational::new(digits, BigInt::from(10).pow(u32::try_from(decimals.len()).unwrap()))
}

/// What holds for each rated period, whatever the plan.
fn check(rated: &Rated<'_>, usage: &Usage) {
    let sum: i64 = rated.lines.iter().map(|line| line.amount.minor()).sum();
    assert_eq!(rated.subtotal.minor(), sum, "the sum of the lines is the subtotal");
    for line in &rated.lines {
        let exact = fraction(&line.quantity.to_string()) * fraction(&line.unit.to_string());
        assert_eq!(fraction(&line.exact.to_string()), exact, "{line:?}");
        let cents = (exact * BigInt::from(100)).round().to_integer();
        assert_eq!(BigInt::from(line.amount.minor()), cents, "{line:?}");
        assert!(line.quantity > Quantity::ZERO && line.amount.minor() >= 0, "{line:?}");
    }
    for charge in rated.plan.charges() {
        let of_charge = || rated.lines.iter().filter(|line| line.meter == Some(charge.meter()));
        let is_usage = |kind| matches!(kind, Kind::Included | Kind::Units | Kind::Tier(_) | Kind::BeyondCap);
        let counted: BigRational = of_charge()
            .filter(|line| is_usage(line.kind))
            .map(|line| fraction(&line.quantity.to_string()))
            .sum();
        let packed: BigRational = of_charge()
            .filter_map(|line| {
                let Kind::Packages(size) = line.kind else { return None };
                Some(fraction(&line.quantity.to_string()) * fraction(&size.to_string()))
            })
            .sum();
        let is = fraction(&usage.of(charge.meter()).to_string());
        if packed == BigRational::from_integer(0.into()) {
            assert_eq!(counted, is, "{rated:?}");
        } else {
            assert!(counted < is && counted + packed >= is, "{rated:?}");
        }
        let total = rated.of_meter(charge.meter()).unwrap();
        assert!(total.minor() >= charge.minimum().minor(), "{rated:?}");
    }
    assert!(rated.subtotal.minor() >= rated.plan.minimum().minor().max(rated.plan.fee().minor()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_period_costs_what_each_bit_of_it_costs(said in any_plan(), bits in prop::array::uniform3(0..240_u64)) {
        let plan = made(&said);
        let usage = usage(&plan, &bits);
        let rated = rate(&plan, &usage).unwrap();
        prop_assert_eq!(BigInt::from(rated.subtotal.minor()), plan_cents(&said, &bits), "{:?}", rated);
        check(&rated, &usage);
    }

    #[test]
    fn usage_of_any_size_is_rated_exactly_or_too_large(
        said in any_plan(),
        counted in prop::array::uniform3(-1_000_000_000_000_000_000_000_i128..=1_000_000_000_000_000_000_000),
    ) {
        let plan = made(&said);
        let text = |millionths: i128| {
            let sign = if millionths < 0 { "-" } else { "" };
            let millionths = millionths.unsigned_abs();
            format!("{sign}{}.{:0>6}", millionths / 1_000_000, millionths % 1_000_000)
        };
        let charges = plan.charges().iter().zip(counted);
        let usage: Usage =
            charges.clone().map(|(charge, counted)| (charge.meter(), quantity(&text(counted)))).collect();
        match rate(&plan, &usage) {
            Ok(rated) => {
                let positive: Usage =
                    charges.map(|(charge, counted)| (charge.meter(), quantity(&text(counted.max(0))))).collect();
                check(&rated, &positive);
                prop_assert_eq!(rate(&plan, &positive).unwrap(), rated);
            }
            Err(error) => prop_assert_eq!(error, MoneyError::Overflow),
        }
    }
}

#[test]
fn each_line_says_what_it_is_for() {
    let tiers = json!([{"up_to": "50", "unit": "0.1", "flat": "1"}, {"up_to": null, "unit": "0.05"}]);
    let graduated = json!({"model": "graduated", "tiers": tiers});
    let charges = json!([
        {"meter": "events", "included": "100", "cap": "1000", "minimum": "20", "price": graduated},
        {"meter": "seats", "cap": null, "price": {"model": "package", "size": "5", "amount": "3"}},
    ]);
    let plan = plan_of("10", "100", &charges);
    let usage: Usage = [("events", quantity("1200")), ("seats", quantity("5.5")), ("other", quantity("9"))]
        .into_iter()
        .collect();
    let rated = rate(&plan, &usage).unwrap();
    let lines: Vec<String> = rated
        .lines
        .iter()
        .map(|line| format!("{} | {} x {} = {}", line.description(), line.quantity, line.unit, line.amount))
        .collect();
    assert_eq!(
        lines,
        [
            "fee for a month | 1 x 10.00 = 10.00 EUR",
            "events, included | 100 x 0 = 0.00 EUR",
            "events, tier 1 | 50 x 0.1 = 5.00 EUR",
            "events, tier 1 reached | 1 x 1 = 1.00 EUR",
            "events, tier 2 | 850 x 0.05 = 42.50 EUR",
            "events, beyond the cap | 200 x 0 = 0.00 EUR",
            "seats, packages of 5 | 2 x 3 = 6.00 EUR",
            "up to the minimum | 1 x 35.50 = 35.50 EUR",
        ]
    );
    let unused = rate(&plan, &Usage::default()).unwrap();
    let lines: Vec<String> = unused.lines.iter().map(|line| line.description()).collect();
    assert_eq!(lines, ["fee for a month", "events, up to the minimum", "up to the minimum"]);
    assert_eq!(unused.subtotal.to_string(), "100.00 EUR");
}

#[test]
fn a_negative_sum_costs_nothing_and_pays_nothing_back() {
    let plan = plan(&json!([{"meter": "bytes", "cap": null, "price": {"model": "flat", "unit": "2"}}]));
    let usage: Usage = [("bytes", quantity("-5"))].into_iter().collect();
    let rated = rate(&plan, &usage).unwrap();
    assert!(rated.lines.is_empty() && rated.subtotal.is_zero());
}

#[test]
fn each_line_is_rounded_once_and_the_sum_is_not() {
    let tier = |up_to: Option<&str>| json!({"up_to": up_to, "unit": "0.004"});
    let tiers = json!([tier(Some("1")), tier(Some("2")), tier(None)]);
    let price = json!({"model": "graduated", "tiers": tiers});
    let plan = plan(&json!([{"meter": "events", "cap": null, "price": price}]));
    // Three lines of 0.004 are three times nothing; one line of 3 at 0.004 is a cent.
    assert_eq!(rate(&plan, &events("3")).unwrap().subtotal.minor(), 0);
    assert_eq!(rate(&plan, &events("4")).unwrap().subtotal.minor(), 1);
}

#[test]
fn the_last_amount_that_money_holds_is_rated_and_the_next_is_too_large() {
    let price = |unit: &str| json!({"model": "flat", "unit": unit});
    let charge = |meter: &str, unit: &str| json!({"meter": meter, "cap": null, "price": price(unit)});
    let plan = plan(&json!([charge("bytes", "92233720368547.7"), charge("seats", "0.01")]));
    let rated = |bytes: &str, seats: &str| {
        let usage: Usage = [("bytes", quantity(bytes)), ("seats", quantity(seats))].into_iter().collect();
        rate(&plan, &usage).map(|rated| rated.subtotal.minor())
    };
    assert_eq!(rated("1000", "5807"), Ok(i64::MAX));
    assert_eq!(rated("1000", "5808"), Err(MoneyError::Overflow));
    assert_eq!(rated("1001", "0"), Err(MoneyError::Overflow));
}
