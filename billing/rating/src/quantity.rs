//! Quantities: what a meter has counted.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decimal::{self, NotDecimal};

/// What a meter has counted, in millionths: from minus to plus [`Self::MAX`].
///
/// A meter that adds up a property may have decimals, and may be negative. The grid of millionths makes sums and
/// differences exact; with a [`Price`](crate::Price), which has at most 15 digits, the product has at most 37, which
/// 128 bits hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Quantity(i128);

impl Quantity {
    /// How many decimals a quantity can have.
    pub const DECIMALS_MAX: u32 = 6;
    /// One thousand million million: a petabyte in bytes.
    pub const WHOLE_MAX: u64 = 1_000_000_000_000_000;
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One.
    pub const ONE: Self = Self(Self::UNIT);
    /// The largest, [`Self::WHOLE_MAX`].
    pub const MAX: Self = Self(Self::WHOLE_MAX as i128 * Self::UNIT);

    const UNIT: i128 = 1_000_000;

    /// A whole number, up to [`Self::WHOLE_MAX`].
    #[must_use]
    pub fn whole(number: u64) -> Option<Self> {
        (number <= Self::WHOLE_MAX).then(|| Self(i128::from(number) * Self::UNIT))
    }

    /// The whole number below or equal, and 0 for negative ones.
    #[must_use]
    pub fn floor(self) -> u64 {
        u64::try_from(self.0.div_euclid(Self::UNIT)).unwrap_or(0)
    }

    /// Whether it has no decimals.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.0 % Self::UNIT == 0
    }

    /// How many are above zero of `self - other`.
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        Self((self.0 - other.0).clamp(0, Self::MAX.0))
    }

    /// The sum, and [`Self::MAX`] if it is larger.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self((self.0 + other.0).clamp(-Self::MAX.0, Self::MAX.0))
    }

    /// How many packages of `size` are needed to hold it. A size below one counts as one.
    #[must_use]
    pub fn packages(self, size: Self) -> Self {
        let size = size.0.max(Self::UNIT);
        Self((self.0.max(0) + size - 1) / size * Self::UNIT)
    }

    pub(crate) fn millionths(self) -> i128 {
        self.0
    }
}

impl TryFrom<Decimal> for Quantity {
    type Error = NotDecimal;

    fn try_from(decimal: Decimal) -> Result<Self, NotDecimal> {
        let decimal = decimal.normalize();
        let missing = Self::DECIMALS_MAX
            .checked_sub(decimal.scale())
            .ok_or(NotDecimal::Decimals(Self::DECIMALS_MAX))?;
        let millionths = decimal.mantissa().checked_mul(10_i128.pow(missing));
        let fits = millionths.filter(|millionths| millionths.abs() <= Self::MAX.0);
        fits.map(Self).ok_or(NotDecimal::Large("a quantity is at most 1000000000000000"))
    }
}

impl From<Quantity> for Decimal {
    fn from(quantity: Quantity) -> Self {
        // At most 22 digits, and `Decimal` holds 28.
        Self::try_from_i128_with_scale(quantity.0, Quantity::DECIMALS_MAX).unwrap_or_default().normalize()
    }
}

impl FromStr for Quantity {
    type Err = NotDecimal;

    fn from_str(text: &str) -> Result<Self, NotDecimal> {
        decimal::read(text)?.try_into()
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Decimal::from(*self).fmt(f)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format_args!("a quantity {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn limits_hold_at_their_ends_and_not_beyond() {
        assert_eq!("1000000000000000".parse(), Ok(Quantity::MAX));
        assert_eq!(quantity("-1000000000000000").to_string(), "-1000000000000000");
        for beyond in ["1000000000000000.000001", "-1000000000000000.000001", "1000000000000001"] {
            assert!(matches!(beyond.parse::<Quantity>(), Err(NotDecimal::Large(_))), "{beyond}");
        }
        assert_eq!(quantity("0.000001").to_string(), "0.000001");
        assert_eq!("0.0000001".parse::<Quantity>(), Err(NotDecimal::Decimals(6)));
        assert_eq!(quantity("1.0000000").to_string(), "1");
        assert_eq!(Quantity::whole(Quantity::WHOLE_MAX), Some(Quantity::MAX));
        assert_eq!(Quantity::whole(Quantity::WHOLE_MAX + 1), None);
    }

    #[test]
    fn a_started_package_is_a_package() {
        let size = quantity("10");
        for (quantity, packages) in
            [("0", "0"), ("0.000001", "1"), ("10", "1"), ("10.000001", "2"), ("11", "2"), ("-5", "0")]
        {
            assert_eq!(
                quantity.parse::<Quantity>().unwrap().packages(size).to_string(),
                packages,
                "{quantity}"
            );
        }
        assert_eq!(Quantity::MAX.packages(Quantity::ONE), Quantity::MAX);
    }

    #[test]
    fn what_is_beyond_is_never_negative() {
        assert_eq!(quantity("5").beyond(quantity("7")), Quantity::ZERO);
        assert_eq!(quantity("7.5").beyond(quantity("5")).to_string(), "2.5");
        assert_eq!((quantity("2.9").floor(), quantity("-2.9").floor()), (2, 0));
    }
}
