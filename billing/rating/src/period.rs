//! Periods: half-open spans of time, which begin and end by the clock of a tenant's zone.
//!
//! # The zone database
//! Zones are those of `chrono-tz`, which has the IANA database built in ([`ZONES_VERSION`]), the same for all of weir:
//! nothing depends on the machine.
//!
//! # Gaps and folds
//! A time of day that a change of clocks skips is read by the clock of before the change: 02:30 in a gap from 02:00 to
//! 03:00 is 03:30, and a midnight that is skipped is the first instant after the gap. A time of day that comes twice
//! is the earlier one. That is what RFC 5545 (3.3.5) says.

use chrono::{
    DateTime, Datelike, Months, NaiveDate, NaiveDateTime, NaiveTime, Offset, SecondsFormat, TimeZone,
    Timelike, Utc,
};
use chrono_tz::{GapInfo, Tz};
use schemas::time::Micros;

/// The version of the IANA database that decides when a period begins.
pub const ZONES_VERSION: &str = chrono_tz::IANA_TZDB_VERSION;

/// 250,000 years in microseconds.
const CALENDAR: i64 = 250_000 * 365 * Micros::DAY;

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
    /// Instants that the calendar does not know (250,000 years from now) fall into an empty period.
    #[must_use]
    pub fn month_of(at: Micros, zone: Tz) -> Self {
        let month = || {
            let first = local(at, zone)?.date().with_day(1)?;
            let next = first.checked_add_months(Months::new(1))?;
            let midnight = |date: NaiveDate| instant(date.and_time(NaiveTime::MIN), zone);
            Some(Self { start: midnight(first)?, end: midnight(next)? })
        };
        month().unwrap_or(Self { start: at, end: at })
    }

    /// The end as people and SDKs read it: RFC 3339, in UTC.
    #[must_use]
    pub fn end_text(&self) -> String {
        let end = DateTime::<Utc>::from_timestamp_micros(self.end.0).unwrap_or_default();
        end.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// Whether `at` belongs to the period.
    #[must_use]
    pub fn holds(&self, at: Micros) -> bool {
        (self.start..self.end).contains(&at)
    }
}

/// What clocks in `zone` show at an instant, to the second.
pub(crate) fn local(at: Micros, zone: Tz) -> Option<NaiveDateTime> {
    // The last day that `chrono` knows can't be shown in every zone.
    let at = (-CALENDAR..CALENDAR).contains(&at.0).then_some(at.0)?;
    let local = DateTime::<Utc>::from_timestamp_micros(at)?.with_timezone(&zone).naive_local();
    local.with_nanosecond(0)
}

/// When clocks in `zone` show a time of a day: see [gaps and folds](self#gaps-and-folds).
pub(crate) fn instant(local: NaiveDateTime, zone: Tz) -> Option<Micros> {
    let utc = match zone.from_local_datetime(&local).earliest() {
        Some(time) => time.naive_utc(),
        None => local.checked_sub_offset(GapInfo::new(&local, &zone)?.begin?.1.fix())?,
    };
    Some(Micros(utc.and_utc().timestamp_micros()))
}

#[cfg(test)]
pub(crate) mod tests;
