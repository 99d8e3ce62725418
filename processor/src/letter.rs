//! What a dead letter is: its name, its state, and what is written of it.

use std::fmt;
use std::str::FromStr;

use schemas::id::{Position, ProjectId, TenantId};
use schemas::time::Micros;
use sqlx::types::chrono::{DateTime, Utc};

/// The name of a dead letter, as in `3:812646400`: partition and position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterId {
    /// The partition.
    pub partition: u32,
    /// Its position there.
    pub position: Position,
}

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

/// What is to become of a dead letter, or has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing has been decided.
    Dead,
    /// A processor is to append its events to the log again.
    Asked,
    /// Its events stand in the log once more; its bytes are gone from here.
    Replayed,
    /// It was given up; its bytes are gone.
    Discarded,
}

impl State {
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

impl FromStr for State {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Dead, Self::Asked, Self::Replayed, Self::Discarded]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or("it is dead, asked, replayed or discarded")
    }
}

/// What of a record can't be read, and what is known of it.
#[derive(Debug)]
pub struct DeadLetter {
    /// The partition.
    pub partition: u32,
    /// Where the unreadable part begins.
    pub position: Position,
    /// Whose it is, if the envelope could be read.
    pub owner: Option<(TenantId, ProjectId)>,
    /// When it was received, if the envelope could be read.
    pub received_at: Option<Micros>,
    /// How many accepted events are in it: 1 where that can't be known.
    pub events: u16,
    /// The time of its log record: milliseconds since 1970.
    pub appended_at_ms: i64,
    /// Events of the same frame that could be read, and stand before it.
    pub events_before: u16,
    /// What is wrong with it.
    pub reason: String,
    /// The whole frame.
    pub raw: Vec<u8>,
}

impl DeadLetter {
    /// When the letter's record was appended; what the calendar does not know is its beginning.
    pub(crate) fn appended_at(&self) -> DateTime<Utc> {
        let millis = self.appended_at_ms.clamp(0, Micros::RECEIVED_END.0 / 1_000);
        DateTime::from_timestamp_millis(millis).unwrap_or_default()
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
