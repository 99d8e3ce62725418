//! Rows below the cursors: what ClickHouse has, what it must lose, what it must get.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clickhouse::Client;
use schemas::content::ContentHash;
use schemas::id::{EventHash, Position, ProjectId, TenantId};
use schemas::time::Micros;
use service::error::Chain;

use crate::batch::{Placed, Range};
use crate::block::Block;
use crate::db::events;
use crate::enrich::Enricher;
use crate::{insert, metrics, repair, row};

pub use crate::row::{EnrichedThen, content_hash_in_sql, hashed_bytes_in_sql};

/// Positions that one query names: ClickHouse takes queries of 256 KiB.
pub const POSITIONS_MAX: usize = 10_000;
/// Inserts of the same rows before it is given up.
const TRIES_MAX: usize = 5;

/// What makes a row this event's row, as far as the proof looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Whose it is.
    pub tenant: TenantId,
    /// In which project.
    pub project: ProjectId,
    /// Its hash.
    pub hash: EventHash,
    /// When it was received.
    pub received_at: Micros,
}

impl Identity {
    /// The event's.
    #[must_use]
    pub fn of(placed: &Placed<'_>) -> Self {
        let (envelope, event) = (&placed.envelope, &placed.event);
        let (tenant, project, received_at) = (envelope.tenant, envelope.project, envelope.received_at);
        Self { tenant, project, hash: event.hash, received_at }
    }
}

/// A row as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Whose row it says it is.
    pub identity: Identity,
    /// The hash of its contents.
    pub contents: ContentHash,
    /// Its contents are not what their hash was made of.
    pub is_altered: bool,
}

/// All rows of `partition` at `[lo, hi)`, by position: more than one where it is doubled.
///
/// # Errors
/// If ClickHouse fails.
pub async fn there(
    client: &Client,
    partition: u32,
    (lo, hi): (u64, u64),
) -> Result<BTreeMap<Position, Vec<Stored>>, clickhouse::error::Error> {
    let mut rows = events::identities(client, partition, (lo, hi), &content_hash_in_sql())?;
    let mut there: BTreeMap<Position, Vec<Stored>> = BTreeMap::new();
    while let Some(row) = rows.next().await? {
        let identity = Identity {
            tenant: TenantId(row.tenant_id),
            project: ProjectId(row.project_id),
            hash: EventHash(row.event_hash),
            received_at: Micros(row.received_at),
        };
        let contents = ContentHash(row.content_hash);
        let stored = Stored { identity, contents, is_altered: row.is_altered };
        there.entry(Position::from_number(row.position)).or_default().push(stored);
    }
    Ok(there)
}

/// How the rows of `partition` at these positions were enriched: as they say themselves.
///
/// # Errors
/// If ClickHouse fails.
pub async fn enriched_then(
    client: &Client,
    partition: u32,
    positions: &[u64],
) -> Result<BTreeMap<Position, EnrichedThen>, clickhouse::error::Error> {
    let mut all = BTreeMap::new();
    for positions in positions.chunks(POSITIONS_MAX) {
        let rows = events::enriched(client, partition, positions, &row::enriched_in_sql()).await?;
        all.extend(rows.into_iter().map(|row| {
            let then = EnrichedThen {
                enrichment: row.enrichment,
                agent: row.agent,
                place: row.place,
                campaign: row.campaign,
            };
            (Position::from_number(row.position), then)
        }));
    }
    Ok(all)
}

/// The hash of the contents of each event's row, if it was enriched as `then` says; events of which it says nothing
/// are left out.
pub fn content_hashes_then<'a>(
    events: &'a [Placed<'a>],
    enricher: &Enricher,
    then: &BTreeMap<Position, EnrichedThen>,
) -> Vec<(Position, ContentHash)> {
    let mut cache = enricher.begin_batch();
    let hash = |placed: &'a Placed<'a>| {
        let then = then.get(&placed.position)?;
        let hash = row::content_hash_then(placed, &enricher.enrich(placed, &mut cache), then);
        Some((placed.position, hash))
    };
    events.iter().filter_map(hash).collect()
}

/// Removes every row of `partition` at these positions, and returns when they are gone.
///
/// # Errors
/// If ClickHouse fails: some may be gone then.
pub async fn remove(
    client: &Client,
    partition: u32,
    positions: &[u64],
) -> Result<(), clickhouse::error::Error> {
    for positions in positions.chunks(POSITIONS_MAX) {
        events::remove(client, partition, positions).await?;
    }
    Ok(())
}

/// Removes every row of `partition` at `[lo, hi)`.
///
/// # Errors
/// If ClickHouse fails: some may be gone then.
pub async fn remove_range(
    client: &Client,
    partition: u32,
    (lo, hi): (u64, u64),
) -> Result<(), clickhouse::error::Error> {
    events::remove_range(client, partition, (lo, hi)).await
}

/// Inserts rows that ClickHouse does not have. After an insert that was not confirmed, those that it has by then are
/// left out of the next.
///
/// # Errors
/// If ClickHouse fails again and again, or does not answer: some rows may be there then.
pub async fn insert(
    client: &Client,
    enricher: &Enricher,
    deadline: Duration,
    rows: &[Placed<'_>],
) -> Result<(), clickhouse::error::Error> {
    let mut missing = rows.to_vec();
    for tries_left in (0..TRIES_MAX).rev() {
        let partitions: BTreeSet<u32> = missing.iter().map(|placed| placed.partition).collect();
        let query_id = repair::query_id(partitions);
        let block = Block::of(&missing, enricher);
        let Err(error) = insert::insert(client, &query_id, deadline, &block).await else { return Ok(()) };
        ::metrics::counter!(metrics::INSERT_RETRIES).increment(1);
        tracing::warn!(
            error = %Chain(&error), rows = missing.len(),
            "an insert below the cursor was not confirmed, reading back"
        );
        repair::end_insert(client, &query_id).await?;
        let offsets: BTreeSet<(u32, u64)> =
            missing.iter().map(|placed| (placed.partition, placed.position.offset())).collect();
        let ranges: Vec<Range> = hull(&offsets);
        let present = repair::present(client, &ranges).await?;
        missing.retain(|placed| !present.contains_key(&(placed.partition, placed.position)));
        if missing.is_empty() {
            return Ok(());
        }
        if tries_left == 0 {
            return Err(error);
        }
    }
    Ok(())
}

/// For each partition the smallest range with all its offsets.
fn hull(offsets: &BTreeSet<(u32, u64)>) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for &(partition, offset) in offsets {
        match ranges.last_mut() {
            Some(range) if range.partition == partition => range.hi = offset + 1,
            _ => ranges.push(Range { partition, lo: offset, hi: offset + 1, epoch: 0 }),
        }
    }
    ranges
}
