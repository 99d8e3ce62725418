//! Lines: what a rated period is made of.

use rust_decimal::Decimal;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::currency::Currency;
use crate::money::{Money, MoneyError};
use crate::plan::{Charge, Interval, Plan};
use crate::price::{Exact, Price};
use crate::quantity::Quantity;

/// What a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The plan's fee.
    Fee(Interval),
    /// Usage that the fee includes.
    Included,
    /// Usage at the price of each unit.
    Units,
    /// Usage in a tier, by its number from 1 on.
    Tier(usize),
    /// What a tier costs once it is reached, by its number from 1 on.
    TierReached(usize),
    /// Packages of so many units.
    Packages(Quantity),
    /// Usage beyond the cap, which nobody pays. There is none where the cap is never passed.
    BeyondCap,
    /// What a charge falls short of its minimum.
    ChargeMinimum,
    /// What a plan falls short of its minimum.
    PlanMinimum,
}

/// One line: `amount` is `quantity * unit`, rounded once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'p> {
    /// What it is for.
    pub kind: Kind,
    /// Whose usage it is; `None`: the plan's.
    pub meter: Option<&'p str>,
    /// How many units.
    pub quantity: Quantity,
    /// What one costs.
    pub unit: Decimal,
    /// `quantity * unit`.
    pub exact: Exact,
    /// The same, rounded half away from zero to the minor unit.
    pub amount: Money,
}

impl<'p> Line<'p> {
    /// A line of a charge.
    pub(crate) fn priced(
        kind: Kind,
        charge: &'p Charge,
        quantity: Quantity,
        unit: Price,
        currency: Currency,
    ) -> Result<Self, MoneyError> {
        let exact = Exact::of(quantity, unit);
        let amount = exact.round(currency)?;
        Ok(Self { kind, meter: Some(charge.meter()), quantity, unit: unit.into(), exact, amount })
    }

    /// A line of one amount, which is whole minor units already.
    pub(crate) fn once(kind: Kind, meter: Option<&'p str>, amount: Money) -> Self {
        Self { kind, meter, quantity: Quantity::ONE, unit: amount.into(), exact: amount.into(), amount }
    }

    /// The number of the tier, from 1 on, if the line is of one.
    #[must_use]
    pub fn tier(&self) -> Option<usize> {
        match self.kind {
            Kind::Tier(number) | Kind::TierReached(number) => Some(number),
            Kind::Fee(_)
            | Kind::Included
            | Kind::Units
            | Kind::Packages(_)
            | Kind::BeyondCap
            | Kind::ChargeMinimum
            | Kind::PlanMinimum => None,
        }
    }

    /// What an invoice says of it, in English.
    #[must_use]
    pub fn description(&self) -> String {
        let meter = self.meter.unwrap_or_default();
        match self.kind {
            Kind::Fee(Interval::Month) => "fee for a month".to_owned(),
            Kind::Fee(Interval::Year) => "fee for a year".to_owned(),
            Kind::Included => format!("{meter}, included"),
            Kind::Units => meter.to_owned(),
            Kind::Tier(number) => format!("{meter}, tier {number}"),
            Kind::TierReached(number) => format!("{meter}, tier {number} reached"),
            Kind::Packages(size) => format!("{meter}, packages of {size}"),
            Kind::BeyondCap => format!("{meter}, beyond the cap"),
            Kind::ChargeMinimum => format!("{meter}, up to the minimum"),
            Kind::PlanMinimum => "up to the minimum".to_owned(),
        }
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_struct("Line", 7)?;
        line.serialize_field("meter", &self.meter)?;
        line.serialize_field("description", &self.description())?;
        line.serialize_field("tier", &self.tier())?;
        line.serialize_field("quantity", &self.quantity)?;
        line.serialize_field("unit", &self.unit.to_string())?;
        line.serialize_field("exact", &self.exact)?;
        line.serialize_field("amount", &self.amount.amount())?;
        line.end()
    }
}

/// A period that is rated: its lines, and their sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rated<'p> {
    /// Of which plan.
    pub plan: &'p Plan,
    /// The fee, then the charges in the plan's order, then what the plan falls short of its minimum. Lines that would
    /// say nothing are left out: no fee, no usage, a minimum that is reached.
    pub lines: Vec<Line<'p>>,
    /// The sum of all amounts.
    pub subtotal: Money,
}

impl Rated<'_> {
    /// What the lines of one meter come to.
    ///
    /// # Errors
    /// None: it is a part of the subtotal, and no line is negative.
    pub fn of_meter(&self, meter: &str) -> Result<Money, MoneyError> {
        let lines = self.lines.iter().filter(|line| line.meter == Some(meter));
        Money::sum(lines.map(|line| line.amount), self.subtotal.currency())
    }
}

impl Serialize for Rated<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rated = serializer.serialize_struct("Rated", 3)?;
        rated.serialize_field("currency", &self.subtotal.currency())?;
        rated.serialize_field("lines", &self.lines)?;
        rated.serialize_field("subtotal", &self.subtotal.amount())?;
        rated.end()
    }
}
