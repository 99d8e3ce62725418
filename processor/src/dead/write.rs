//! Dead letters on their way into the book.

use schemas::id::{Position, ProjectId, TenantId};
use schemas::time::Micros;
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};

use crate::batch::Unreadable;

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

impl From<Unreadable<'_>> for DeadLetter {
    fn from(unreadable: Unreadable<'_>) -> Self {
        let envelope = unreadable.envelope;
        Self {
            partition: unreadable.partition,
            position: unreadable.position,
            owner: envelope.map(|envelope| (envelope.tenant, envelope.project)),
            received_at: envelope.map(|envelope| envelope.received_at),
            events: unreadable.events,
            appended_at_ms: unreadable.appended_at_ms,
            events_before: unreadable.events_before,
            reason: unreadable.reason.to_string(),
            raw: unreadable.raw.to_vec(),
        }
    }
}

impl DeadLetter {
    /// When the letter's record was appended; what the calendar does not know is its beginning.
    pub(crate) fn appended_at(&self) -> DateTime<Utc> {
        let millis = self.appended_at_ms.clamp(0, Micros::RECEIVED_END.0 / 1_000);
        DateTime::from_timestamp_millis(millis).unwrap_or_default()
    }
}

/// Writes them, in the commit of their batch.
pub(crate) async fn write(tx: &mut PgConnection, dead: &[DeadLetter]) -> Result<(), sqlx::Error> {
    for letter in dead {
        sqlx::query(
            "INSERT INTO dead_letter (partition, position, tenant_id, project_id, received_at, events, reason, raw,
                                      events_before, appended_at)
             VALUES ($1, $2::text::numeric, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(i64::from(letter.partition))
        .bind(letter.position.number().to_string())
        .bind(letter.owner.map(|(tenant, _)| tenant.0))
        .bind(letter.owner.map(|(_, project)| project.0))
        .bind(letter.received_at.and_then(|at| DateTime::from_timestamp_micros(at.0)))
        .bind(i64::from(letter.events))
        .bind(&letter.reason)
        .bind(&letter.raw)
        .bind(i32::from(letter.events_before))
        .bind(letter.appended_at())
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}
