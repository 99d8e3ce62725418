//! `events` in ClickHouse: one row for each stored event, at its position in the log.
//!
//! Inserts are synchronous, and every setting is pinned that decides what an acknowledgement means. A query id names
//! the partitions that an insert is for, so that the insert can be ended by the next owner of one of them.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::query::RowCursor;
use clickhouse::{Client, Row};
use schemas::content::ContentHash;
use schemas::id::Position;
use serde::Deserialize;

/// Rows of a block at most; a batch never reaches it, so that it becomes one block and one part a table partition.
const BLOCK_ROWS_MAX: &str = "1048576";

/// An insert of a block.
pub(crate) struct Insert<'a, P> {
    /// Its columns, in the order in which rows have them.
    pub(crate) columns: &'a [&'a str],
    pub(crate) query_id: &'a str,
    /// For each piece, and for the end.
    pub(crate) deadline: Duration,
    /// Names and types of columns, then rows, in `RowBinaryWithNamesAndTypes`.
    pub(crate) pieces: P,
    /// What a mutant trusts in place of positions: a name for these rows, by which ClickHouse is to know them again.
    pub(crate) token: Option<String>,
}

/// Inserts a block and returns when ClickHouse has its rows on disk.
///
/// # Errors
/// Whatever fails, the rows may be in ClickHouse, some of them or all, now or later.
pub(crate) async fn insert<P>(client: &Client, block: Insert<'_, P>) -> Result<(), clickhouse::error::Error>
where
    P: Iterator<Item = Bytes> + Send,
{
    let Insert { columns, query_id, deadline, pieces, token } = block;
    let statement = format!("INSERT INTO events ({}) FORMAT RowBinaryWithNamesAndTypes", columns.join(", "));
    let mut insert = client
        .insert_formatted_with(statement)
        .with_timeouts(Some(deadline), Some(deadline))
        .with_setting("query_id", query_id)
        // Acknowledged when written, not when queued.
        .with_setting("async_insert", "0")
        .with_setting("wait_end_of_query", "1")
        // ClickHouse's own deduplication loses acknowledged rows when it is killed; positions do the work here.
        .with_setting("insert_deduplicate", "0")
        .with_setting("max_insert_block_size", BLOCK_ROWS_MAX)
        .with_setting("min_insert_block_size_rows", BLOCK_ROWS_MAX)
        .with_setting("min_insert_block_size_bytes", "1073741824");
    if let Some(token) = token {
        insert =
            insert.with_setting("insert_deduplicate", "1").with_setting("insert_deduplication_token", token);
    }
    faults::point("processor.before_insert");
    for piece in pieces {
        insert.send(piece).await?;
    }
    insert.end().await?;
    faults::point("processor.after_insert");
    Ok(())
}

/// Ends the insert `query_id`, if it still runs. After `Ok` it has ended one way or the other.
pub(crate) async fn end_insert(client: &Client, query_id: &str) -> Result<(), clickhouse::error::Error> {
    client.query("KILL QUERY WHERE query_id = ? SYNC").bind(query_id).execute().await
}

/// Ends every insert into this database whose id matches the regular expression.
pub(crate) async fn end_inserts(client: &Client, query_ids: &str) -> Result<(), clickhouse::error::Error> {
    client
        .query("KILL QUERY WHERE match(query_id, ?) AND current_database = currentDatabase() SYNC")
        .bind(query_ids)
        .execute()
        .await
}

/// The positions of a partition's rows at the offsets `[lo, hi)`, in no order, what is in each, and under which rules
/// and with which geo database it was enriched.
pub(crate) async fn contents(
    client: &Client,
    partition: u32,
    (lo, hi): (u64, u64),
) -> Result<Vec<(Position, ContentHash, (u16, u32))>, clickhouse::error::Error> {
    let rows: Vec<(u64, u128, u16, u32)> = client
        .query(
            "SELECT position, content_hash, enrichment, geo_built FROM events
             WHERE log_partition = ? AND position >= ? AND position < ?",
        )
        .bind(partition)
        .bind(Position::first_of(lo).number())
        .bind(Position::first_of(hi).number())
        .fetch_all()
        .await?;
    let row = |(at, hash, rules, built)| (Position::from_number(at), ContentHash(hash), (rules, built));
    Ok(rows.into_iter().map(row).collect())
}

/// The last position of a partition's rows at or after the offset `from`.
pub(crate) async fn last_position(
    client: &Client,
    partition: u32,
    from: u64,
) -> Result<Option<Position>, clickhouse::error::Error> {
    let last: Option<u64> = client
        .query(
            "SELECT max(position) FROM events WHERE log_partition = ? AND position >= ? HAVING count() > 0",
        )
        .bind(partition)
        .bind(Position::first_of(from).number())
        .fetch_optional()
        .await?;
    Ok(last.map(Position::from_number))
}

/// What the proof looks at in a row.
#[derive(Row, Deserialize)]
pub(crate) struct IdentityRow {
    pub(crate) position: u64,
    pub(crate) tenant_id: i64,
    pub(crate) project_id: i64,
    pub(crate) event_hash: u128,
    pub(crate) received_at: i64,
    pub(crate) content_hash: u128,
    pub(crate) is_altered: bool,
}

/// All rows of a partition at the offsets `[lo, hi)`, in no order. `content_hash` is an expression of what it must be.
pub(crate) fn identities(
    client: &Client,
    partition: u32,
    (lo, hi): (u64, u64),
    content_hash: &str,
) -> Result<RowCursor<IdentityRow>, clickhouse::error::Error> {
    client
        .query(&format!(
            "SELECT position, tenant_id, project_id, event_hash, received_at, content_hash,
                    content_hash != 0 AND content_hash != {content_hash} AS is_altered
             FROM events WHERE log_partition = ? AND position >= ? AND position < ?"
        ))
        .bind(partition)
        .bind(Position::first_of(lo).number())
        .bind(Position::first_of(hi).number())
        .fetch()
}

/// How a row was enriched.
#[derive(Row, Deserialize)]
pub(crate) struct EnrichedRow {
    pub(crate) position: u64,
    pub(crate) enrichment: u16,
    #[serde(with = "serde_bytes")]
    pub(crate) agent: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(crate) place: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(crate) campaign: Vec<u8>,
}

/// Of the rows of a partition at these positions, in no order, what their columns of enrichment say. `parts` are
/// expressions of the bytes of agent, place and campaign.
pub(crate) async fn enriched(
    client: &Client,
    partition: u32,
    positions: &[u64],
    [agent, place, campaign]: &[String; 3],
) -> Result<Vec<EnrichedRow>, clickhouse::error::Error> {
    client
        .query(&format!(
            "SELECT position, enrichment, {agent} AS agent, {place} AS place, {campaign} AS campaign
             FROM events WHERE log_partition = ? AND position IN ?"
        ))
        .bind(partition)
        .bind(positions)
        .fetch_all()
        .await
}

/// Removes every row of a partition at these positions, and returns when they are gone.
pub(crate) async fn remove(
    client: &Client,
    partition: u32,
    positions: &[u64],
) -> Result<(), clickhouse::error::Error> {
    client
        .query("ALTER TABLE events DELETE WHERE log_partition = ? AND position IN ?")
        .with_setting("mutations_sync", "2")
        .bind(partition)
        .bind(positions)
        .execute()
        .await
}

/// Removes every row of a partition at the offsets `[lo, hi)`, and returns when they are gone.
pub(crate) async fn remove_range(
    client: &Client,
    partition: u32,
    (lo, hi): (u64, u64),
) -> Result<(), clickhouse::error::Error> {
    client
        .query("ALTER TABLE events DELETE WHERE log_partition = ? AND position >= ? AND position < ?")
        .with_setting("mutations_sync", "2")
        .bind(partition)
        .bind(Position::first_of(lo).number())
        .bind(Position::first_of(hi).number())
        .execute()
        .await
}
