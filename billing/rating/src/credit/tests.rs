use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

fn grant(id: i64, minor: i64, expires: Option<i64>, priority: i32) -> Grant {
    Grant { id, amount: eur(minor), expires: expires.map(Micros), priority }
}

fn book(grants: &[Grant]) -> Book {
    let mut book = Book::new(Currency::EUR);
    grants.iter().for_each(|grant| book.grant(*grant).unwrap());
    book
}

fn short(taken: Vec<Taken>) -> Vec<(i64, i64)> {
    taken.into_iter().map(|taken| (taken.grant, taken.amount.minor())).collect()
}

#[test]
fn what_expires_first_goes_first_then_priority_then_id() {
    let mut book = book(&[
        grant(1, 10, None, 0),
        grant(2, 10, Some(90), 2),
        grant(3, 10, Some(90), 1),
        grant(4, 10, Some(80), 9),
        grant(5, 10, Some(90), 1),
    ]);
    assert_eq!(short(book.apply(eur(35), Micros(0)).unwrap()), [(4, 10), (3, 10), (5, 10), (2, 5)]);
    assert_eq!(short(book.apply(eur(100), Micros(0)).unwrap()), [(2, 5), (1, 10)]);
    assert!(book.apply(eur(1), Micros(0)).unwrap().is_empty());
}

#[test]
fn a_grant_is_good_up_to_the_instant_at_which_it_expires() {
    let mut book = book(&[grant(1, 10, Some(50), 0)]);
    assert_eq!(short(book.apply(eur(3), Micros(49)).unwrap()), [(1, 3)]);
    assert!(book.apply(eur(3), Micros(50)).unwrap().is_empty());
    assert!(book.expire(Micros(49)).unwrap().is_empty());
    assert_eq!(short(book.expire(Micros(50)).unwrap()), [(1, 7)]);
    assert!(book.expire(Micros(51)).unwrap().is_empty());
    let balance = Balance { granted: eur(10), applied: eur(3), expired: eur(7), left: eur(0) };
    assert_eq!(book.balance(), Ok(balance));
    assert_eq!(book.grants().map(|(grant, balance)| (grant.id, balance)).collect::<Vec<_>>(), [(1, balance)]);
}

#[test]
fn what_is_no_grant_is_refused() {
    let mut book = book(&[grant(1, i64::MAX - 1, None, 0)]);
    assert_eq!(book.grant(grant(1, 1, None, 0)), Err(CreditError::Twice(1)));
    assert_eq!(book.grant(grant(2, 0, None, 0)), Err(CreditError::Amount));
    assert_eq!(book.grant(grant(2, -1, None, 0)), Err(CreditError::Amount));
    assert_eq!(book.grant(grant(2, 2, None, 0)), Err(CreditError::Money(MoneyError::Overflow)));
    assert_eq!(book.grant(grant(2, 1, None, 0)), Ok(()));
    let dollar = Money::new(1, Currency::USD);
    assert!(book.grant(Grant { id: 3, amount: dollar, expires: None, priority: 0 }).is_err());
    assert!(book.apply(dollar, Micros(0)).is_err());
    assert_eq!(book.apply(eur(-1), Micros(0)), Err(CreditError::Amount));
}

#[derive(Debug, Clone)]
enum Step {
    Grant(i64, Option<i64>, i32),
    Apply(i64, i64),
    Expire(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..50_i64, prop::option::of(0..100_i64), 0..3)
            .prop_map(|(minor, end, priority)| Step::Grant(minor, end, priority)),
        (0..80_i64, 0..100_i64).prop_map(|(due, at)| Step::Apply(due, at)),
        (0..110_i64).prop_map(Step::Expire),
    ]
}

proptest! {
    /// The oracle holds each cent by itself, and looks for the next one to spend among all of them.
    #[test]
    fn every_cent_is_where_the_book_says(steps in prop::collection::vec(step(), 1..40)) {
        let mut book = Book::new(Currency::EUR);
        let mut cents: Vec<(i64, i32, i64)> = Vec::new();
        let mut sums = BTreeMap::from([("granted", 0), ("applied", 0), ("expired", 0)]);
        for (id, step) in (1..).zip(steps) {
            match step {
                Step::Grant(minor, end, priority) => {
                    book.grant(grant(id, minor, end, priority)).unwrap();
                    cents.extend((0..minor).map(|_| (end.unwrap_or(i64::MAX), priority, id)));
                    *sums.get_mut("granted").unwrap() += minor;
                }
                Step::Apply(due, at) => {
                    let taken = short(book.apply(eur(due), Micros(at)).unwrap());
                    let mut expected: Vec<(i64, i64)> = Vec::new();
                    for _ in 0..due {
                        let good = cents.iter().enumerate().filter(|(_, cent)| cent.0 > at);
                        let next = good.min_by_key(|(_, cent)| **cent);
                        let Some((place, cent)) = next.map(|(place, cent)| (place, *cent)) else { break };
                        cents.swap_remove(place);
                        *sums.get_mut("applied").unwrap() += 1;
                        match expected.last_mut() {
                            Some(last) if last.0 == cent.2 => last.1 += 1,
                            _ => expected.push((cent.2, 1)),
                        }
                    }
                    prop_assert_eq!(taken, expected);
                }
                Step::Expire(at) => {
                    let taken: i64 = short(book.expire(Micros(at)).unwrap()).iter().map(|taken| taken.1).sum();
                    let before = cents.len();
                    cents.retain(|cent| cent.0 > at);
                    prop_assert_eq!(taken, i64::try_from(before - cents.len()).unwrap());
                    *sums.get_mut("expired").unwrap() += taken;
                }
            }
            let balance = book.balance().unwrap();
            let left = i64::try_from(cents.len()).unwrap();
            prop_assert_eq!(balance, Balance {
                granted: eur(sums["granted"]),
                applied: eur(sums["applied"]),
                expired: eur(sums["expired"]),
                left: eur(left),
            });
            for (grant, balance) in book.grants().chain([(grant(0, 1, None, 0), balance)]) {
                let explained = balance.applied.minor() + balance.expired.minor() + balance.left.minor();
                prop_assert_eq!(balance.granted.minor(), explained, "{:?}", grant);
            }
        }
    }
}
