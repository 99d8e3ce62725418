//! Billing periods: calendar months in the tenant's own time zone, half-open.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;
use schemas::time::Micros;

use crate::db::timestamp;

/// `[start, end)`; an event belongs to the period that holds its `received_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    /// The first instant of the period: whole seconds.
    pub start: Micros,
    /// The first instant after it: whole seconds.
    pub end: Micros,
}

impl Period {
    /// The calendar month of `zone` that holds `at`.
    ///
    /// Instants that the calendar does not know (beyond the year 262,000) fall into an empty period.
    #[must_use]
    pub fn month_of(at: Micros, zone: Tz) -> Self {
        let months = DateTime::<Utc>::from_timestamp_micros(at.0).and_then(|at| {
            let first = at.with_timezone(&zone).date_naive().with_day(1)?;
            Some((first, first.checked_add_months(Months::new(1))?))
        });
        let Some((first, next)) = months else { return Self { start: at, end: at } };
        Self { start: midnight(first, zone), end: midnight(next, zone) }
    }

    /// The end as people and SDKs read it: RFC 3339, in UTC.
    #[must_use]
    pub fn end_text(&self) -> String {
        timestamp(self.end).to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// Whether `at` belongs to the period.
    #[must_use]
    pub fn holds(&self, at: Micros) -> bool {
        (self.start..self.end).contains(&at)
    }
}

/// The first instant of `date` in `zone`: midnight, or, where a clock change skips it, the first one after.
fn midnight(date: NaiveDate, zone: Tz) -> Micros {
    let midnight = date.and_time(NaiveTime::MIN);
    let instant = zone.from_local_datetime(&midnight).earliest().unwrap_or_else(|| {
        // Clocks skip less than a day, so the instant that is midnight by the offset of the day before lies in the
        // gap's beginning.
        let before = date.checked_sub_days(Days::new(1)).unwrap_or(date).and_time(NaiveTime::MIN);
        let offset = zone.offset_from_utc_datetime(&before);
        DateTime::from_naive_utc_and_offset(midnight - chrono::Offset::fix(&offset), offset)
    });
    Micros(instant.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Micros {
        Micros(DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros())
    }

    #[test]
    fn a_month_begins_at_midnight_in_the_tenants_zone() {
        let zone = Tz::Asia__Kolkata;
        let october = Period::month_of(at("2026-10-31T18:29:59.999999Z"), zone);
        let november = Period::month_of(at("2026-10-31T18:30:00Z"), zone);
        assert_eq!(november.start, at("2026-10-31T18:30:00Z"));
        assert_eq!(november.end, at("2026-11-30T18:30:00Z"));
        assert_eq!(october.end, november.start);
    }

    #[test]
    fn a_midnight_that_a_clock_change_skips_is_the_first_instant_after() {
        // Clocks in Asunción went from 00:00 to 01:00 on 2017-10-01, the first of a month.
        let period = Period::month_of(at("2017-10-15T00:00:00Z"), Tz::America__Asuncion);
        assert_eq!(period.start, at("2017-10-01T01:00:00-03:00"));
    }

    proptest! {
        #[test]
        fn every_instant_belongs_to_exactly_one_period(
            micros in -2_000_000_000_000_000_i64..9_000_000_000_000_000,
            zone in proptest::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
        ) {
            let period = Period::month_of(Micros(micros), zone);
            prop_assert!(period.holds(Micros(micros)));
            prop_assert_eq!(Period::month_of(period.start, zone), period);
            prop_assert_eq!(Period::month_of(period.end, zone).start, period.end);
            prop_assert!(!period.holds(period.end));
        }
    }
}
