//! Where else an id is known: asked of ClickHouse, which has every id that was stored, however old.

use std::collections::BTreeMap;

use clickhouse::{Client, Row};
use schemas::id::{EventHash, Position, ProjectId};
use schemas::time::Micros;
use serde::Deserialize;

use crate::batch::Placed;

/// Ids of one query: it names each, and ClickHouse takes queries of 256 KiB.
const IDS_MAX: usize = 4_000;

/// Positions of rows by id.
pub(super) type Known = BTreeMap<(ProjectId, EventHash), Vec<Position>>;

#[derive(Row, Deserialize)]
struct KnownRow {
    event_hash: u128,
    position: u64,
}

/// The rows of the events' partition that have their ids, wherever they stand, and were received at or after `since`.
///
/// # Errors
/// If ClickHouse fails: nothing can be judged then.
pub(super) async fn known(
    client: &Client,
    events: &[Placed<'_>],
    since: Micros,
) -> Result<Known, clickhouse::error::Error> {
    let mut known = Known::new();
    for of_one in events.chunk_by(|a, b| a.envelope.project == b.envelope.project) {
        for events in of_one.chunks(IDS_MAX) {
            let Some(Placed { partition, envelope, .. }) = events.first() else { continue };
            // As texts: a number this large in a query would be read as a float.
            let hashes: Vec<String> = events.iter().map(|placed| placed.event.hash.0.to_string()).collect();
            let rows: Vec<KnownRow> = client
                .query(
                    "SELECT event_hash, position FROM known_ids
                     WHERE tenant_id = ? AND project_id = ? AND log_partition = ?
                       AND received_at >= fromUnixTimestamp64Micro(?)
                       AND event_hash IN (SELECT toUInt128(arrayJoin(?)))",
                )
                .bind(envelope.tenant.0)
                .bind(envelope.project.0)
                .bind(*partition)
                .bind(since.0)
                .bind(hashes)
                .fetch_all()
                .await?;
            for row in rows {
                let id = (envelope.project, EventHash(row.event_hash));
                known.entry(id).or_default().push(Position::from_number(row.position));
            }
        }
    }
    Ok(known)
}
