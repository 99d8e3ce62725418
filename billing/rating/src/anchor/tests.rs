use chrono::{DateTime, NaiveDate};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Micros {
    Micros(DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros())
}

fn text(at: Micros, zone: Tz) -> String {
    DateTime::from_timestamp_micros(at.0).unwrap().with_timezone(&zone).to_rfc3339()
}

fn boundaries(anchor: &str, zone: Tz, interval: Interval, numbers: &[i32]) -> Vec<String> {
    let anchor = Anchor::at(at(anchor), zone, interval).unwrap();
    numbers.iter().map(|n| text(anchor.boundary(*n, zone).unwrap(), zone)).collect()
}

#[test]
fn months_are_counted_from_the_anchor_and_not_from_the_one_before() {
    let found = boundaries("2026-01-31T10:20:30Z", Tz::UTC, Interval::Month, &[0, 1, 2, 3, 13, 25, -2]);
    assert_eq!(
        found,
        [
            "2026-01-31T10:20:30+00:00",
            "2026-02-28T10:20:30+00:00",
            "2026-03-31T10:20:30+00:00",
            "2026-04-30T10:20:30+00:00",
            "2027-02-28T10:20:30+00:00",
            "2028-02-29T10:20:30+00:00",
            "2025-11-30T10:20:30+00:00",
        ]
    );
    let leap = boundaries("2024-02-29T00:00:00Z", Tz::UTC, Interval::Year, &[1, 2, 4]);
    assert_eq!(leap, ["2025-02-28T00:00:00+00:00", "2026-02-28T00:00:00+00:00", "2028-02-29T00:00:00+00:00"]);
}

#[test]
fn clocks_show_the_same_time_at_each_boundary_unless_it_is_skipped() {
    let found = boundaries("2026-01-29T02:30:00+01:00", Tz::Europe__Berlin, Interval::Month, &[1, 2, 3]);
    assert_eq!(
        found,
        ["2026-02-28T02:30:00+01:00", "2026-03-29T03:30:00+02:00", "2026-04-29T02:30:00+02:00",]
    );
}

#[test]
fn a_tenant_that_moves_keeps_the_end_of_its_period_and_gets_the_next_one_by_its_new_clocks() {
    let anchor = Anchor::at(at("2026-01-10T00:00:00+01:00"), Tz::Europe__Berlin, Interval::Month).unwrap();
    let february = anchor.period(1, Tz::Europe__Berlin).unwrap();
    let march = anchor.after(february, 2, Tz::Pacific__Auckland).unwrap();
    assert_eq!(march.start, february.end);
    assert_eq!(text(march.end, Tz::Pacific__Auckland), "2026-04-10T00:00:00+12:00");
    assert_eq!(anchor.after(february, 2, Tz::Europe__Berlin), anchor.period(2, Tz::Europe__Berlin));
}

#[test]
fn an_anchor_on_the_first_at_midnight_gives_calendar_months() {
    let first = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
    let anchor = Anchor::on(first, Interval::Month);
    for zone in chrono_tz::TZ_VARIANTS {
        for n in -24..850 {
            let period = anchor.period(n, zone).unwrap();
            assert_eq!(Period::month_of(period.start, zone), period, "{zone} {n}");
        }
    }
}

#[test]
fn beyond_the_calendar_is_an_error() {
    let anchor = Anchor::at(Micros(0), Tz::UTC, Interval::Year).unwrap();
    assert!(anchor.boundary(200_000, Tz::UTC).is_ok());
    for n in [i32::MAX, i32::MIN, 300_000, -300_000] {
        assert_eq!(anchor.period(n, Tz::UTC), Err(OutOfCalendar), "{n}");
    }
    assert_eq!(Anchor::at(Micros(i64::MAX), Tz::UTC, Interval::Month), Err(OutOfCalendar));
    assert_eq!(anchor.holding(Micros(i64::MIN), Tz::UTC), Err(OutOfCalendar));
    let period = anchor.period(0, Tz::UTC).unwrap();
    assert_eq!(anchor.after(period, i32::MAX, Tz::UTC), Err(OutOfCalendar));
}

/// A month later on the calendar, by counting days one at a time.
fn slow_months(local: NaiveDateTime, months: u32) -> NaiveDateTime {
    let mut day = local.date();
    for _ in 0..months {
        let month = day.month();
        while day.month() == month {
            day = day.succ_opt().unwrap();
        }
    }
    // The first of the month, if it was not the anchor's own. Now to its day, or to the last one.
    let mut day = day.with_day(1).unwrap();
    while day.day() < local.date().day() && day.succ_opt().unwrap().month() == day.month() {
        day = day.succ_opt().unwrap();
    }
    day.and_time(local.time())
}

proptest! {
    #[test]
    fn each_boundary_is_that_of_the_slow_calendar(
        seconds in 0..2_000_000_000_i64,
        n in 0..120_u32,
        zone in prop::sample::select(crate::period::tests::ZONES.to_vec()),
    ) {
        let at = Micros(seconds * Micros::SECOND);
        let anchor = Anchor::at(at, zone, Interval::Month).unwrap();
        let shown = slow_months(local(at, zone).unwrap(), n);
        let boundary = anchor.boundary(i32::try_from(n).unwrap(), zone).unwrap();
        prop_assert_eq!(Some(boundary), instant(shown, zone));
        let seen = local(boundary, zone).unwrap();
        // Clocks show it, or it is in a gap of a day at most.
        let late = seen - shown;
        prop_assert!((chrono::Duration::zero()..=chrono::Duration::days(1)).contains(&late), "{} {}", seen, shown);
    }

    #[test]
    fn every_instant_is_in_the_one_period_that_holds_it(
        start in -1_000_000_000..3_000_000_000_i64,
        micros in -3_000_000_000_000_000..6_000_000_000_000_000_i64,
        zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
        interval in prop::sample::select(vec![Interval::Month, Interval::Year]),
    ) {
        let anchor = Anchor::at(Micros(start * Micros::SECOND), zone, interval).unwrap();
        let (n, period) = anchor.holding(Micros(micros), zone).unwrap();
        prop_assert!(period.holds(Micros(micros)));
        prop_assert_eq!(anchor.period(n, zone).unwrap(), period);
        prop_assert_eq!(anchor.period(n - 1, zone).unwrap().end, period.start);
        prop_assert_eq!(anchor.period(n + 1, zone).unwrap().start, period.end);
        prop_assert_eq!(period.start.0 % Micros::SECOND, 0);
    }

    #[test]
    fn moving_through_zones_leaves_no_instant_out_and_counts_none_twice(
        start in 0..2_000_000_000_i64,
        moves in prop::collection::vec(prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()), 1..24),
    ) {
        let anchor = Anchor::at(Micros(start * Micros::SECOND), moves[0], Interval::Month).unwrap();
        let mut period = anchor.period(0, moves[0]).unwrap();
        for (n, zone) in (1..).zip(moves) {
            let next = anchor.after(period, n, zone).unwrap();
            prop_assert_eq!(next.start, period.end);
            prop_assert_eq!(next.end, anchor.boundary(n + 1, zone).unwrap());
            // A month, less than two days off by zones.
            let days = (next.end.0 - next.start.0) / Micros::DAY;
            prop_assert!((26..=33).contains(&days), "{}", days);
            period = next;
        }
    }
}
