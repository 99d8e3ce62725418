//! From a spending limit to a number of events.
//!
//! # What holds
//! The number of events is the largest `n` such that the total stays at or below the limit *at every usage from 0 to
//! `n`*. So a cap of `n` events keeps a tenant below its limit at each moment of the period, and `n + 1` events would
//! pass the limit.
//!
//! With `volume` prices a total can fall: at 101 units all may cost what only the last one saved. So the total can be
//! below the limit again at some usage beyond `n`. Nobody gets there, since the usage between costs more than the
//! limit, and a period can end on it.

use crate::money::{Money, MoneyError};
use crate::plan::Plan;
use crate::quantity::Quantity;
use crate::rate::rate;
use crate::usage::Usage;

/// How many whole units of a meter a limit pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Affordable {
    /// Not even none: the fee, or a minimum, is above the limit.
    Nothing,
    /// This many, and not one more.
    UpTo(u64),
    /// As many as a quantity can be ([`Quantity::WHOLE_MAX`]).
    All,
}

/// What of a rated period a limit holds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The subtotal: fee, all charges and minimums.
    Plan,
    /// The lines of the one meter, its minimum with them.
    Charge,
}

impl Affordable {
    /// As a cap; `None`: no cap.
    #[must_use]
    pub fn cap(self) -> Option<u64> {
        match self {
            Self::Nothing => Some(0),
            Self::UpTo(most) => Some(most),
            Self::All => None,
        }
    }
}

/// How many units of `meter` a limit pays for, while all other meters stand where `others` says.
///
/// It asks [`rate()`] itself, some 50 times for a charge and some 50 more where prices are by tier, so it cannot differ
/// from an invoice.
///
/// # Errors
/// If the limit is in another currency than the plan.
pub fn affordable(
    plan: &Plan,
    meter: &str,
    others: &Usage,
    limit: Money,
    scope: Scope,
) -> Result<Affordable, MoneyError> {
    limit.plus(Money::zero(plan.currency()))?;
    let mut usage = others.clone();
    let mut is_within = |units: u64| {
        usage.set(meter, Quantity::whole(units).unwrap_or(Quantity::MAX));
        let rated = rate(plan, &usage).and_then(|rated| match scope {
            Scope::Plan => Ok(rated.subtotal),
            Scope::Charge => rated.of_meter(meter),
        });
        match rated.and_then(|total| limit.is_below(total)) {
            Ok(is_passed) => Ok(!is_passed),
            // More than money can be is more than the limit.
            Err(MoneyError::Overflow) => Ok(false),
            Err(error) => Err(error),
        }
    };
    let mut first = 0;
    for last in ends(plan, meter) {
        if last >= first {
            if !is_within(last)? {
                return first_beyond(first, last, is_within).map(before);
            }
            first = last + 1;
        }
    }
    Ok(Affordable::All)
}

fn before(beyond: u64) -> Affordable {
    beyond.checked_sub(1).map_or(Affordable::Nothing, Affordable::UpTo)
}

/// The last whole unit of each stretch in which the total does not fall, in order: the ends of tiers, and of all.
fn ends(plan: &Plan, meter: &str) -> Vec<u64> {
    let charge = plan.charge(meter);
    let tiers = charge.into_iter().flat_map(|charge| {
        let ends = charge.price().tiers().iter().filter_map(|tier| tier.up_to());
        ends.map(|end| charge.included().plus(end).floor())
    });
    tiers.chain([Quantity::WHOLE_MAX]).collect()
}

/// The first number of `first..=last` that is not within the limit. `last` is not, and none after the first is.
fn first_beyond(
    first: u64,
    last: u64,
    mut is_within: impl FnMut(u64) -> Result<bool, MoneyError>,
) -> Result<u64, MoneyError> {
    let (mut low, mut high) = (first, last);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_within(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(high)
}
