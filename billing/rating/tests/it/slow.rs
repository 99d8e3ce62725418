//! The slow oracle: it takes each bit of usage by itself, asks what that bit costs, and counts in big integers. It
//! reads the plan's JSON, and nothing of the crate.

use num_bigint::BigInt;
use num_rational::BigRational;
use serde_json::Value;

/// How many bits one unit is cut into.
pub(crate) const BITS: u64 = 4;

/// The fraction that a text says.
fn fraction(text: &Value) -> BigRational {
    let text = text.as_str().unwrap_or("0");
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits: BigInt = format!("{whole}{decimals}").parse().unwrap();
    BigRational::new(digits, BigInt::from(10).pow(u32::try_from(decimals.len()).unwrap()))
}

/// Cents, rounded half away from zero.
fn cents(amount: &BigRational) -> BigInt {
    (amount * BigInt::from(100)).round().to_integer()
}

fn count(bits: u64) -> BigRational {
    BigRational::new(bits.into(), BITS.into())
}

/// The number of the tier in which the bit lies that is number `bit` (from 1) beyond what is included.
fn tier_of(bit: u64, tiers: &[Value]) -> usize {
    tiers.iter().position(|tier| tier["up_to"].is_null() || count(bit) <= fraction(&tier["up_to"])).unwrap()
}

/// What a charge comes to in cents, when its meter has counted so many bits.
pub(crate) fn charge_cents(charge: &Value, bits: u64) -> BigInt {
    let price = &charge["price"];
    let model = price["model"].as_str().unwrap();
    let none = Vec::new();
    let tiers = price["tiers"].as_array().unwrap_or(&none);
    let included = fraction(&charge["included"]);
    let (mut beyond, mut packages, mut room) = (0_u64, 0_u64, BigRational::from_integer(0.into()));
    let mut in_tier = vec![0_u64; tiers.len()];
    for bit in 1..=bits {
        let is_capped = !charge["cap"].is_null() && count(bit) > fraction(&charge["cap"]);
        if count(bit) <= included || is_capped || model == "none" {
            continue;
        }
        beyond += 1;
        match model {
            "graduated" => in_tier[tier_of(beyond, tiers)] += 1,
            // Each bit more can move all of them to another tier.
            "volume" => {
                in_tier.fill(0);
                in_tier[tier_of(beyond, tiers)] = beyond;
            }
            "package" => {
                if room < count(1) {
                    packages += 1;
                    room += fraction(&price["size"]);
                }
                room -= count(1);
            }
            _ => {}
        }
    }
    let whole = |number: u64| BigRational::from_integer(number.into());
    let mut total = match model {
        "flat" => cents(&(fraction(&price["unit"]) * count(beyond))),
        "package" => cents(&(fraction(&price["amount"]) * whole(packages))),
        _ => BigInt::from(0),
    };
    for (tier, bits) in tiers.iter().zip(in_tier).filter(|(_, bits)| *bits > 0) {
        total += cents(&(fraction(&tier["unit"]) * count(bits)));
        total += cents(&fraction(&tier["flat"]));
    }
    total.max(cents(&fraction(&charge["minimum"])))
}

/// What a plan comes to in cents, when its meters have counted so many bits, in the order of its charges.
pub(crate) fn plan_cents(plan: &Value, bits: &[u64]) -> BigInt {
    let charges = plan["charges"].as_array().unwrap().iter().zip(bits);
    let used: BigInt = charges.map(|(charge, bits)| charge_cents(charge, *bits)).sum();
    (used + cents(&fraction(&plan["fee"]))).max(cents(&fraction(&plan["minimum"])))
}
