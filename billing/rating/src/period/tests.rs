use chrono::{Duration, FixedOffset};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Micros {
    Micros(DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros())
}

fn offset(seconds: i64, zone: Tz) -> FixedOffset {
    zone.offset_from_utc_datetime(&DateTime::from_timestamp(seconds, 0).unwrap().naive_utc()).fix()
}

/// Seconds since 1970 at which clocks of a zone change, of `years`: found by looking at each hour.
fn changes(zone: Tz, years: std::ops::Range<i64>) -> Vec<i64> {
    let second = |year: i64| at(&format!("{year}-01-01T00:00:00Z")).seconds();
    let mut found = Vec::new();
    for hour in (second(years.start)..second(years.end)).step_by(3600) {
        let (mut low, mut high) = (hour, hour + 3600);
        if offset(low, zone) == offset(high, zone) {
            continue;
        }
        while high - low > 1 {
            let middle = i64::midpoint(low, high);
            if offset(middle, zone) == offset(hour, zone) { low = middle } else { high = middle }
        }
        found.push(high);
    }
    found
}

/// The slow way from a time of day to its instant, by the direction that is never ambiguous: all instants of the two
/// days around it, in stretches between changes of clocks.
fn slow_instant(local: NaiveDateTime, zone: Tz, changes: &[i64]) -> i64 {
    let wall = local.and_utc().timestamp();
    let (first, last) = (wall - 100_000, wall + 100_000);
    let inside = changes.iter().copied().filter(|change| (first..last).contains(change));
    let cuts: Vec<i64> = [first].into_iter().chain(inside).chain([last]).collect();
    let candidate = |start: i64| wall - i64::from(offset(start, zone).local_minus_utc());
    let stretches = || cuts.windows(2).map(|cut| (cut[0], cut[1]));
    let is_shown = |(start, end): &(i64, i64)| (*start..*end).contains(&candidate(*start));
    let shown = stretches().filter(is_shown).map(|(start, _)| candidate(start)).min();
    // Nothing shows it: the clock of before the gap would, had it gone on.
    shown.unwrap_or_else(|| {
        let before = stretches().rfind(|(start, end)| candidate(*start) >= *end).unwrap();
        candidate(before.0)
    })
}

/// Forty zones: half hours and quarters, whole days skipped, changes at midnight, half an hour of summer, and none.
pub(crate) const ZONES: [Tz; 40] = {
    use Tz::*;
    [
        UTC,
        Europe__Berlin,
        Europe__London,
        Europe__Dublin,
        Europe__Lisbon,
        Europe__Moscow,
        Europe__Istanbul,
        Atlantic__Azores,
        Atlantic__Stanley,
        America__New_York,
        America__Chicago,
        America__Denver,
        America__Phoenix,
        America__Los_Angeles,
        America__Anchorage,
        America__St_Johns,
        America__Halifax,
        America__Havana,
        America__Sao_Paulo,
        America__Asuncion,
        America__Santiago,
        America__Caracas,
        America__Scoresbysund,
        America__Toronto,
        Africa__Cairo,
        Africa__Casablanca,
        Africa__Monrovia,
        Asia__Amman,
        Asia__Beirut,
        Asia__Gaza,
        Asia__Tehran,
        Asia__Kolkata,
        Asia__Kathmandu,
        Asia__Pyongyang,
        Asia__Manila,
        Australia__Lord_Howe,
        Australia__Sydney,
        Pacific__Apia,
        Pacific__Chatham,
        Pacific__Kwajalein,
    ]
};

#[test]
fn around_every_change_of_clocks_the_slow_way_finds_the_same_instant() {
    let (mut seen, mut gaps) = (0, 0);
    for zone in ZONES {
        let changes = changes(zone, 1970..2041);
        for change in &changes {
            let (before, after) = (offset(change - 1, zone), offset(*change, zone));
            let wall =
                |offset: FixedOffset| DateTime::from_timestamp(*change, 0).unwrap().naive_utc() + offset;
            gaps += i32::from(wall(before) < wall(after));
            let edges = [wall(before), wall(after), wall(before) + (wall(after) - wall(before)) / 2];
            let midnight = wall(before).date().and_time(NaiveTime::MIN);
            let days = (-1..=1).map(|days| midnight + Duration::days(days));
            let near = edges.iter().flat_map(|edge| (-1..=1).map(|second| *edge + Duration::seconds(second)));
            for local in near.chain(days) {
                let slow = slow_instant(local, zone, &changes);
                assert_eq!(instant(local, zone), Some(Micros(slow * Micros::SECOND)), "{zone} {local}");
                seen += 1;
            }
        }
    }
    assert!(seen > 40_000 && gaps > 1_500, "{seen} {gaps}");
}

#[test]
fn known_gaps_and_folds() {
    for (zone, local, is) in [
        // Berlin: 02:00 to 03:00 on 2026-03-29 is not there, 02:00 to 03:00 on 2026-10-25 comes twice.
        (Tz::Europe__Berlin, "2026-03-29T02:30:00", "2026-03-29T03:30:00+02:00"),
        (Tz::Europe__Berlin, "2026-10-25T02:30:00", "2026-10-25T02:30:00+02:00"),
        // Apia had no 30 December 2011.
        (Tz::Pacific__Apia, "2011-12-30T12:00:00", "2011-12-31T12:00:00+14:00"),
        // Asunción went from 00:00 to 01:00 on 2017-10-01.
        (Tz::America__Asuncion, "2017-10-01T00:00:00", "2017-10-01T01:00:00-03:00"),
        // Lord Howe has half an hour of summer.
        (Tz::Australia__Lord_Howe, "2026-10-04T02:15:00", "2026-10-04T02:45:00+11:00"),
    ] {
        assert_eq!(instant(local.parse().unwrap(), zone), Some(at(is)), "{zone} {local}");
    }
}

#[test]
fn the_zone_database_is_the_one_that_was_looked_at() {
    // Another one may move boundaries of periods to come: look at what has changed, and say so in the release notes.
    assert_eq!(ZONES_VERSION, "2025b");
}

#[test]
fn a_month_begins_at_midnight_in_the_tenants_zone() {
    let zone = Tz::Asia__Kolkata;
    let october = Period::month_of(at("2026-10-31T18:29:59.999999Z"), zone);
    let november = Period::month_of(at("2026-10-31T18:30:00Z"), zone);
    assert_eq!(november.start, at("2026-10-31T18:30:00Z"));
    assert_eq!(november.end, at("2026-11-30T18:30:00Z"));
    assert_eq!(october.end, november.start);
    assert_eq!(november.end_text(), "2026-11-30T18:30:00Z");
}

#[test]
fn a_midnight_that_a_clock_change_skips_is_the_first_instant_after() {
    let period = Period::month_of(at("2017-10-15T00:00:00Z"), Tz::America__Asuncion);
    assert_eq!(period.start, at("2017-10-01T01:00:00-03:00"));
}

#[test]
fn beyond_the_calendar_a_period_is_empty() {
    for micros in [i64::MIN, -CALENDAR - 1, CALENDAR, i64::MAX] {
        let at = Micros(micros);
        assert_eq!(Period::month_of(at, Tz::Pacific__Apia), Period { start: at, end: at });
    }
    assert!(Period::month_of(Micros(CALENDAR - 1), Tz::Pacific__Apia).holds(Micros(CALENDAR - 1)));
}

proptest! {
    #[test]
    fn every_instant_belongs_to_exactly_one_month(
        micros in -2_000_000_000_000_000_i64..9_000_000_000_000_000,
        zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
    ) {
        let period = Period::month_of(Micros(micros), zone);
        prop_assert!(period.holds(Micros(micros)));
        prop_assert_eq!(Period::month_of(period.start, zone), period);
        prop_assert_eq!(Period::month_of(period.end, zone).start, period.end);
        prop_assert!(!period.holds(period.end));
    }
}
