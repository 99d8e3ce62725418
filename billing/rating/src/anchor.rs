//! Anchors: the time of day of a day from which a subscription's periods are counted.

use chrono::{Datelike, Months, NaiveDateTime, Timelike};
use chrono_tz::Tz;
use schemas::time::Micros;

use crate::period::{Period, instant, local};
use crate::plan::Interval;

/// Where a subscription's periods begin: the nth one at the anchor plus n months or years, by the clocks of a zone.
///
/// Each boundary is counted from the anchor and not from the one before. So an anchor of 31 January gives 28 February
/// and then 31 March. A day that a month does not have is its last one.
///
/// The anchor is what clocks showed, and has no zone. When a tenant moves to another zone, the period that is under way
/// keeps its end, and the next one ends by the clocks of the new zone: see [`Anchor::after`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    local: NaiveDateTime,
    months: i32,
}

/// An instant or a period that the calendar does not have: some 250,000 years from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the calendar does not go that far")]
pub struct OutOfCalendar;

impl Anchor {
    /// An anchor at an instant, to the second below.
    ///
    /// # Errors
    /// If the calendar does not have it.
    pub fn at(at: Micros, zone: Tz, interval: Interval) -> Result<Self, OutOfCalendar> {
        Ok(Self::on(local(at, zone).ok_or(OutOfCalendar)?, interval))
    }

    /// An anchor by what clocks show, to the second below.
    #[must_use]
    pub fn on(local: NaiveDateTime, interval: Interval) -> Self {
        let months = match interval {
            Interval::Month => 1,
            Interval::Year => 12,
        };
        Self { local: local.with_nanosecond(0).unwrap_or(local), months }
    }

    /// The start of period `n`, which is the end of period `n - 1`. Period 0 begins at the anchor.
    ///
    /// # Errors
    /// If the calendar does not have it.
    pub fn boundary(&self, n: i32, zone: Tz) -> Result<Micros, OutOfCalendar> {
        let months = n.checked_mul(self.months).ok_or(OutOfCalendar)?;
        let span = Months::new(months.unsigned_abs());
        let local = if months < 0 {
            self.local.checked_sub_months(span)
        } else {
            self.local.checked_add_months(span)
        };
        local.and_then(|local| instant(local, zone)).ok_or(OutOfCalendar)
    }

    /// Period `n` in a zone.
    ///
    /// # Errors
    /// If the calendar does not have it.
    pub fn period(&self, n: i32, zone: Tz) -> Result<Period, OutOfCalendar> {
        let next = n.checked_add(1).ok_or(OutOfCalendar)?;
        Ok(Period { start: self.boundary(n, zone)?, end: self.boundary(next, zone)? })
    }

    /// The number of the period that holds an instant, and the period.
    ///
    /// # Errors
    /// If the calendar does not have it.
    pub fn holding(&self, at: Micros, zone: Tz) -> Result<(i32, Period), OutOfCalendar> {
        let now = local(at, zone).ok_or(OutOfCalendar)?;
        let since = |time: NaiveDateTime| time.year() * 12 + i32::try_from(time.month0()).unwrap_or_default();
        // Not more than one off, since days are not looked at, nor changes of clocks.
        let mut n = (since(now) - since(self.local)).div_euclid(self.months);
        while at < self.boundary(n, zone)? {
            n -= 1;
        }
        while at >= self.boundary(n + 1, zone)? {
            n += 1;
        }
        Ok((n, self.period(n, zone)?))
    }

    /// Period `n`, where the one before it has ended, and the tenant may have moved to `zone` meanwhile.
    ///
    /// It begins where the other one ended, whatever the zone was then. So no instant is in two periods, or in none.
    ///
    /// # Errors
    /// If the calendar does not have it.
    pub fn after(&self, ended: Period, n: i32, zone: Tz) -> Result<Period, OutOfCalendar> {
        Ok(Period { start: ended.end, end: self.boundary(n.checked_add(1).ok_or(OutOfCalendar)?, zone)? })
    }
}

#[cfg(test)]
mod tests;
