//! `known_ids` in ClickHouse: the ids of `events`, and of what was erased since.

use clickhouse::error::Error;
use clickhouse::query::RowCursor;
use clickhouse::{Client, Row};
use schemas::id::{EventHash, Position, ProjectId};
use schemas::time::Micros;
use serde::Deserialize;

#[derive(Row, Deserialize)]
struct IdRow {
    project_id: i64,
    event_hash: u128,
    position: u64,
    received_at: i64,
}

/// An id, where it stands, and when it was received.
pub(crate) struct Known {
    pub(crate) id: (ProjectId, EventHash),
    pub(crate) position: Position,
    pub(crate) received_at: Micros,
}

/// Ids as they come from ClickHouse.
pub(crate) struct Ids(RowCursor<IdRow>);

/// The ids of a partition at the offsets `[lo, hi)` that were received at `since` or after, in no order.
pub(crate) fn within(
    client: &Client,
    partition: u32,
    (lo, hi): (u64, u64),
    since: Micros,
) -> Result<Ids, Error> {
    let rows = client
        .query(
            "SELECT project_id, event_hash, position, received_at FROM known_ids
             WHERE log_partition = ? AND position >= ? AND position < ?
               AND received_at >= fromUnixTimestamp64Micro(?)",
        )
        .bind(partition)
        .bind(Position::first_of(lo).number())
        .bind(Position::first_of(hi).number())
        .bind(since.0)
        .fetch::<IdRow>()?;
    Ok(Ids(rows))
}

impl Ids {
    /// The next one; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Known>, Error> {
        let row = self.0.next().await?;
        Ok(row.map(|row| Known {
            id: (ProjectId(row.project_id), EventHash(row.event_hash)),
            position: Position::from_number(row.position),
            received_at: Micros(row.received_at),
        }))
    }
}
