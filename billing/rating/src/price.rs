//! Prices of one unit, which may be finer than a minor unit, and the exact amounts that they make.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use crate::currency::Currency;
use crate::decimal::{self, NotDecimal};
use crate::money::{Money, MoneyError};
use crate::quantity::Quantity;

/// What one unit costs: not negative, at most 15 digits, at most 12 of them behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Price(Decimal);

impl Price {
    /// How many digits a price has at most, zeros at the end apart.
    pub const DIGITS_MAX: u32 = 15;
    /// How many of them stand behind the point at most.
    pub const DECIMALS_MAX: u32 = 12;
    /// Nothing to pay.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Whether there is nothing to pay.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<Price> for Decimal {
    fn from(price: Price) -> Self {
        price.0
    }
}

impl FromStr for Price {
    type Err = NotDecimal;

    fn from_str(text: &str) -> Result<Self, NotDecimal> {
        let decimal = decimal::read(text)?;
        if decimal.scale() > Self::DECIMALS_MAX {
            return Err(NotDecimal::Decimals(Self::DECIMALS_MAX));
        }
        if decimal.is_sign_negative() && !decimal.is_zero() {
            return Err(NotDecimal::Negative);
        }
        if decimal.mantissa() >= 10_i128.pow(Self::DIGITS_MAX) {
            return Err(NotDecimal::Large("a price has at most 15 digits"));
        }
        Ok(Self(decimal))
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An amount before it is rounded: `mantissa * 10^-scale`.
///
/// `rust_decimal` multiplies 96-bit numbers and rounds in silence what does not fit. This holds each product of a
/// [`Quantity`] and a [`Price`] exactly.
#[derive(Debug, Clone, Copy)]
pub struct Exact {
    mantissa: i128,
    scale: u32,
}

impl Exact {
    /// What `quantity` units cost.
    #[must_use]
    pub fn of(quantity: Quantity, unit: Price) -> Self {
        // |millionths| <= 10^21 and mantissa < 10^15.
        let mantissa = quantity.millionths() * unit.0.mantissa();
        Self { mantissa, scale: Quantity::DECIMALS_MAX + unit.0.scale() }
    }

    /// Rounded to the minor unit, half away from zero.
    ///
    /// # Errors
    /// If it is more than [`Money`] holds.
    pub fn round(self, currency: Currency) -> Result<Money, MoneyError> {
        let exponent = u32::from(currency.exponent());
        let minor = match self.scale.checked_sub(exponent) {
            Some(finer) => divide(self.mantissa, 10_i128.pow(finer)),
            None => {
                self.mantissa.checked_mul(10_i128.pow(exponent - self.scale)).ok_or(MoneyError::Overflow)?
            }
        };
        Ok(Money::new(i64::try_from(minor).map_err(|_| MoneyError::Overflow)?, currency))
    }

    /// The same amount with the smallest scale.
    fn shortest(self) -> Self {
        let mut short = self;
        while short.scale > 0 && short.mantissa % 10 == 0 {
            short = Self { mantissa: short.mantissa / 10, scale: short.scale - 1 };
        }
        short
    }
}

impl From<Money> for Exact {
    fn from(money: Money) -> Self {
        Self { mantissa: i128::from(money.minor()), scale: u32::from(money.currency().exponent()) }
    }
}

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.shortest(), other.shortest());
        (a.mantissa, a.scale) == (b.mantissa, b.scale)
    }
}

impl Eq for Exact {}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mantissa, scale } = self.shortest();
        let sign = if mantissa < 0 { "-" } else { "" };
        let width = usize::try_from(scale).unwrap_or_default();
        let digits = format!("{:0>least$}", mantissa.unsigned_abs(), least = width + 1);
        let (whole, decimals) = digits.split_at(digits.len() - width);
        let point = if scale == 0 { "" } else { "." };
        write!(f, "{sign}{whole}{point}{decimals}")
    }
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `number / by`, rounded half away from zero. `by` is above zero.
pub(crate) fn divide(number: i128, by: i128) -> i128 {
    let (whole, rest) = (number / by, number % by);
    // As unsigned numbers, since twice the rest of a large divisor may not fit.
    let is_up = rest.unsigned_abs() >= by.unsigned_abs() - rest.unsigned_abs();
    if is_up { whole + number.signum() } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_a_price_hold_at_their_ends_and_not_beyond() {
        for good in ["0", "999999999999999", "999.999999999999", "0.000000000001", "49.00"] {
            assert!(good.parse::<Price>().is_ok(), "{good}");
        }
        for (bad, why) in [
            ("1000000000000000", NotDecimal::Large("a price has at most 15 digits")),
            ("1000.999999999999", NotDecimal::Large("a price has at most 15 digits")),
            ("0.0000000000001", NotDecimal::Decimals(12)),
            ("-0.01", NotDecimal::Negative),
        ] {
            assert_eq!(bad.parse::<Price>(), Err(why), "{bad}");
        }
        assert_eq!(
            "1000000000000000.0".parse::<Price>().is_err(),
            "1000000000000000".parse::<Price>().is_err()
        );
    }

    #[test]
    fn the_largest_product_is_exact() {
        let most = Exact::of(Quantity::MAX, "999999999999999".parse().unwrap());
        assert_eq!(most.to_string(), "999999999999999000000000000000");
        assert_eq!(most.round(Currency::EUR), Err(MoneyError::Overflow));
        let finest = Exact::of("0.000001".parse().unwrap(), "0.000000000001".parse().unwrap());
        assert_eq!(finest.to_string(), "0.000000000000000001");
        let longest =
            Exact::of("999999999999999.999999".parse().unwrap(), "999.999999999999".parse().unwrap());
        assert_eq!(longest.to_string(), "999999999999998999.999000000000000001");
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        for (units, minor) in
            [("0.005", 1), ("0.0049999", 0), ("-0.005", -1), ("-0.0149", -1), ("1.015", 102)]
        {
            let exact = Exact::of(units.parse::<Quantity>().unwrap_or_default(), "1".parse().unwrap());
            assert_eq!(exact.round(Currency::EUR).map(Money::minor), Ok(minor), "{units}");
        }
        assert_eq!(
            [divide(5, 2), divide(-5, 2), divide(i128::MAX, i128::MAX), divide(1, i128::MAX)],
            [3, -3, 1, 0]
        );
    }

    #[test]
    fn money_has_its_last_minor_unit_and_none_more() {
        let unit = "0.01".parse().unwrap();
        let most = Exact::of(Quantity::MAX, "92233.72036854".parse().unwrap());
        assert_eq!(most.to_string(), "92233720368540000000");
        assert_eq!(most.round(Currency::EUR), Err(MoneyError::Overflow));
        let fits = Exact::of(Quantity::MAX, unit).round(Currency::EUR);
        assert_eq!(fits.map(Money::minor), Ok(1_000_000_000_000_000));
        for (exact, is_held) in [(i128::from(i64::MAX), true), (i128::from(i64::MAX) + 1, false)] {
            assert_eq!(Exact { mantissa: exact, scale: 2 }.round(Currency::EUR).is_ok(), is_held);
        }
    }
}
