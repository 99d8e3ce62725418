//! Limits in requests: a number or none. JSON says `null` for none, the command line a word.

use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// A number, or no limit of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit<N>(
    /// `None`: no limit of one's own.
    pub Option<N>,
);

impl<'de, N: Deserialize<'de>> Deserialize<'de> for Limit<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Limit)
    }
}

/// Distinguishes `null` from an absent member, which needs `#[serde(default)]`.
///
/// # Errors
/// If the value is none of its type.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// On the command line: `plan` for the plan's limit.
pub(crate) fn or_plan<N: FromStr>(text: &str) -> Result<Limit<N>, String> {
    or_word(text, "plan")
}

/// On the command line: `none` for no limit.
pub(crate) fn or_none<N: FromStr>(text: &str) -> Result<Limit<N>, String> {
    or_word(text, "none")
}

fn or_word<N: FromStr>(text: &str, word: &str) -> Result<Limit<N>, String> {
    if text == word {
        return Ok(Limit(None));
    }
    text.parse().map(|n| Limit(Some(n))).map_err(|_| format!("it is a whole number, or `{word}`"))
}
