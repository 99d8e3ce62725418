use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;

use super::*;

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

#[test]
fn json_says_all_decimals_of_the_currency() {
    for (money, json) in [
        (eur(1234), r#"{"amount":"12.34","currency":"EUR"}"#),
        (eur(-5), r#"{"amount":"-0.05","currency":"EUR"}"#),
        (eur(0), r#"{"amount":"0.00","currency":"EUR"}"#),
        (Money::new(7, Currency::of("JPY").unwrap()), r#"{"amount":"7","currency":"JPY"}"#),
        (
            Money::new(i64::MIN, Currency::of("KWD").unwrap()),
            r#"{"amount":"-9223372036854775.808","currency":"KWD"}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&money).unwrap(), json);
        assert_eq!(serde_json::from_str::<Money>(json).unwrap(), money);
    }
}

#[test]
fn what_is_no_money_is_refused() {
    for json in [
        r#"{"amount":12.34,"currency":"EUR"}"#,
        r#"{"amount":"12.345","currency":"EUR"}"#,
        r#"{"amount":"12.34","currency":"EURO"}"#,
        r#"{"amount":"12.34","currency":"EUR","more":1}"#,
        r#"{"amount":"92233720368547758.08","currency":"EUR"}"#,
        r#"{"amount":"1e2","currency":"EUR"}"#,
    ] {
        assert!(serde_json::from_str::<Money>(json).is_err(), "{json}");
    }
    assert!(Money::read("92233720368547758.07", Currency::EUR).is_ok());
    assert_eq!(Money::read("12.3400", Currency::EUR), Ok(eur(1234)));
}

#[test]
fn sums_that_do_not_fit_and_mixed_currencies_are_errors() {
    let dollar = Money::new(1, Currency::USD);
    assert_eq!(eur(i64::MAX).plus(eur(1)), Err(MoneyError::Overflow));
    assert_eq!(eur(i64::MIN).minus(eur(1)), Err(MoneyError::Overflow));
    assert_eq!(eur(1).plus(dollar), Err(MoneyError::Currencies(Currency::EUR, Currency::USD)));
    assert!(eur(1).minus(dollar).is_err() && eur(1).is_below(dollar).is_err());
    assert_eq!(Money::sum([], Currency::USD), Ok(Money::zero(Currency::USD)));
}

#[test]
fn what_is_left_goes_to_the_largest_rest_and_then_to_the_first() {
    let minor = |parts: Vec<Money>| parts.into_iter().map(Money::minor).collect::<Vec<_>>();
    assert_eq!(eur(100).allocate(&[1, 1, 1]).map(minor), Ok(vec![34, 33, 33]));
    assert_eq!(eur(-100).allocate(&[1, 1, 1]).map(minor), Ok(vec![-34, -33, -33]));
    assert_eq!(eur(5).allocate(&[0, 3, 7, 0]).map(minor), Ok(vec![0, 2, 3, 0]));
    assert_eq!(eur(10).allocate(&[1, 6]).map(minor), Ok(vec![1, 9]));
    assert_eq!(eur(i64::MIN).allocate(&[u64::MAX]).map(minor), Ok(vec![i64::MIN]));
    assert_eq!(eur(5).allocate(&[]), Err(MoneyError::NoParts));
    assert_eq!(eur(5).allocate(&[0, 0]), Err(MoneyError::NoParts));
}

proptest! {
    #[test]
    fn no_minor_unit_is_lost_and_no_part_is_a_unit_off(
        minor in any::<i64>(),
        weights in prop::collection::vec(prop_oneof![Just(0), 0..10_u64, any::<u64>()], 1..20),
    ) {
        let whole = eur(minor);
        let Ok(parts) = whole.allocate(&weights) else {
            prop_assert!(weights.iter().all(|weight| *weight == 0));
            return Ok(());
        };
        let sum: i128 = parts.iter().map(|part| i128::from(part.minor())).sum();
        prop_assert_eq!(sum, i128::from(minor));
        let total: BigInt = weights.iter().map(|weight| BigInt::from(*weight)).sum();
        for (part, weight) in parts.iter().zip(&weights) {
            let ideal = BigRational::new(BigInt::from(minor) * BigInt::from(*weight), total.clone());
            let off = BigRational::from_integer(part.minor().into()) - ideal;
            prop_assert!(off < BigRational::from_integer(1.into()) && off > BigRational::from_integer((-1).into()));
            prop_assert!(*weight > 0 || part.is_zero());
        }
    }

    #[test]
    fn what_is_written_is_read_again(minor in any::<i64>(), of in any::<prop::sample::Index>()) {
        let currencies: Vec<Currency> = Currency::all().collect();
        let money = Money::new(minor, *of.get(&currencies));
        prop_assert_eq!(serde_json::from_str::<Money>(&serde_json::to_string(&money).unwrap()).unwrap(), money);
    }
}
