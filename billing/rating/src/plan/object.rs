//! An object of JSON that is read member by member: each problem is noted where it is, and reading goes on.

use std::fmt;

use serde_json::{Map, Value};

use super::problem::{Problems, inside};

/// An object, where it is, and what may be in it.
pub(super) struct Object<'v> {
    pointer: String,
    members: &'v Map<String, Value>,
}

impl<'v> Object<'v> {
    /// The object at `pointer`, unless it is something else. Members that it does not know are problems.
    pub(super) fn open(
        value: &'v Value,
        pointer: &str,
        known: &[&str],
        problems: &mut Problems,
    ) -> Option<Self> {
        let Some(members) = value.as_object() else {
            problems.add(pointer, "is an object");
            return None;
        };
        for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
            problems.add(&inside(pointer, name), format_args!("is not known here: {}", known.join(", ")));
        }
        Some(Self { pointer: pointer.to_owned(), members })
    }

    pub(super) fn at(&self, name: &str) -> String {
        inside(&self.pointer, name)
    }

    /// A member that has to be there.
    pub(super) fn member(&self, name: &str, problems: &mut Problems) -> Option<&'v Value> {
        let member = self.members.get(name);
        if member.is_none() {
            problems.add(&self.at(name), "is missing");
        }
        member
    }

    /// What `read` makes of a member that has to be there.
    pub(super) fn required<T, E: fmt::Display>(
        &self,
        name: &str,
        read: impl FnOnce(&'v Value) -> Result<T, E>,
        problems: &mut Problems,
    ) -> Option<T> {
        let value = self.member(name, problems)?;
        read(value).map_err(|detail| problems.add(&self.at(name), detail)).ok()
    }

    /// What `read` makes of a member that may be left out.
    pub(super) fn optional<T, E: fmt::Display>(
        &self,
        name: &str,
        default: T,
        read: impl FnOnce(&'v Value) -> Result<T, E>,
        problems: &mut Problems,
    ) -> Option<T> {
        if self.members.contains_key(name) { self.required(name, read, problems) } else { Some(default) }
    }

    /// The elements of a list that has to be there, each with its pointer.
    pub(super) fn list(
        &self,
        name: &str,
        most: usize,
        problems: &mut Problems,
    ) -> Option<impl Iterator<Item = (String, &'v Value)> + use<'v>> {
        let pointer = self.at(name);
        let elements = self.required(name, |value| value.as_array().ok_or("is a list"), problems)?;
        if elements.len() > most {
            problems.add(&pointer, format_args!("has at most {most} elements"));
            return None;
        }
        Some(elements.iter().enumerate().map(move |(n, value)| (inside(&pointer, &n.to_string()), value)))
    }
}
