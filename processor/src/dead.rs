//! Dead letters: accepted events that this weir can't read, kept whole, each with the position of its log record.
//!
//! They are written in the commit of their batch ([`crate::commit`]), up to a [`budget`]. Operators look at them and
//! ask for their replay, or give them up ([`book`]). The owner of the partition replays them at their old position
//! ([`replay`]): their events are stored, or duplicates, and no longer dead, in one transaction.

pub mod write;
pub mod budget;
pub mod book;
pub mod replay;
pub mod heads;
mod letter;
mod known;
mod apply;
mod unfold;

use std::fmt;
use std::str::FromStr;

use schemas::id::Position;

pub use unfold::HourOf;

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
    /// The partition's owner is to replay it.
    Asked,
    /// Its events are stored, or duplicates.
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

/// Why dead letters can't be read or replayed now.
#[derive(Debug, thiserror::Error)]
pub enum DeadError {
    /// Postgres failed.
    #[error("Postgres failed")]
    Postgres(#[from] sqlx::Error),
    /// ClickHouse failed.
    #[error("ClickHouse failed")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// Another processor owns the partition: nothing was committed.
    #[error("a partition was taken by another processor")]
    NotOwner,
    /// Rows below the cursor of an owned partition were brought back: their ids have to be read.
    #[error("rows of partition {0} were brought back")]
    IdsChanged(u32),
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
