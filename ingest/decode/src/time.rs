//! Instants as clients write them.
//!
//! Only what ClickHouse's `DateTime64(6)` holds is an instant: 1900 to 2299. Digits below a microsecond are cut
//! off. The leap second 23:59:60 stands for the last microsecond before it, so that it stays in its hour.

use schemas::time::Micros;

use super::scan::{Kind, Value};

/// Start of 1900, UTC.
const EARLIEST: i64 = -2_208_988_800 * Micros::SECOND;
/// End of 2299, UTC.
const LATEST: i64 = 10_413_792_000 * Micros::SECOND - 1;

/// An instant of RFC 3339, such as `2026-11-05T09:30:00.123456789+01:00`: date, time and offset must all be there.
pub(super) fn rfc3339(text: &str) -> Option<Micros> {
    let mut reader = Reader(text.as_bytes());
    let day = reader.date()?;
    let time = reader.separator().then(|| reader.time(false))??;
    let offset = reader.offset(false)?;
    reader.instant(day, time, offset)
}

/// An instant of ISO 8601 as SDKs and exports write it: like [`rfc3339`], but the time may be missing (midnight)
/// or lack its seconds, the offset may be missing (UTC), or have no colon or no minutes.
pub(super) fn iso8601(text: &str) -> Option<Micros> {
    let mut reader = Reader(text.as_bytes());
    let day = reader.date()?;
    if reader.0.is_empty() {
        return reader.instant(day, 0, 0);
    }
    let time = reader.separator().then(|| reader.time(true))??;
    let offset = if reader.0.is_empty() { 0 } else { reader.offset(true)? };
    reader.instant(day, time, offset)
}

/// An instant as a JSON number since 1970, UTC: seconds, or else, where that would be after 2299, milliseconds, or
/// else microseconds. A fraction may follow, an exponent not.
///
/// Milliseconds and microseconds are thus read from May 1970 on.
pub(super) fn since_1970(number: &str) -> Option<Micros> {
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // `parse` alone would take a second sign.
    let whole: i64 = whole.parse().ok().filter(|_| whole.bytes().all(|byte| byte.is_ascii_digit()))?;
    let fraction = millionths(fraction.as_bytes())?;
    for (unit, divisor) in [(Micros::SECOND, 1), (1_000, 1_000), (1, Micros::SECOND)] {
        let Some(micros) = whole.checked_mul(unit).and_then(|micros| micros.checked_add(fraction / divisor))
        else {
            continue;
        };
        if let Some(instant) = within_range(if negative { -micros } else { micros }) {
            return Some(instant);
        }
    }
    None
}

/// An instant as foreign SDKs write it: a text of ISO 8601 or a number.
#[inline]
pub(super) fn lenient(value: Value<'_>) -> Option<Micros> {
    match value.kind {
        Kind::String => iso8601(&value.unescaped().text),
        Kind::Number => since_1970(value.raw),
        Kind::Object | Kind::Array | Kind::Bool | Kind::Null => None,
    }
}

/// `micros` as an instant.
pub(super) fn within_range(micros: i64) -> Option<Micros> {
    (EARLIEST..=LATEST).contains(&micros).then_some(Micros(micros))
}

/// The first six digits behind a decimal point as a number.
fn millionths(digits: &[u8]) -> Option<i64> {
    let mut number = 0;
    for place in 0..digits.len().max(6) {
        let digit = digits.get(place).map_or(Some(0), |byte| digit(*byte))?;
        if place < 6 {
            number = number * 10 + digit;
        }
    }
    Some(number)
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms": days_from_civil). Years begin in March, so that a leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The bytes not read yet.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// `YYYY-MM-DD` as days since 1970.
    fn date(&mut self) -> Option<i64> {
        let year = self.two_digits()? * 100 + self.two_digits()?;
        let month = self.after(b'-')?;
        let day = self.after(b'-')?;
        let real = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        real.then(|| days_since_1970(year, month, day))
    }

    fn separator(&mut self) -> bool {
        self.take(b'T') || self.take(b't') || self.take(b' ')
    }

    /// `HH:MM:SS` and a fraction as microseconds since midnight.
    fn time(&mut self, lenient: bool) -> Option<i64> {
        let hour = self.two_digits()?;
        let minute = self.after(b':')?;
        if hour > 23 || minute > 59 {
            return None;
        }
        let minutes = hour * 60 + minute;
        if lenient && self.0.first() != Some(&b':') {
            return Some(minutes * 60 * Micros::SECOND);
        }
        let second = self.after(b':')?;
        let fraction = self.fraction()?;
        let micros = match second {
            0..60 => second * Micros::SECOND + fraction,
            60 => 60 * Micros::SECOND - 1,
            _ => return None,
        };
        Some(minutes * 60 * Micros::SECOND + micros)
    }

    /// A point and digits, or nothing, as microseconds.
    fn fraction(&mut self) -> Option<i64> {
        if !self.take(b'.') {
            return Some(0);
        }
        let len = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(len);
        self.0 = rest;
        if digits.is_empty() { None } else { millionths(digits) }
    }

    /// `Z` or `+HH:MM` in minutes east of UTC.
    fn offset(&mut self, lenient: bool) -> Option<i64> {
        if self.take(b'Z') || self.take(b'z') {
            return Some(0);
        }
        let sign = if self.take(b'-') {
            -1
        } else if self.take(b'+') {
            1
        } else {
            return None;
        };
        let hours = self.two_digits()?;
        let minutes = match self.0.first() {
            None if lenient => 0,
            Some(byte) if lenient && *byte != b':' => self.two_digits()?,
            _ => self.after(b':')?,
        };
        (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
    }

    fn two_digits(&mut self) -> Option<i64> {
        let ([tens, ones], rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(digit(*tens)? * 10 + digit(*ones)?)
    }

    /// Two digits behind `mark`.
    fn after(&mut self, mark: u8) -> Option<i64> {
        if self.take(mark) { self.two_digits() } else { None }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        self.0 = &self.0[usize::from(found)..];
        found
    }

    /// Puts the parts together, if nothing is left to read.
    fn instant(&self, day: i64, micros: i64, offset_minutes: i64) -> Option<Micros> {
        let micros = (day * 1_440 - offset_minutes) * 60 * Micros::SECOND + micros;
        if self.0.is_empty() { within_range(micros) } else { None }
    }
}

#[cfg(test)]
mod tests;
