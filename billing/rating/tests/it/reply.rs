//! The reply of `POST /v1/operator/rating`.

use rating::{Plan, Usage, rate};

const PLAN: &str = r#"{"name":"Pro","currency":"EUR","interval":"month","fee":"49.00","trial_days":0,"minimum":"0",
    "rate":1000,"retention_days":365,"features":{},
    "charges":[{"meter":"events","included":"5000000","cap":null,"price":{"model":"graduated","tiers":[
        {"up_to":"10000000","unit":"0.00001","flat":"0"},{"up_to":null,"unit":"0.000005"}]}}]}"#;

#[test]
fn its_form_is_fixed() {
    let plan = Plan::from_json(PLAN.as_bytes()).unwrap();
    let usage: Usage = serde_json::from_str(r#"{"events":"12345678"}"#).unwrap();
    let reply = serde_json::to_string(&rate(&plan, &usage).unwrap()).unwrap();
    let lines = [
        r#"{"meter":null,"description":"fee for a month","tier":null,"quantity":"1","unit":"49.00","exact":"49","amount":"49.00"}"#,
        r#"{"meter":"events","description":"events, included","tier":null,"quantity":"5000000","unit":"0","exact":"0","amount":"0.00"}"#,
        r#"{"meter":"events","description":"events, tier 1","tier":1,"quantity":"7345678","unit":"0.00001","exact":"73.45678","amount":"73.46"}"#,
    ];
    assert_eq!(reply, format!(r#"{{"currency":"EUR","lines":[{}],"subtotal":"122.46"}}"#, lines.join(",")));
}

#[test]
fn usage_is_text_and_within_limits() {
    for bad in
        [r#"{"events":5}"#, r#"{"events":"1e5"}"#, r#"{"events":"0.0000001"}"#, r#"[]"#, r#"{"events":null}"#]
    {
        assert!(serde_json::from_str::<Usage>(bad).is_err(), "{bad}");
    }
    let usage: Usage = serde_json::from_str(r#"{"b":"-1.5","a":"2"}"#).unwrap();
    assert_eq!(usage.meters().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((usage.of("b").to_string(), usage.of("c").to_string()), ("-1.5".to_owned(), "0".to_owned()));
}
