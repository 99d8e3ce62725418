//! What JSON is, by `serde_json`'s word.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Whether `text` is one JSON value, bare `NaN` and `Infinity` taken for one as ingest does.
pub(super) fn is_json(text: &[u8]) -> bool {
    str::from_utf8(text)
        .is_ok_and(|text| serde_json::from_str::<&RawValue>(&with_finite_numbers(text)).is_ok())
}

/// `text` with `null` for each `NaN`, `Infinity` and `-Infinity` that stands outside of a string.
pub(super) fn with_finite_numbers(text: &str) -> String {
    let mut finite = String::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let Some(first) = rest.chars().next() {
        let word =
            ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| !in_string && rest.starts_with(word));
        let escaped = in_string && first == '\\';
        let taken = match word {
            Some(word) => word.len(),
            // What follows a backslash does not end the string.
            None if escaped => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            None => first.len_utf8(),
        };
        in_string ^= first == '"';
        finite.push_str(if word.is_some() { "null" } else { &rest[..taken] });
        rest = &rest[taken..];
    }
    finite
}

/// An object's members in order, those with the same key each.
#[derive(Debug)]
pub(super) struct Object<'a>(pub Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    /// `None` if `text` is not an object, or a key can't be held in a text.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The last member of that name.
    pub(super) fn last(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rfind(|(key, _)| key == name).map(|(_, value)| value.get())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(Object)
    }
}
