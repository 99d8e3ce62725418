//! What ClickHouse has already: asked before the first batches after a start, and after every unclear insert.

use std::collections::{BTreeMap, HashSet};

use clickhouse::{Client, Row};
use schemas::id::{EventHash, Position, ProjectId};
use schemas::time::Micros;
use serde::Deserialize;
use uuid::Uuid;

use crate::batch::Range;
use crate::dedup::SeenIds;
use crate::own::Owned;

/// Positions that ClickHouse has, by partition.
pub type Present = HashSet<(u32, Position)>;

#[derive(Row, Deserialize)]
struct SeenRow {
    project_id: i64,
    event_hash: u128,
    position: u64,
    received_at: i64,
}

/// Ends the insert `query_id`, if it still runs. When this returns `Ok`, the insert has ended one way or the other.
///
/// # Errors
/// If ClickHouse does not answer: nothing is known then.
pub async fn end_insert(client: &Client, query_id: &str) -> Result<(), clickhouse::error::Error> {
    client.query("KILL QUERY WHERE query_id = ? SYNC").bind(query_id).execute().await
}

/// Ends every insert of the processor `node`, which is taken for dead. When this returns `Ok`, what it had sent is in
/// ClickHouse or will never be.
///
/// # Errors
/// If ClickHouse does not answer: nothing is known then.
pub async fn end_inserts_of(client: &Client, node: Uuid) -> Result<(), clickhouse::error::Error> {
    client.query("KILL QUERY WHERE startsWith(query_id, ?) SYNC").bind(query_prefix(node)).execute().await
}

/// What the ids of all inserts of the processor `node` begin with.
#[must_use]
pub fn query_prefix(node: Uuid) -> String {
    format!("weir-{node}-")
}

/// The positions of `ranges` that ClickHouse has.
///
/// # Errors
/// If ClickHouse fails: nothing must be inserted then.
pub async fn present(client: &Client, ranges: &[Range]) -> Result<Present, clickhouse::error::Error> {
    let mut present = Present::new();
    for range in ranges {
        let positions: Vec<u64> = client
            .query("SELECT position FROM events WHERE log_partition = ? AND position >= ? AND position < ?")
            .bind(range.partition)
            .bind(Position::first_of(range.lo).number())
            .bind(Position::first_of(range.hi).number())
            .fetch_all()
            .await?;
        present.extend(positions.into_iter().map(|at| (range.partition, Position::from_number(at))));
    }
    Ok(present)
}

/// One past the last offset of each partition of which ClickHouse has a row at or after its cursor: batches up to
/// there must be read back. Partitions without such a row are left out.
///
/// # Errors
/// If ClickHouse fails: the partitions must not be served then.
pub async fn dirty_until(
    client: &Client,
    owned: &[Owned],
) -> Result<BTreeMap<u32, u64>, clickhouse::error::Error> {
    let mut dirty = BTreeMap::new();
    for own in owned {
        let last: Option<u64> = client
            .query("SELECT max(position) FROM events WHERE log_partition = ? AND position >= ? HAVING count() > 0")
            .bind(own.partition)
            .bind(Position::first_of(own.next_offset).number())
            .fetch_optional()
            .await?;
        if let Some(last) = last {
            dirty.insert(own.partition, Position::from_number(last).offset() + 1);
        }
    }
    Ok(dirty)
}

/// The ids of a partition received since `since`, with their first positions. An erased event's id is still taken.
///
/// # Errors
/// If ClickHouse fails: the partition must not be served then.
pub async fn seen_ids(
    client: &Client,
    partition: u32,
    since: Micros,
) -> Result<SeenIds, clickhouse::error::Error> {
    let mut rows = client
        .query(
            "SELECT project_id, event_hash, position, received_at FROM known_ids
             WHERE log_partition = ? AND received_at >= fromUnixTimestamp64Micro(?)",
        )
        .bind(partition)
        .bind(since.0)
        .fetch::<SeenRow>()?;
    let mut seen = SeenIds::default();
    while let Some(row) = rows.next().await? {
        let position = Position::from_number(row.position);
        seen.see(ProjectId(row.project_id), EventHash(row.event_hash), position, Micros(row.received_at));
    }
    Ok(seen)
}
