//! A part of a fee for a part of a period, to the second.
//!
//! # Nothing is lost
//! What is due up to an instant is rounded once, from the start of the period. A part between two instants is the
//! difference of what is due up to each. So the parts of a period add up to its fee, whatever the cuts are; and a part
//! that was billed does not change when there is another cut after it.

use schemas::time::Micros;

use crate::money::{Money, MoneyError};
use crate::period::Period;
use crate::price::divide;

/// What a change to another plan costs for the rest of a period: two lines, of which the first one gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What is left of the old fee: zero or negative.
    pub unused: Money,
    /// The new fee for the rest of the period.
    pub rest: Money,
    /// What is due now: the sum of both.
    pub due: Money,
}

/// What of `fee` is due for the part of `period` before `at`: nothing before it begins, all of it once it has ended.
///
/// Rounded half away from zero to the minor unit. Instants count to the second below. An empty period is over at once.
#[must_use]
pub fn due_before(fee: Money, period: Period, at: Micros) -> Money {
    let second = |instant: Micros| i128::from(instant.seconds());
    let length = second(period.end) - second(period.start);
    if at >= period.end || length <= 0 {
        return fee;
    }
    let elapsed = (second(at) - second(period.start)).max(0);
    let minor = divide(i128::from(fee.minor()) * elapsed, length);
    // It lies between zero and the fee, which fits.
    Money::new(i64::try_from(minor).unwrap_or(fee.minor()), fee.currency())
}

/// What of `fee` is due for the part of `period` from `at` on.
#[must_use]
pub fn due_from(fee: Money, period: Period, at: Micros) -> Money {
    let before = due_before(fee, period, at);
    Money::new(fee.minor() - before.minor(), fee.currency())
}

/// `fee` in parts, cut at instants in their order: one part more than there are cuts.
#[must_use]
pub fn parts(fee: Money, period: Period, cuts: &[Micros]) -> Vec<Money> {
    let mut before = Money::zero(fee.currency());
    let ends = cuts.iter().map(|cut| due_before(fee, period, *cut)).chain([fee]);
    let part = |end: Money| {
        let part = Money::new(end.minor() - before.minor(), fee.currency());
        before = end;
        part
    };
    ends.map(part).collect()
}

/// What it costs to go from one fee to another at an instant of a period, which goes on to its end.
///
/// # Errors
/// If the fees are of two currencies, or their difference is too large.
pub fn change(old: Money, new: Money, period: Period, at: Micros) -> Result<Change, MoneyError> {
    let unused = Money::zero(old.currency()).minus(due_from(old, period, at))?;
    let rest = due_from(new, period, at);
    Ok(Change { unused, rest, due: unused.plus(rest)? })
}

#[cfg(test)]
mod tests;
