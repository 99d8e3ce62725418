//! Money: whole minor units of one currency.

use std::fmt;

use rust_decimal::Decimal;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::currency::{Currency, UnknownCurrency};
use crate::decimal::{self, NotDecimal};

/// An amount in minor units, such as cents: 64 bits, of either sign.
///
/// In JSON `{"amount":"12.34","currency":"EUR"}`, with all decimals of the currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// Why two amounts make no third one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// More minor units than 64 bits hold.
    #[error("the amount is too large")]
    Overflow,
    /// Amounts of two currencies.
    #[error("{0} and {1} are two currencies")]
    Currencies(Currency, Currency),
    /// No part has a weight.
    #[error("there is no part to give the amount to")]
    NoParts,
}

impl Money {
    /// So many minor units.
    #[must_use]
    pub fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// The amount that a text says, which has no more decimals than the currency.
    ///
    /// # Errors
    /// If it is no such decimal.
    pub fn read(text: &str, currency: Currency) -> Result<Self, NotDecimal> {
        let decimal = decimal::read(text)?;
        let exponent = u32::from(currency.exponent());
        let missing = exponent.checked_sub(decimal.scale()).ok_or(NotDecimal::Decimals(exponent))?;
        let minor = decimal.mantissa().checked_mul(10_i128.pow(missing));
        let minor = minor.and_then(|minor| i64::try_from(minor).ok());
        let large = NotDecimal::Large("an amount has at most 64 bits of minor units");
        Ok(Self::new(minor.ok_or(large)?, currency))
    }

    /// How many minor units.
    #[must_use]
    pub fn minor(self) -> i64 {
        self.minor
    }

    /// Of which currency.
    #[must_use]
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// The sum.
    ///
    /// # Errors
    /// If the currencies differ, or the sum is too large.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_as(other)?;
        self.minor
            .checked_add(other.minor)
            .map(|sum| Self::new(sum, self.currency))
            .ok_or(MoneyError::Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// If the currencies differ, or the difference is too large.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_as(other)?;
        let difference = self.minor.checked_sub(other.minor);
        difference.map(|minor| Self::new(minor, self.currency)).ok_or(MoneyError::Overflow)
    }

    /// The sum of all, in a currency that is needed where there are none.
    ///
    /// # Errors
    /// If a currency differs, or the sum is too large at any step.
    pub fn sum(all: impl IntoIterator<Item = Self>, currency: Currency) -> Result<Self, MoneyError> {
        all.into_iter().try_fold(Self::zero(currency), Self::plus)
    }

    /// The amount in parts that have the given weights. Not a minor unit is lost or made.
    ///
    /// Each part gets what its weight comes to, rounded towards zero. The minor units that are left go, one each, to
    /// the parts that lost most by that, and among equals to those that come first.
    ///
    /// # Errors
    /// [`MoneyError::NoParts`] if no weight is above zero.
    pub fn allocate(self, weights: &[u64]) -> Result<Vec<Self>, MoneyError> {
        let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        if total == 0 {
            return Err(MoneyError::NoParts);
        }
        let amount = u128::from(self.minor.unsigned_abs());
        let shares = weights.iter().map(|weight| amount * u128::from(*weight));
        let (mut parts, rests): (Vec<u128>, Vec<u128>) =
            shares.map(|share| (share / total, share % total)).unzip();
        // Fewer than there are parts, since each rest is less than the total.
        let left = amount - parts.iter().sum::<u128>();
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by_key(|part| std::cmp::Reverse(rests[*part]));
        for part in order.into_iter().take(usize::try_from(left).unwrap_or_default()) {
            parts[part] += 1;
        }
        let signed =
            |part: u128| i64::try_from(i128::try_from(part).ok()? * i128::from(self.minor.signum())).ok();
        let money =
            |part| signed(part).map(|minor| Self::new(minor, self.currency)).ok_or(MoneyError::Overflow);
        parts.into_iter().map(money).collect()
    }

    /// The amount without its currency: `12.34`, with all decimals of the currency.
    #[must_use]
    pub fn amount(self) -> String {
        Decimal::from(self).to_string()
    }

    /// Whether it is less than another amount.
    ///
    /// # Errors
    /// If the currencies differ.
    pub fn is_below(self, other: Self) -> Result<bool, MoneyError> {
        self.same_as(other)?;
        Ok(self.minor < other.minor)
    }

    fn same_as(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(MoneyError::Currencies(self.currency, other.currency))
    }
}

impl From<Money> for Decimal {
    fn from(money: Money) -> Self {
        Self::new(money.minor, u32::from(money.currency.exponent()))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Money", 2)?;
        object.serialize_field("amount", &self.amount())?;
        object.serialize_field("currency", self.currency.code())?;
        object.end()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    amount: String,
    currency: String,
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = Said::deserialize(deserializer)?;
        let currency =
            Currency::of(&said.currency).map_err(|error: UnknownCurrency| serde::de::Error::custom(error))?;
        let amount = Self::read(&said.amount, currency);
        amount.map_err(|error| serde::de::Error::custom(format_args!("an amount {error}")))
    }
}

#[cfg(test)]
mod tests;
