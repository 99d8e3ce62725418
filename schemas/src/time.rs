//! Instants, as they travel in frames and rows.

/// An instant: microseconds since 1970-01-01 00:00 UTC, negative before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Micros(pub i64);

impl Micros {
    /// Microseconds in a second.
    pub const SECOND: i64 = 1_000_000;
    /// Microseconds in an hour.
    pub const HOUR: i64 = 3_600 * Self::SECOND;
    /// A day in microseconds.
    pub const DAY: i64 = 24 * Self::HOUR;

    /// The first instant that a row can hold as a client's time: 1900-01-01.
    pub const CLIENT_MIN: Self = Self(-2_208_988_800 * Self::SECOND);
    /// The last instant that a row can hold as a client's time: the end of 2299-12-31, to the microsecond.
    pub const CLIENT_MAX: Self = Self(10_413_792_000 * Self::SECOND - 1);
    /// The end of the times at which weir may receive an event: 2200-01-01. The beginning is 1970.
    pub const RECEIVED_END: Self = Self(7_258_118_400 * Self::SECOND);

    /// The start of the hour (UTC) that holds this instant: the bucket of the usage ledger.
    #[must_use]
    pub fn hour(self) -> Self {
        Self(self.0.div_euclid(Self::HOUR) * Self::HOUR)
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(Self::SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_half_open() {
        let hour = Micros(5 * Micros::HOUR);
        assert_eq!(hour.hour(), hour);
        assert_eq!(Micros(hour.0 - 1).hour(), Micros(4 * Micros::HOUR));
        assert_eq!(Micros(-1).hour(), Micros(-Micros::HOUR));
    }
}
