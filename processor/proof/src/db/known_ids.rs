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

/// Positions that one query names: ClickHouse takes queries of 256 KiB.
pub(crate) const POSITIONS_MAX: usize = 10_000;

/// Of these positions of a partition those that have, or had, a row.
pub(crate) async fn at(
    client: &Client,
    partition: u32,
    positions: &[Position],
) -> Result<Vec<Position>, Error> {
    let positions: Vec<u64> = positions.iter().map(|position| position.number()).collect();
    let there: Vec<u64> = client
        .query("SELECT DISTINCT position FROM known_ids WHERE log_partition = ? AND position IN ?")
        .bind(partition)
        .bind(positions)
        .fetch_all()
        .await?;
    Ok(there.into_iter().map(Position::from_number).collect())
}

/// When the newest event of a partition before an offset was received.
pub(crate) async fn newest_before(
    client: &Client,
    partition: u32,
    end: u64,
) -> Result<Option<Micros>, Error> {
    let newest: Option<i64> = client
        .query(
            "SELECT toUnixTimestamp64Micro(max(received_at)) FROM known_ids
             WHERE log_partition = ? AND position < ? HAVING count() > 0",
        )
        .bind(partition)
        .bind(Position::first_of(end).number())
        .fetch_optional()
        .await?;
    Ok(newest.map(Micros))
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
