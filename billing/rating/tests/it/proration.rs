//! Figures of other products for parts of periods, by their public tests and pages.
//!
//! Where weir differs on purpose, both figures are given, and why: others count days, and a day that has begun is a
//! whole one. Here each second counts, and a period ends where the next one begins.

use chrono::DateTime;
use chrono_tz::Tz;
use rating::prorate::{Change, change, due_from, parts};
use rating::{Anchor, Currency, Interval, Money, Period};
use schemas::time::Micros;

fn at(text: &str) -> Micros {
    Micros(DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros())
}

fn day(date: &str) -> Micros {
    at(&format!("{date}T00:00:00Z"))
}

fn days(from: &str, to: &str) -> Period {
    Period { start: day(from), end: day(to) }
}

fn cents(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

/// Cents, the period, from when on it is paid for, what they charge, and what weir charges if that differs.
type Row = (i64, Period, &'static str, i64, Option<i64>);

fn check(source: &str, rows: &[Row]) {
    for (fee, period, from, theirs, ours) in rows {
        let due = due_from(cents(*fee), *period, at(from)).minor();
        assert_eq!(due, ours.unwrap_or(*theirs), "{source}: {fee} from {from}");
        assert_ne!(Some(*theirs), *ours, "{source}: {fee} from {from} does not differ");
    }
}

#[test]
fn lago_trials_and_starts() {
    let march = days("2022-03-01", "2022-04-01");
    let (week, january) = (days("2022-06-20", "2022-06-27"), days("2024-01-01", "2024-02-01"));
    check(
        "getlago/lago-api: spec/services/fees/subscription_service_spec.rb",
        &[
            (100, march, "2022-03-01T00:00:00Z", 100, None),
            // A trial of 3 days, then one of 45: it ends behind the period.
            (100, march, "2022-03-04T00:00:00Z", 90, None),
            (100, march, "2022-04-15T00:00:00Z", 0, None),
            // It began on the 15th; and with a trial of 3 days.
            (100, march, "2022-03-15T00:00:00Z", 55, None),
            (100, march, "2022-03-18T00:00:00Z", 45, None),
            // Weeks: from Monday, after a trial of 3 days, from Wednesday, and after a trial of 3 days.
            (100, week, "2022-06-20T00:00:00Z", 100, None),
            (100, week, "2022-06-23T00:00:00Z", 57, None),
            (100, week, "2022-06-22T00:00:00Z", 71, None),
            (100, week, "2022-06-25T00:00:00Z", 29, None),
            (100, week, "2022-06-30T00:00:00Z", 0, None),
        ],
    );
    // They have a coefficient of 0.5483870967741935, which is 17 days of 31.
    let source = "getlago/lago-api: spec/services/commitments/calculate_prorated_coefficient_service_spec.rb";
    check(
        source,
        &[
            (10_000_000_000_000_000, january, "2024-01-15T00:00:00Z", 5_483_870_967_741_935, None),
            (100, january, "2024-01-01T00:00:00Z", 100, None),
        ],
    );
}

#[test]
fn lago_counts_both_ends_of_a_period_from_an_anniversary() {
    // From 31 August on, with a trial of 15 days, they charge 16 of 30 days: 15 to 30 September, both with it. The
    // period ends where the next one begins, on the 30th.
    let anchor = Anchor::at(day("2022-08-31"), Tz::UTC, Interval::Month).unwrap();
    let period = anchor.period(0, Tz::UTC).unwrap();
    assert_eq!(period, days("2022-08-31", "2022-09-30"));
    let source = "getlago/lago-api: spec/services/fees/subscription_service_spec.rb, anniversary";
    check(source, &[(3000, period, "2022-09-15T00:00:00Z", 1600, Some(1500))]);
}

#[test]
fn lago_counts_a_day_that_has_begun() {
    // 910.00 for the quarter from 15 April on, which has 91 days. They count 20 May and 20 June as whole days, 32 in
    // all. Here 10:00 to 10:00 is 31 days.
    let quarter = days("2024-04-15", "2024-07-15");
    let (from, to) = (at("2024-05-20T10:00:00Z"), at("2024-06-20T10:00:00Z"));
    let used = parts(cents(91_000), quarter, &[from, to]);
    assert_eq!(
        used[1].minor(),
        31_000,
        "getlago/lago-api: spec/scenarios/subscriptions/upgrade_proration_spec.rb: 32000"
    );
    // With whole days the figures agree.
    assert_eq!(parts(cents(91_000), quarter, &[day("2024-05-20"), day("2024-06-21")])[1].minor(), 32_000);
}

#[test]
fn lago_a_seat_for_22_days_of_30() {
    let june = days("2023-06-01", "2023-07-01");
    // Their page counts 22 days from 10 June on. By the clock 21 are left then, and 22 a day earlier.
    check(
        "Lago docs: plans, charges, prorated vs full",
        &[
            (1000, june, "2023-06-09T00:00:00Z", 733, None),
            (1000, june, "2023-06-10T00:00:00Z", 733, Some(700)),
        ],
    );
}

#[test]
fn stripe_halfway_from_10_to_20() {
    // Stripe docs: billing, subscriptions, prorations. -5.00 for the unused half, 10.00 for the rest, 5.00 in all.
    let june = days("2025-06-01", "2025-07-01");
    let halfway = Change { unused: cents(-500), rest: cents(1000), due: cents(500) };
    assert_eq!(change(cents(1000), cents(2000), june, day("2025-06-16")), Ok(halfway));
    // A second later: 10.00 / 2,592,000 s is not a cent. 1,300 s are half a cent of 10.00, and a cent of 20.00.
    assert_eq!(change(cents(1000), cents(2000), june, at("2025-06-16T00:00:01Z")), Ok(halfway));
    let later = change(cents(1000), cents(2000), june, at("2025-06-16T00:21:36Z")).unwrap();
    assert_eq!((later.unused.minor(), later.rest.minor(), later.due.minor()), (-499, 999, 500));
}
