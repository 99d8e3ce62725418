use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const PRO: &str = r#"{"name":"Pro","currency":"EUR","interval":"month","fee":"49.00","trial_days":0,"minimum":"0",
    "rate":1000,"retention_days":365,"features":{"sso":true,"audit":false},
    "charges":[{"meter":"events","included":"5000000","cap":null,"price":{"model":"graduated","tiers":[
        {"up_to":"10000000","unit":"0.00001","flat":"0"},{"up_to":null,"unit":"0.000005"}]}}]}"#;

fn read(value: &Value) -> Result<Plan, InvalidPlan> {
    Plan::from_json(value.to_string().as_bytes())
}

/// The problems of the plan above with a value put at a pointer.
fn with(pointer: &str, value: Value) -> Vec<String> {
    let mut plan: Value = serde_json::from_str(PRO).unwrap();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match (plan.pointer_mut(parent).unwrap(), name.parse::<usize>()) {
        (Value::Array(list), Ok(place)) => list[place] = value,
        (within, _) => drop(within.as_object_mut().unwrap().insert(name.to_owned(), value)),
    }
    match read(&plan) {
        Ok(_) => Vec::new(),
        Err(invalid) => invalid.problems.iter().map(ToString::to_string).collect(),
    }
}

/// That the plan with a value at a pointer has this one problem, at the pointer.
fn refused(pointer: &str, value: Value, detail: &str) {
    assert_eq!(with(pointer, value.clone()), [format!("{pointer}: {detail}")], "{value}");
}

#[test]
fn the_form_is_read() {
    let plan = Plan::from_json(PRO.as_bytes()).unwrap();
    assert_eq!((plan.name(), plan.currency(), plan.interval()), ("Pro", Currency::EUR, Interval::Month));
    assert_eq!((plan.fee().to_string(), plan.minimum().is_zero()), ("49.00 EUR".to_owned(), true));
    assert_eq!(
        (plan.trial_days(), plan.events_per_second(), plan.retention_days()),
        (0, Some(1000), Some(365))
    );
    assert_eq!(plan.features().get("sso"), Some(&true));
    let [events] = plan.charges() else { panic!("{plan:?}") };
    assert_eq!((events.meter(), events.included().floor(), events.cap()), ("events", 5_000_000, None));
    let tiers: Vec<String> =
        events.price().tiers().iter().map(|tier| format!("{:?} {}", tier.up_to(), tier.unit())).collect();
    assert_eq!(tiers, ["Some(Quantity(10000000000000)) 0.00001", "None 0.000005"]);
    assert_eq!((plan.charge("events"), plan.charge("seats")), (Some(events), None));
}

#[test]
fn nothing_that_is_said_twice_or_not_known_is_passed_over() {
    let twice = PRO.replace("\"cap\":null", "\"cap\":null,\"cap\":\"9000000\"");
    let problems = Plan::from_json(twice.as_bytes()).unwrap_err().problems;
    assert_eq!(problems[0].to_string(), "/charges/0/cap: is named twice");
    assert_eq!(problems.len(), 1);
    assert!(with("/a~1b", json!(1))[0].starts_with("/a~01b: is not known here: name, currency"));
    assert!(with("/charges/0/price/unit", json!("1"))[0].starts_with("/charges/0/price/unit: is not known"));
    assert!(
        with("/charges/0/price/tiers/0/to", json!("1"))[0]
            .starts_with("/charges/0/price/tiers/0/to: is not known")
    );
    for text in ["", "{", "[]", "null", "{}x", "\u{feff}{}"] {
        assert!(!Plan::from_json(text.as_bytes()).unwrap_err().problems.is_empty(), "{text}");
    }
    let deep = "[".repeat(100_000);
    assert!(Plan::from_json(deep.as_bytes()).unwrap_err().to_string().contains("recursion limit"));
}

#[test]
fn every_problem_is_named_at_once() {
    let plan = json!({
        "name": " ", "currency": "EURO", "interval": "week", "fee": 49, "trial_days": -1, "minimum": "-1",
        "rate": 0, "features": {"SSO": true, "sso": 1, "audit": true}, "more": 1,
        "charges": [
            {"meter": "Events", "included": "1e3", "cap": "x", "price": {"model": "tiered"}},
            {"meter": "events", "included": "10", "cap": "9", "price": {"model": "flat"}},
            {"meter": "events", "cap": null, "price": {"model": "graduated", "tiers": [
                {"up_to": null, "unit": "1"}, {"up_to": "5", "unit": "-1"}]}},
            7
        ]
    });
    let problems = read(&plan).unwrap_err().problems;
    let pointers: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/more",
            "/name",
            "/currency",
            "/interval",
            "/fee",
            "/trial_days",
            "/minimum",
            "/rate",
            "/retention_days",
            "/features/SSO",
            "/features/sso",
            "/charges/0/meter",
            "/charges/0/included",
            "/charges/0/cap",
            "/charges/0/price/model",
            "/charges/1/price/unit",
            "/charges/1/cap",
            "/charges/2/meter",
            "/charges/2/price/tiers/0/up_to",
            "/charges/2/price/tiers/1/up_to",
            "/charges/2/price/tiers/1/unit",
            "/charges/3",
        ]
    );
}

#[test]
fn only_so_many_problems_are_named() {
    let members: serde_json::Map<_, _> = (0..1_000).map(|n| (format!("m{n}"), json!(1))).collect();
    assert_eq!(read(&Value::Object(members)).unwrap_err().problems.len(), PROBLEMS_MAX);
    let twice = format!("{{{}}}", vec!["\"name\":1"; 1_000].join(","));
    assert_eq!(Plan::from_json(twice.as_bytes()).unwrap_err().problems.len(), PROBLEMS_MAX);
}

#[test]
fn values_out_of_range_are_refused_where_they_are() {
    refused("/fee", json!("49.005"), "has at most 2 decimals");
    refused("/fee", json!("-0.01"), "is not negative");
    refused("/rate", json!(1_000_000_001), "is a whole number, 1 to 1000000000");
    refused("/retention_days", json!(6), "is a whole number, 7 to 36500");
    refused("/trial_days", json!(731), "is a whole number, 0 to 730");
    refused("/trial_days", json!(1.5), "is a whole number, 0 to 730");
    refused("/charges/0/included", json!("0.5"), "is a whole number: events are");
    refused("/charges/0/cap", json!("4999999"), "is not below what is included (5000000)");
    refused("/charges/0/price/tiers/0/unit", json!("0.0000000000001"), "has at most 12 decimals");
    refused("/charges/0/price/tiers/0/up_to", json!("0"), "is above the end of the tier before (0)");
    refused("/charges/0/price/tiers/1/up_to", json!("20000000"), "is null in the last tier");
    refused("/charges/0/price/tiers", json!([]), "has at least one tier");
    let package =
        |size: &str| with("/charges/0/price", json!({"model": "package", "size": size, "amount": "1"}));
    assert_eq!(package("0.5"), ["/charges/0/price/size: is a whole number, 1 or more"]);
    assert!(!package("0").is_empty() && package("1").is_empty());
}

#[test]
fn a_quantity_without_a_price_beyond_it_is_its_own_cap() {
    assert!(with("/charges/0/price", json!({"model": "none"})).is_empty());
    let free = |cap: Value| {
        let charge = json!({"meter": "events", "included": "100000", "cap": cap, "price": {"model": "none"}});
        with("/charges/0", charge)
    };
    assert!(free(Value::Null).is_empty() && free(json!("100000")).is_empty());
    assert!(free(json!("100001"))[0].starts_with("/charges/0/cap: is what is included (100000) or null"));
    let plan =
        Plan::from_json(PRO.replace("\"model\":\"graduated\"", "\"model\":\"volume\"").as_bytes()).unwrap();
    assert_eq!(plan.charges()[0].cap(), None);
}

#[test]
fn tiers_go_up() {
    let tiers = |ends: &[Option<u32>]| {
        let tier = |end: &Option<u32>| json!({"up_to": end.map(|end| end.to_string()), "unit": "1"});
        let tiers: Vec<Value> = ends.iter().map(tier).collect();
        with("/charges/0/price/tiers", json!(tiers))
    };
    assert!(tiers(&[None]).is_empty() && tiers(&[Some(1), Some(2), None]).is_empty());
    assert_eq!(
        tiers(&[Some(2), Some(2), None]),
        ["/charges/0/price/tiers/1/up_to: is above the end of the tier before (2)"]
    );
    assert_eq!(
        tiers(&[Some(2), None, None]),
        ["/charges/0/price/tiers/1/up_to: is null in the last tier alone"]
    );
}

#[test]
fn limits_of_size_hold_at_their_ends_and_not_beyond() {
    let name = |bytes| with("/name", json!("x".repeat(bytes))).is_empty();
    assert!(name(limit::NAME_BYTES_MAX) && !name(limit::NAME_BYTES_MAX + 1) && !name(0));
    let charges = |count| {
        let charge =
            |n| json!({"meter": format!("m{n}"), "cap": null, "price": {"model": "flat", "unit": "1"}});
        with("/charges", (0..count).map(charge).collect()).is_empty()
    };
    assert!(charges(0) && charges(limit::CHARGES_MAX) && !charges(limit::CHARGES_MAX + 1));
    let tiers = |count: usize| {
        let end = |n: usize| (n + 1 < count).then(|| (n + 1).to_string());
        let tiers: Vec<Value> = (0..count).map(|n| json!({"up_to": end(n), "unit": "1"})).collect();
        with("/charges/0/price/tiers", json!(tiers)).is_empty()
    };
    assert!(tiers(limit::TIERS_MAX) && !tiers(limit::TIERS_MAX + 1));
    let features = |count| {
        let features: serde_json::Map<_, _> = (0..count).map(|n| (format!("f{n}"), json!(true))).collect();
        with("/features", Value::Object(features)).is_empty()
    };
    assert!(features(limit::FEATURES_MAX) && !features(limit::FEATURES_MAX + 1));
    let word = |text: &str| with("/charges/0/meter", json!(text)).is_empty();
    assert!(word(&"m".repeat(64)) && !word(&"m".repeat(65)) && word("m_1") && !word("1m") && !word(""));
}

#[test]
fn two_meters_do_not_share_a_charge_and_one_has_no_two() {
    let charge = |meter| json!({"meter": meter, "cap": null, "price": {"model": "flat", "unit": "1"}});
    assert!(with("/charges", json!([charge("events"), charge("seats")])).is_empty());
    let twice = with("/charges", json!([charge("seats"), charge("seats")]));
    assert_eq!(twice, ["/charges/1/meter: has another charge already"]);
}

#[test]
fn the_canonical_form_and_the_hash_are_fixed() {
    let plan = Plan::from_json(PRO.as_bytes()).unwrap();
    let canonical = r#"{"name":"Pro","currency":"EUR","interval":"month","fee":"49.00","trial_days":0,"minimum":"0.00","rate":1000,"retention_days":365,"features":{"audit":false,"sso":true},"charges":[{"meter":"events","included":"5000000","cap":null,"minimum":"0.00","price":{"model":"graduated","tiers":[{"up_to":"10000000","unit":"0.00001","flat":"0"},{"up_to":null,"unit":"0.000005","flat":"0"}]}}]}"#;
    assert_eq!(plan.canonical(), canonical);
    assert_eq!(plan.hash().to_string(), "f23050e7ba5fda672b50a4262e9cdfdbf709a149b8b70e5fcceaac7b4c239d77");
}

#[test]
fn spellings_of_a_plan_have_one_hash_and_each_change_another() {
    let plan = Plan::from_json(PRO.as_bytes()).unwrap();
    let same = PRO
        .replace("\"49.00\"", "\"49\"")
        .replace("\"0.00001\"", "\"0.0000100\"")
        .replace("\"trial_days\":0,", "")
        .replace("{\"sso\":true,\"audit\":false}", "{\"audit\":false,\"sso\":true}");
    assert_ne!(same, PRO);
    assert_eq!(Plan::from_json(same.as_bytes()).unwrap().hash(), plan.hash());
    for (from, to) in [
        ("Pro", "Prq"),
        ("EUR", "USD"),
        ("month", "year"),
        ("49.00", "49.01"),
        ("\"trial_days\":0", "\"trial_days\":1"),
        ("\"minimum\":\"0\"", "\"minimum\":\"1\""),
        ("1000,", "1001,"),
        ("365", "null"),
        ("true", "false"),
        ("5000000", "5000001"),
        ("\"cap\":null", "\"cap\":\"6000000\""),
        ("0.00001", "0.000011"),
        ("graduated", "volume"),
        ("\"flat\":\"0\"", "\"flat\":\"1\""),
    ] {
        let other = PRO.replacen(from, to, 1);
        assert_ne!(Plan::from_json(other.as_bytes()).unwrap().hash(), plan.hash(), "{from} {to}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in 0..500_usize,
        cut in any::<u8>(),
    ) {
        let _ = Plan::from_json(&bytes);
        let mut damaged = PRO.as_bytes().to_vec();
        let place = at % damaged.len();
        damaged[place] = cut;
        if let Ok(plan) = Plan::from_json(&damaged) {
            prop_assert_eq!(Plan::from_json(plan.canonical().as_bytes()).unwrap(), plan);
        }
    }
}
