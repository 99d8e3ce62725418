//! JSON in which no object names a member twice: with `serde_json` alone, the last one would count in silence.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::problem::{Problems, inside};

/// The value that a text says. A member that is there twice is a problem, and the last one is read on.
pub(super) fn parse(text: &[u8], problems: &mut Problems) -> Option<Value> {
    let found = RefCell::new(Problems::default());
    let mut from = serde_json::Deserializer::from_slice(text);
    let place = Place { pointer: String::new(), found: &found };
    let value = place.deserialize(&mut from).and_then(|value| from.end().map(|()| value));
    *problems = found.take();
    value.map_err(|error| problems.add("", format_args!("is no JSON: {error}"))).ok()
}

/// Where a value is being read.
struct Place<'p> {
    pointer: String,
    found: &'p RefCell<Problems>,
}

impl Place<'_> {
    fn inside(&self, step: &str) -> Self {
        Self { pointer: inside(&self.pointer, step), found: self.found }
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.inside(&values.len().to_string()))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let place = self.inside(&name);
            if members.contains_key(&name) {
                self.found.borrow_mut().add(&place.pointer, "is named twice");
            }
            members.insert(name, object.next_value_seed(place)?);
        }
        Ok(Value::Object(members))
    }
}
