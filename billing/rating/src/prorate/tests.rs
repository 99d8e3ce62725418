use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;

use super::*;
use crate::currency::Currency;

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

fn seconds(start: i64, end: i64) -> Period {
    Period { start: Micros(start * Micros::SECOND), end: Micros(end * Micros::SECOND) }
}

#[test]
fn a_second_counts_once_it_is_over() {
    let period = seconds(100, 200);
    let due = |micros| due_before(eur(100), period, Micros(micros)).minor();
    assert_eq!([due(0), due(100_000_000), due(100_999_999), due(101_000_000)], [0, 0, 0, 1]);
    assert_eq!([due(199_999_999), due(200_000_000), due(i64::MAX), due(i64::MIN)], [99, 100, 100, 0]);
}

#[test]
fn the_ends_of_an_upgrade() {
    let (old, new, period) = (eur(1000), eur(2000), seconds(0, 100));
    let at = |second| change(old, new, period, Micros(second * Micros::SECOND)).unwrap();
    assert_eq!(at(0), Change { unused: eur(-1000), rest: eur(2000), due: eur(1000) });
    assert_eq!(at(50), Change { unused: eur(-500), rest: eur(1000), due: eur(500) });
    assert_eq!(at(100), Change { unused: eur(0), rest: eur(0), due: eur(0) });
    assert!(change(old, Money::new(1, Currency::USD), period, period.start).is_err());
    assert_eq!(change(eur(i64::MIN), eur(0), period, period.start), Err(MoneyError::Overflow));
}

#[test]
fn an_empty_period_is_over_at_once() {
    assert_eq!(due_before(eur(7), seconds(5, 5), Micros(0)), eur(7));
    assert_eq!(due_from(eur(7), seconds(9, 5), Micros(0)), eur(0));
}

proptest! {
    #[test]
    fn what_is_due_is_the_fraction_rounded_half_away_from_zero(
        minor in any::<i64>(),
        start in -4_000_000_000..8_000_000_000_i64,
        length in 1..40_000_000_i64,
        share in 0..=1_000_000_i64,
    ) {
        let at = start + length * share / 1_000_000;
        let due = due_before(eur(minor), seconds(start, start + length), Micros(at * Micros::SECOND));
        let exact = BigRational::new(BigInt::from(minor) * (at - start), BigInt::from(length));
        // num-rational rounds half away from zero, by its own arithmetic.
        prop_assert_eq!(BigInt::from(due.minor()), exact.round().to_integer());
    }

    #[test]
    fn parts_add_up_and_do_not_change_when_a_cut_comes_after_them(
        minor in any::<i64>(),
        length in 1..40_000_000_i64,
        mut cuts in prop::collection::vec(-10..40_000_100_i64, 0..12),
    ) {
        cuts.sort_unstable();
        let cuts: Vec<Micros> = cuts.into_iter().map(|cut| Micros(cut * Micros::SECOND)).collect();
        let period = seconds(0, length);
        let all = parts(eur(minor), period, &cuts);
        let sum: i128 = all.iter().map(|part| i128::from(part.minor())).sum();
        prop_assert_eq!((sum, all.len()), (i128::from(minor), cuts.len() + 1));
        for part in &all {
            prop_assert!(part.is_zero() || (part.minor() < 0) == (minor < 0));
        }
        for count in 0..cuts.len() {
            let fewer = parts(eur(minor), period, &cuts[..count]);
            prop_assert_eq!(&fewer[..count], &all[..count]);
        }
    }

    #[test]
    fn an_upgrade_costs_the_difference_and_never_less_than_nothing(
        old in 0..1_000_000_000_000_i64,
        more in 0..1_000_000_000_000_i64,
        length in 1..40_000_000_i64,
        at in 0..40_000_000_i64,
    ) {
        let change = change(eur(old), eur(old + more), seconds(0, length), Micros(at * Micros::SECOND)).unwrap();
        prop_assert_eq!(change.due, change.unused.plus(change.rest).unwrap());
        prop_assert!(change.due.minor() >= 0 && change.unused.minor() <= 0);
        let exact = BigRational::new(BigInt::from(more) * (length - at.min(length)), BigInt::from(length));
        let off = BigRational::from_integer(change.due.minor().into()) - exact;
        // Two roundings of at most a half each.
        prop_assert!(off.numer().magnitude() <= off.denom().magnitude());
    }
}
