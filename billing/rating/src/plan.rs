//! Plans: what a period costs, and what it allows. A plan that exists is valid.
//!
//! # The form
//! Over the API and in files, a plan is one object of JSON:
//!
//! ```json
//! {"name":"Pro","currency":"EUR","interval":"month","fee":"49.00","trial_days":0,"minimum":"0","rate":1000,
//!  "retention_days":365,"features":{},
//!  "charges":[{"meter":"events","included":"5000000","cap":null,"minimum":"0",
//!    "price":{"model":"graduated","tiers":[{"up_to":"10000000","unit":"0.00001","flat":"0"},
//!                                          {"up_to":null,"unit":"0.000005"}]}}]}
//! ```
//!
//! Amounts and quantities are text, since a number in JSON is a float to many readers. `trial_days`, `minimum`,
//! `features`, and a charge's `included` and `minimum` may be left out: 0, or none. What limits a tenant (`rate`,
//! `retention_days`, `cap`) is always named, so that no limit is dropped by leaving it out.

mod model;
mod problem;
mod object;
mod strict;
mod read;
mod version;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::currency::Currency;
use crate::money::Money;
use crate::quantity::Quantity;

pub use model::{Model, Tier};
pub use problem::{InvalidPlan, PROBLEMS_MAX, Problem};
pub use read::limit;
pub use version::PlanHash;

/// How long a period of a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// A month of the calendar, from the anchor on.
    Month,
    /// Twelve of them.
    Year,
}

/// What a tenant pays for a period, and what it may use.
///
/// Its JSON is the canonical form: all members, in one order, each amount and quantity in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    name: String,
    currency: Currency,
    interval: Interval,
    #[serde(serialize_with = "amount")]
    fee: Money,
    trial_days: u32,
    #[serde(serialize_with = "amount")]
    minimum: Money,
    rate: Option<u32>,
    retention_days: Option<u32>,
    features: BTreeMap<String, bool>,
    charges: Vec<Charge>,
}

/// What is paid for what one meter counts in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Charge {
    meter: String,
    included: Quantity,
    cap: Option<Quantity>,
    #[serde(serialize_with = "amount")]
    minimum: Money,
    price: Model,
}

impl Plan {
    /// Its name, as operators and tenants know it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The currency of all its amounts.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// How long a period is.
    #[must_use]
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// What a period costs before anything is used.
    #[must_use]
    pub fn fee(&self) -> Money {
        self.fee
    }

    /// How many days a new subscription runs before it costs anything.
    #[must_use]
    pub fn trial_days(&self) -> u32 {
        self.trial_days
    }

    /// The least that a period costs, fee and all charges together.
    #[must_use]
    pub fn minimum(&self) -> Money {
        self.minimum
    }

    /// Events a second; `None`: no limit.
    #[must_use]
    pub fn events_per_second(&self) -> Option<u32> {
        self.rate
    }

    /// For how many days events are kept; `None`: without limit.
    #[must_use]
    pub fn retention_days(&self) -> Option<u32> {
        self.retention_days
    }

    /// Flags that the API shows, by name.
    #[must_use]
    pub fn features(&self) -> &BTreeMap<String, bool> {
        &self.features
    }

    /// What is charged by usage: one charge for a meter at most, in the order of the invoice's lines.
    #[must_use]
    pub fn charges(&self) -> &[Charge] {
        &self.charges
    }

    /// The charge of a meter, if it has one. A meter without a charge costs nothing.
    #[must_use]
    pub fn charge(&self, meter: &str) -> Option<&Charge> {
        self.charges.iter().find(|charge| charge.meter == meter)
    }
}

impl Charge {
    /// The meter that counts.
    #[must_use]
    pub fn meter(&self) -> &str {
        &self.meter
    }

    /// What the fee includes of it.
    #[must_use]
    pub fn included(&self) -> Quantity {
        self.included
    }

    /// What may be used of it in a period: the plan's cap, and where nothing beyond the included quantity has a price,
    /// that quantity. `None`: no cap.
    #[must_use]
    pub fn cap(&self) -> Option<Quantity> {
        self.cap.or((self.price == Model::None).then_some(self.included))
    }

    /// The least that this charge comes to.
    #[must_use]
    pub fn minimum(&self) -> Money {
        self.minimum
    }

    /// What is paid for what is beyond the included quantity.
    #[must_use]
    pub fn price(&self) -> &Model {
        &self.price
    }
}

/// Without its currency, which the plan names once.
fn amount<S: Serializer>(money: &Money, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&money.amount())
}

#[cfg(test)]
mod tests;
