//! From usage to lines.

use crate::currency::Currency;
use crate::line::{Kind, Line, Rated};
use crate::money::{Money, MoneyError};
use crate::plan::{Charge, Model, Plan, Tier};
use crate::price::Price;
use crate::quantity::Quantity;
use crate::usage::Usage;

/// What a period costs under a plan.
///
/// * A meter without a charge costs nothing.
/// * A negative quantity counts as 0: usage is never paid back. What was billed too much is mended by a credit note.
/// * What is beyond a charge's cap costs nothing, and has a line that says so.
/// * Except with packages, the quantities of a meter's lines for usage add up to what the meter has counted.
///
/// # Errors
/// [`MoneyError::Overflow`] if a line, or the sum of some, is more than [`Money`] holds. Up to there all is exact.
pub fn rate<'p>(plan: &'p Plan, usage: &Usage) -> Result<Rated<'p>, MoneyError> {
    let currency = plan.currency();
    let mut lines = Vec::with_capacity(2 + 2 * plan.charges().len());
    if !plan.fee().is_zero() {
        lines.push(Line::once(Kind::Fee(plan.interval()), None, plan.fee()));
    }
    for charge in plan.charges() {
        let first = lines.len();
        rate_usage(charge, usage.of(charge.meter()), currency, &mut lines)?;
        let total = sum(&lines[first..], currency)?;
        lines.extend(missing(Kind::ChargeMinimum, Some(charge.meter()), total, charge.minimum())?);
    }
    let total = sum(&lines, currency)?;
    lines.extend(missing(Kind::PlanMinimum, None, total, plan.minimum())?);
    let subtotal = sum(&lines, currency)?;
    Ok(Rated { plan, lines, subtotal })
}

/// The lines of what one meter has counted.
fn rate_usage<'p>(
    charge: &'p Charge,
    counted: Quantity,
    currency: Currency,
    lines: &mut Vec<Line<'p>>,
) -> Result<(), MoneyError> {
    let counted = counted.max(Quantity::ZERO);
    let charged = charge.cap().map_or(counted, |cap| counted.min(cap));
    let over = charged.beyond(charge.included());
    let mut push = |kind, quantity, unit| {
        if quantity > Quantity::ZERO {
            lines.push(Line::priced(kind, charge, quantity, unit, currency)?);
        }
        Ok(())
    };
    push(Kind::Included, charged.min(charge.included()), Price::ZERO)?;
    match charge.price() {
        // The cap is what is included, so nothing is over.
        Model::None => {}
        Model::Flat { unit } => push(Kind::Units, over, *unit)?,
        Model::Graduated { tiers } => {
            let mut start = Quantity::ZERO;
            for (number, tier) in (1..).zip(tiers) {
                let end = tier.up_to().map_or(over, |end| end.min(over));
                push_tier(number, tier, end.beyond(start), &mut push)?;
                start = end;
            }
        }
        Model::Volume { tiers } => {
            let reached = (1..).zip(tiers).find(|(_, tier)| tier.holds(over));
            if let Some((number, tier)) = reached {
                push_tier(number, tier, over, &mut push)?;
            }
        }
        Model::Package { size, amount } => push(Kind::Packages(*size), over.packages(*size), *amount)?,
    }
    push(Kind::BeyondCap, counted.beyond(charged), Price::ZERO)
}

/// What lies in a tier, and what is due because something does.
fn push_tier(
    number: usize,
    tier: &Tier,
    quantity: Quantity,
    push: &mut impl FnMut(Kind, Quantity, Price) -> Result<(), MoneyError>,
) -> Result<(), MoneyError> {
    push(Kind::Tier(number), quantity, tier.unit())?;
    if quantity > Quantity::ZERO && !tier.flat().is_zero() {
        push(Kind::TierReached(number), Quantity::ONE, tier.flat())?;
    }
    Ok(())
}

fn sum(lines: &[Line<'_>], currency: Currency) -> Result<Money, MoneyError> {
    Money::sum(lines.iter().map(|line| line.amount), currency)
}

/// A line of what a total falls short of a minimum, if it does.
fn missing<'p>(
    kind: Kind,
    meter: Option<&'p str>,
    total: Money,
    minimum: Money,
) -> Result<Option<Line<'p>>, MoneyError> {
    let is_short = total.is_below(minimum)?;
    is_short.then(|| Ok(Line::once(kind, meter, minimum.minus(total)?))).transpose()
}
