//! `known_ids` in ClickHouse: the ids of rows that are there and of those that were erased.

use clickhouse::query::RowCursor;
use clickhouse::{Client, Row};
use schemas::id::{EventHash, Position, ProjectId};
use schemas::time::Micros;
use seen::Seen;
use serde::Deserialize;

#[derive(Row, Deserialize)]
struct IdRow {
    project_id: i64,
    event_hash: u128,
    position: u64,
    received_at: i64,
}

/// When the newest event of a partition at or after the position `from` was received.
pub(crate) async fn newest(
    client: &Client,
    partition: u32,
    from: Position,
) -> Result<Option<Micros>, clickhouse::error::Error> {
    let newest: Option<i64> = client
        .query(
            "SELECT toUnixTimestamp64Micro(max(received_at)) FROM known_ids
             WHERE log_partition = ? AND position >= ? HAVING count() > 0",
        )
        .bind(partition)
        .bind(from.number())
        .fetch_optional()
        .await?;
    Ok(newest.map(Micros))
}

/// The ids of a partition at or after the position `from` that were received in `[since, until)`, in no order.
pub(crate) fn since(
    client: &Client,
    partition: u32,
    from: Position,
    since: Micros,
    until: Option<Micros>,
) -> Result<Ids, clickhouse::error::Error> {
    let rows = client
        .query(
            "SELECT project_id, event_hash, position, received_at FROM known_ids
             WHERE log_partition = ? AND position >= ?
               AND received_at >= fromUnixTimestamp64Micro(?) AND received_at < fromUnixTimestamp64Micro(?)",
        )
        .bind(partition)
        .bind(from.number())
        .bind(since.0)
        .bind(until.unwrap_or(Micros::RECEIVED_END).0)
        .fetch::<IdRow>()?;
    Ok(Ids(rows))
}

/// Ids as they come from ClickHouse.
pub struct Ids(RowCursor<IdRow>);

impl Ids {
    /// The next one; `None` after the last.
    ///
    /// # Errors
    /// If ClickHouse fails.
    pub async fn next(&mut self) -> Result<Option<Seen>, clickhouse::error::Error> {
        let row = self.0.next().await?;
        Ok(row.map(|row| Seen {
            project: ProjectId(row.project_id),
            hash: EventHash(row.event_hash),
            position: Position::from_number(row.position),
            received_at: Micros(row.received_at),
        }))
    }
}
