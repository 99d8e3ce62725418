//! What is written of a dead letter.

use schemas::id::{Position, ProjectId, TenantId};
use schemas::time::Micros;
use sqlx::types::chrono::{DateTime, Utc};

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
