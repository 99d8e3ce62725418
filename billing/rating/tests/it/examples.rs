//! Figures of other products, by their public tests and pages. Each is rated here by the same prices.
//!
//! Where weir differs on purpose, both figures are given, and why:
//! * *Tier reached*: others charge the flat amount of the first tier to who uses nothing at all. Here a tier is reached
//!   by the first bit of a quantity in it.
//! * *Maximum*: OpenMeter charges up to a maximum and gives the rest away. Here a spending limit is a cap: the events
//!   beyond it are not accepted. So the figure is the number of events that the maximum pays for.

use rating::{Affordable, Currency, Money, Rated, Scope, Usage, affordable, rate};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::plans::{events, plan};

/// What is used, what they charge, and what weir charges if that differs.
type Row = (&'static str, &'static str, Option<&'static str>);

fn exact(rated: &Rated<'_>) -> Decimal {
    rated.lines.iter().map(|line| line.exact.to_string().parse::<Decimal>().unwrap()).sum()
}

/// Rates each row. Their figures are compared before rounding, since some products do not round.
fn check(source: &str, charge: &Value, rows: &[Row]) {
    // Whole numbers are not asked of a meter of one's own.
    let mut charge = charge.clone();
    charge["meter"] = json!("units");
    charge["cap"] = Value::Null;
    let plan = plan(&json!([charge]));
    for (used, theirs, ours) in rows {
        let usage: Usage = [("units", used.parse().unwrap())].into_iter().collect();
        let rated = rate(&plan, &usage).unwrap();
        let expected: Decimal = ours.unwrap_or(theirs).parse().unwrap();
        assert_eq!(exact(&rated), expected, "{source}: {used}");
        assert!(ours.is_none_or(|ours| ours != *theirs), "{source}: {used} does not differ");
        // All of these are single lines, or whole cents, so the sum is their rounding.
        let rounded =
            expected.round_dp_with_strategy(2, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
        assert_eq!(Decimal::from(rated.subtotal), rounded, "{source}: {used}");
    }
}

fn same(rows: &[(&'static str, &'static str)]) -> Vec<Row> {
    rows.iter().map(|(used, charged)| (*used, *charged, None)).collect()
}

fn tier(up_to: Option<&str>, unit: &str, flat: &str) -> Value {
    json!({"up_to": up_to, "unit": unit, "flat": flat})
}

#[test]
fn lago_standard() {
    let source = "getlago/lago-api: spec/services/charge_models/standard_service_spec.rb";
    check(source, &json!({"price": {"model": "flat", "unit": "5.12345"}}), &same(&[("10", "51.2345")]));
    check(source, &json!({"price": {"model": "flat", "unit": "10"}}), &same(&[("10", "100")]));
    let page = "Lago docs: plans, charges, standard charge model";
    check(page, &json!({"price": {"model": "flat", "unit": "0.05"}}), &same(&[("1000", "50")]));
}

#[test]
fn lago_graduated() {
    let source = "getlago/lago-api: spec/services/charge_models/graduated_service_spec.rb";
    let tiers = [tier(Some("10"), "10", "2"), tier(Some("20"), "5", "3"), tier(None, "5", "3")];
    check(
        source,
        &json!({"price": {"model": "graduated", "tiers": tiers}}),
        &[
            ("0", "2", Some("0")), // Tier reached.
            ("1", "12", None),
            ("10", "102", None),
            ("11", "110", None),
            ("12", "115", None),
            ("21", "163", None),
        ],
    );
    let tiers = [tier(Some("0.1"), "10", "0"), tier(Some("1"), "5", "0"), tier(None, "2", "0")];
    let charge = json!({"price": {"model": "graduated", "tiers": tiers}});
    check(source, &charge, &same(&[("0.05", "0.5"), ("0.5", "3")]));
}

#[test]
fn lago_volume() {
    let source = "getlago/lago-api: spec/services/charge_models/volume_service_spec.rb";
    let tiers = [tier(Some("100"), "2", "10"), tier(Some("200"), "1", "0"), tier(None, "0.5", "50")];
    check(
        source,
        &json!({"price": {"model": "volume", "tiers": tiers}}),
        &[
            ("0", "10", Some("0")), // Tier reached.
            ("1", "12", None),
            ("100", "210", None),
            ("100.5", "100.5", None),
            ("101", "101", None),
            ("200", "200", None),
            ("210", "155", None),
            ("300", "200", None),
        ],
    );
}

#[test]
fn lago_package() {
    let source = "getlago/lago-api: spec/services/charge_models/package_service_spec.rb";
    let price = json!({"model": "package", "size": "10", "amount": "100"});
    let charge = |included: &str| json!({"included": included, "price": price});
    check(source, &charge("0"), &same(&[("121", "1300")]));
    check(source, &charge("10"), &same(&[("121", "1200")]));
    check(source, &charge("200"), &same(&[("121", "0")]));
}

#[test]
fn lago_minimum() {
    let source = "getlago/lago-api: spec/services/fees/create_true_up_service_spec.rb";
    let charge = json!({"minimum": "10", "price": {"model": "flat", "unit": "1"}});
    // 7.00 are used, so 3.00 are added; 15.00 are above the minimum.
    check(source, &charge, &same(&[("7", "10"), ("15", "15")]));
}

#[test]
fn openmeter_unit() {
    let source = "openmeterio/openmeter: openmeter/billing/rating/service/rate/unit_test.go";
    check(source, &json!({"price": {"model": "flat", "unit": "100"}}), &same(&[("0", "0"), ("10", "1000")]));
    let charge = json!({"minimum": "100", "price": {"model": "flat", "unit": "10"}});
    check(source, &charge, &same(&[("0", "100")]));
}

#[test]
fn openmeter_package() {
    let source = "openmeterio/openmeter: openmeter/billing/rating/service/rate/package_test.go";
    let price = json!({"model": "package", "size": "10", "amount": "15"});
    // Packages by their own function: 0, 1, 1, 1 and 2 for 0, 1, 9, 10 and 11. And 17 + 5 begin a third one.
    let rows = [("0", "0"), ("1", "15"), ("5", "15"), ("9", "15"), ("10", "15"), ("11", "30"), ("22", "45")];
    check(source, &json!({"price": price}), &same(&rows));
    check(source, &json!({"minimum": "100", "price": price}), &same(&[("0", "100")]));
}

#[test]
fn openmeter_graduated() {
    let source = "openmeterio/openmeter: openmeter/billing/rating/service/rate/tieredgraduated_test.go";
    let tiers = |third: &str, last: &str| {
        json!([
            tier(Some("5"), "0", "100"),
            tier(Some("10"), "0", "50"),
            tier(Some("15"), third, "0"),
            tier(None, last, "0")
        ])
    };
    let price = json!({"model": "graduated", "tiers": tiers("10", "5")});
    check(
        source,
        &json!({"price": price}),
        &[
            ("0", "100", Some("0")), // Tier reached.
            ("3", "100", None),
            ("5", "100", None),
            ("5.001", "150", None),
            ("7", "150", None),
            ("12", "170", None),
            ("22", "235", None),
        ],
    );
    let charge = json!({"minimum": "1000", "price": {"model": "graduated", "tiers": tiers("5", "1")}});
    check(source, &charge, &same(&[("2", "1000")]));
}

#[test]
fn openmeter_volume() {
    let source = "openmeterio/openmeter: openmeter/billing/rating/service/rate/tieredvolume_test.go";
    let tiers = [
        tier(Some("5"), "0", "100"),
        tier(Some("10"), "0", "150"),
        tier(Some("15"), "10", "0"),
        tier(None, "5", "0"),
    ];
    let price = json!({"model": "volume", "tiers": tiers});
    check(
        source,
        &json!({"price": price}),
        &[
            ("0", "100", Some("0")), // Tier reached.
            ("3", "100", None),
            ("5", "100", None),
            ("14", "140", None),
            ("15", "150", None),
            ("16", "80", None),
            ("100", "500", None),
        ],
    );
    check(source, &json!({"minimum": "150", "price": price}), &same(&[("0", "150"), ("5", "150")]));
    check(source, &json!({"minimum": "100", "price": price}), &same(&[("5", "100"), ("100", "500")]));
    let single = json!({"model": "volume", "tiers": [tier(None, "5", "0")]});
    check(source, &json!({"price": single}), &same(&[("0", "0")]));
}

#[test]
fn openmeter_maximum_is_a_spending_limit() {
    // Of the same four files. Used, their total at that maximum, and the events that weir accepts for it.
    let tiers = |flat: &str, third: &str, last: &str| {
        json!([
            tier(Some("5"), "0", "100"),
            tier(Some("10"), "0", flat),
            tier(Some("15"), third, "0"),
            tier(None, last, "0")
        ])
    };
    for (price, maximum, used, accepted, costs) in [
        (json!({"model": "flat", "unit": "10"}), 100, "12", 10, "100"),
        (json!({"model": "package", "size": "10", "amount": "15"}), 100, "110", 60, "90"),
        (json!({"model": "graduated", "tiers": tiers("50", "5", "1")}), 170, "22", 14, "170"),
        (json!({"model": "volume", "tiers": tiers("150", "10", "5")}), 125, "7", 5, "100"),
    ] {
        let plan = plan(&json!([{"meter": "events", "cap": null, "price": price}]));
        let limit = Money::new(maximum * 100, Currency::EUR);
        assert!(rate(&plan, &events(used)).unwrap().subtotal.minor() > limit.minor());
        let found = affordable(&plan, "events", &Usage::default(), limit, Scope::Charge);
        assert_eq!(found, Ok(Affordable::UpTo(accepted)), "{price}");
        let rated = rate(&plan, &events(&accepted.to_string())).unwrap();
        assert_eq!(exact(&rated), costs.parse().unwrap(), "{price}");
    }
}

#[test]
fn stripe_tiers() {
    let source = "Stripe docs: subscriptions, pricing models, tiered pricing";
    let tiers = json!([tier(Some("5"), "7", "0"), tier(Some("10"), "6.5", "0"), tier(None, "6", "0")]);
    let volume = json!({"price": {"model": "volume", "tiers": tiers}});
    check(source, &volume, &same(&[("1", "7"), ("5", "35"), ("6", "39"), ("20", "120"), ("25", "150")]));
    check(source, &json!({"price": {"model": "graduated", "tiers": tiers}}), &same(&[("5", "35")]));
}

#[test]
fn orb_models() {
    let source = "Orb docs: product catalog, price configuration";
    check(source, &json!({"price": {"model": "flat", "unit": "0.50"}}), &same(&[("1", "0.5")]));
    // Their last tier of bulk prices ends at 1000 units; here the last one is always open.
    let bulk = json!({"model": "volume", "tiers": [tier(Some("10"), "0.50", "0"), tier(None, "0.40", "0")]});
    check(source, &json!({"price": bulk}), &same(&[("10", "5"), ("101", "40.4")]));
    // 4 are billed as 10, and 11 as 20, at 0.80 for 10.
    let package = json!({"model": "package", "size": "10", "amount": "0.80"});
    check(source, &json!({"price": package}), &same(&[("4", "0.8"), ("11", "1.6")]));
}
