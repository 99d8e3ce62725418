//! A dead letter, as the processor that writes it and operators who decide about it name it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::described::{self, described};
use crate::id::Position;

/// The name of a dead letter, as in `3:812646400`: partition and position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterId {
    /// The partition.
    pub partition: u32,
    /// Its position there.
    pub position: Position,
}

described!(LetterId, described::text("^[0-9]+:[0-9]+$"));

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.position.number())
    }
}

impl FromStr for LetterId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once(':').and_then(|(partition, position)| {
            let position = Position::from_number(position.parse().ok()?);
            Some(Self { partition: partition.parse().ok()?, position })
        });
        parsed.ok_or("a dead letter is named by its partition and position, as in 3:812646400")
    }
}

impl Serialize for LetterId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is to become of a dead letter, or has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LetterState {
    /// Nothing has been decided.
    Dead,
    /// A processor is to append its events to the log again.
    Asked,
    /// Its events stand in the log once more; its bytes are gone from here.
    Replayed,
    /// It was given up; its bytes are gone.
    Discarded,
}

impl LetterState {
    /// Its word in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Asked => "asked",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}

impl FromStr for LetterState {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Dead, Self::Asked, Self::Replayed, Self::Discarded]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or("it is dead, asked, replayed or discarded")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_named_by_partition_and_position() {
        let id = LetterId { partition: 3, position: Position::new(12_400, 7) };
        assert_eq!(id.to_string(), "3:812646407");
        assert_eq!("3:812646407".parse(), Ok(id));
        for text in ["", "3", "3:", ":1", "3:x", "-1:0", "3:18446744073709551616", "1:2:3"] {
            assert!(text.parse::<LetterId>().is_err(), "{text}");
        }
    }
}
