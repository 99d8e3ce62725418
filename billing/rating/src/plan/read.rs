//! From JSON to a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::model::{Model, Tier};
use super::object::Object;
use super::problem::{InvalidPlan, Problems, inside};
use super::strict;
use super::{Charge, Interval, Plan};
use crate::currency::Currency;
use crate::decimal::NotDecimal;
use crate::money::Money;
use crate::price::Price;
use crate::quantity::Quantity;

/// How large a plan may be.
pub mod limit {
    use std::ops::RangeInclusive;

    /// Bytes of a plan's name.
    pub const NAME_BYTES_MAX: usize = 100;
    /// Characters of a meter's or feature's name.
    pub const WORD_CHARACTERS_MAX: usize = 64;
    /// Charges of a plan.
    pub const CHARGES_MAX: usize = 50;
    /// Tiers of a charge.
    pub const TIERS_MAX: usize = 50;
    /// Features of a plan.
    pub const FEATURES_MAX: usize = 100;
    /// Days of a trial.
    pub const TRIAL_DAYS_MAX: u32 = 730;
    /// Events a second, where they are limited.
    pub const RATE: RangeInclusive<u32> = 1..=1_000_000_000;
    /// Days that events are kept, where they are not kept without limit.
    pub const RETENTION_DAYS: RangeInclusive<u32> = 7..=36_500;
}

const PLAN: [&str; 10] = [
    "name",
    "currency",
    "interval",
    "fee",
    "trial_days",
    "minimum",
    "rate",
    "retention_days",
    "features",
    "charges",
];
const CHARGE: [&str; 5] = ["meter", "included", "cap", "minimum", "price"];
const TIER: [&str; 3] = ["up_to", "unit", "flat"];
/// The meter that is always there. It counts whole events.
const EVENTS: &str = "events";

impl Plan {
    /// The plan that a text of JSON says.
    ///
    /// # Errors
    /// With all that is wrong, if anything is.
    pub fn from_json(text: &[u8]) -> Result<Self, InvalidPlan> {
        let mut problems = Problems::default();
        let value = strict::parse(text, &mut problems);
        let plan = value.and_then(|value| read_plan(&value, &mut problems));
        plan.filter(|_| problems.0.is_empty()).ok_or(InvalidPlan { problems: problems.0 })
    }
}

fn read_plan(value: &Value, problems: &mut Problems) -> Option<Plan> {
    let plan = Object::open(value, "", &PLAN, problems)?;
    let name = plan.required("name", name, problems);
    let currency = plan.required("currency", |value| Currency::of(text(value)?).map_err(detail), problems);
    // What else is wrong is said, too, where the currency is: by the one with the most decimals.
    let money = |value| money(value, currency.unwrap_or(Currency::CLF));
    let interval = plan.required("interval", interval, problems);
    let fee = plan.required("fee", money, problems);
    let trial_days =
        plan.optional("trial_days", 0, |value| number(value, 0..=limit::TRIAL_DAYS_MAX), problems);
    let nothing = Money::zero(currency.unwrap_or(Currency::CLF));
    let minimum = plan.optional("minimum", nothing, money, problems);
    let rate = plan.required("rate", or_null(|value| number(value, limit::RATE)), problems);
    let kept = or_null(|value| number(value, limit::RETENTION_DAYS));
    let retention_days = plan.required("retention_days", kept, problems);
    let features = plan.optional("features", None, |value| Ok::<_, &str>(Some(value)), problems);
    let features = features.flatten().map_or_else(BTreeMap::new, |value| read_features(value, problems));
    let charges = plan.list("charges", limit::CHARGES_MAX, problems);
    let mut read = Vec::new();
    let mut meters = BTreeSet::new();
    for (pointer, value) in charges.into_iter().flatten() {
        let meter = value.get("meter").and_then(Value::as_str);
        if meter.is_some_and(|meter| !meters.insert(meter)) {
            problems.add(&inside(&pointer, "meter"), "has another charge already");
        }
        read.extend(read_charge(value, &pointer, nothing.currency(), problems));
    }
    Some(Plan {
        name: name?,
        currency: currency?,
        interval: interval?,
        fee: fee?,
        trial_days: trial_days?,
        minimum: minimum?,
        rate: rate?,
        retention_days: retention_days?,
        features,
        charges: read,
    })
}

fn read_features(value: &Value, problems: &mut Problems) -> BTreeMap<String, bool> {
    let pointer = "/features";
    let Some(features) = value.as_object() else {
        problems.add(pointer, "is an object of true and false");
        return BTreeMap::new();
    };
    if features.len() > limit::FEATURES_MAX {
        problems.add(pointer, format_args!("has at most {} features", limit::FEATURES_MAX));
        return BTreeMap::new();
    }
    let mut read = BTreeMap::new();
    for (name, value) in features {
        match (word(name), value.as_bool()) {
            (Ok(name), Some(is_on)) => drop(read.insert(name, is_on)),
            (Err(rule), _) => problems.add(&inside(pointer, name), format_args!("has a name that {rule}")),
            (Ok(_), None) => problems.add(&inside(pointer, name), "is true or false"),
        }
    }
    read
}

fn read_charge(value: &Value, pointer: &str, currency: Currency, problems: &mut Problems) -> Option<Charge> {
    let charge = Object::open(value, pointer, &CHARGE, problems)?;
    let meter = charge.required("meter", |value| word(text(value)?), problems);
    let counts_whole = meter.as_deref() == Some(EVENTS);
    let counted = |value: &Value| match quantity(value)? {
        parts if counts_whole && !parts.is_whole() => Err("is a whole number: events are".to_owned()),
        quantity => Ok(quantity),
    };
    let included = charge.optional("included", Quantity::ZERO, counted, problems);
    let cap = charge.required("cap", or_null(counted), problems);
    let money = |value| money(value, currency);
    let minimum = charge.optional("minimum", Money::zero(currency), money, problems);
    let price =
        charge.member("price", problems).and_then(|value| read_model(value, &charge.at("price"), problems));
    if let (Some(included), Some(Some(cap))) = (included, cap) {
        if cap < included {
            problems.add(&charge.at("cap"), format_args!("is not below what is included ({included})"));
        } else if price == Some(Model::None) && cap != included {
            let rule =
                format_args!("is what is included ({included}) or null, where nothing beyond has a price");
            problems.add(&charge.at("cap"), rule);
        }
    }
    Some(Charge { meter: meter?, included: included?, cap: cap?, minimum: minimum?, price: price? })
}

fn read_model(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Model> {
    let members: &[&str] = match value.get("model").and_then(Value::as_str) {
        Some("none") => &["model"],
        Some("flat") => &["model", "unit"],
        Some("graduated" | "volume") => &["model", "tiers"],
        Some("package") => &["model", "size", "amount"],
        _ if value.is_object() => {
            let models = "is one of: none, flat, graduated, volume, package";
            problems.add(&inside(pointer, "model"), models);
            return None;
        }
        _ => &[],
    };
    let model = Object::open(value, pointer, members, problems)?;
    match value.get("model").and_then(Value::as_str)? {
        "flat" => Some(Model::Flat { unit: model.required("unit", price, problems)? }),
        "graduated" => Some(Model::Graduated { tiers: read_tiers(&model, problems)? }),
        "volume" => Some(Model::Volume { tiers: read_tiers(&model, problems)? }),
        "package" => {
            let size = model.required("size", package_size, problems);
            let amount = model.required("amount", price, problems);
            Some(Model::Package { size: size?, amount: amount? })
        }
        _ => Some(Model::None),
    }
}

fn read_tiers(model: &Object<'_>, problems: &mut Problems) -> Option<Vec<Tier>> {
    let list: Vec<_> = model.list("tiers", limit::TIERS_MAX, problems)?.collect();
    if list.is_empty() {
        problems.add(&model.at("tiers"), "has at least one tier");
    }
    let count = list.len();
    let mut tiers = Vec::new();
    let mut before = Quantity::ZERO;
    for (n, (pointer, value)) in list.into_iter().enumerate() {
        let Some(tier) = Object::open(value, &pointer, &TIER, problems) else { continue };
        let up_to = tier.required("up_to", or_null(quantity), problems);
        match up_to {
            Some(None) if n + 1 < count => problems.add(&tier.at("up_to"), "is null in the last tier alone"),
            Some(Some(_)) if n + 1 == count => problems.add(&tier.at("up_to"), "is null in the last tier"),
            Some(Some(end)) if end <= before => {
                problems
                    .add(&tier.at("up_to"), format_args!("is above the end of the tier before ({before})"));
            }
            Some(Some(end)) => before = end,
            Some(None) | None => {}
        }
        let unit = tier.required("unit", price, problems);
        let flat = tier.optional("flat", Price::ZERO, price, problems);
        if let (Some(up_to), Some(unit), Some(flat)) = (up_to, unit, flat) {
            tiers.push(Tier { up_to, unit, flat });
        }
    }
    (tiers.len() == count && count > 0).then_some(tiers)
}

fn detail(error: impl fmt::Display) -> String {
    error.to_string()
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "is a text".to_owned())
}

fn name(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    let is_good = (1..=limit::NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control);
    if is_good && name.trim() == name {
        return Ok(name.to_owned());
    }
    let most = limit::NAME_BYTES_MAX;
    Err(format!("has 1 to {most} bytes, no control characters, and no space at its ends"))
}

/// The name of a meter or feature.
fn word(text: &str) -> Result<String, String> {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    if begins && text.len() <= limit::WORD_CHARACTERS_MAX && text.chars().all(is_good) {
        return Ok(text.to_owned());
    }
    let most = limit::WORD_CHARACTERS_MAX;
    Err(format!("has up to {most} of a-z, 0-9 and _, and begins with a letter"))
}

fn interval(value: &Value) -> Result<Interval, &'static str> {
    match value.as_str() {
        Some("month") => Ok(Interval::Month),
        Some("year") => Ok(Interval::Year),
        _ => Err("is month or year"),
    }
}

fn number(value: &Value, range: std::ops::RangeInclusive<u32>) -> Result<u32, String> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    let fits = number.filter(|number| range.contains(number));
    fits.ok_or_else(|| format!("is a whole number, {} to {}", range.start(), range.end()))
}

fn decimal(value: &Value) -> Result<&str, NotDecimal> {
    value.as_str().ok_or(NotDecimal::Form)
}

fn money(value: &Value, currency: Currency) -> Result<Money, NotDecimal> {
    let money = Money::read(decimal(value)?, currency)?;
    if money.minor() < 0 { Err(NotDecimal::Negative) } else { Ok(money) }
}

fn price(value: &Value) -> Result<Price, NotDecimal> {
    decimal(value)?.parse()
}

fn quantity(value: &Value) -> Result<Quantity, String> {
    let quantity: Quantity = decimal(value).and_then(str::parse).map_err(detail)?;
    if quantity < Quantity::ZERO { Err(detail(NotDecimal::Negative)) } else { Ok(quantity) }
}

fn package_size(value: &Value) -> Result<Quantity, String> {
    let size = quantity(value)?;
    if size.is_whole() && size >= Quantity::ONE {
        Ok(size)
    } else {
        Err("is a whole number, 1 or more".to_owned())
    }
}

/// `null` for no limit, or what `read` makes of it.
fn or_null<T, E>(read: impl Fn(&Value) -> Result<T, E>) -> impl Fn(&Value) -> Result<Option<T>, E> {
    move |value| if value.is_null() { Ok(None) } else { read(value).map(Some) }
}
