//! One synchronous insert of one block, with every setting pinned that decides what an acknowledgement means.

use std::time::Duration;

use clickhouse::Client;
use schemas::id::Position;

use crate::block::Block;
use crate::row;

/// Rows of a block at most; a batch never reaches it, so that it becomes one block and one part a table partition.
const BLOCK_ROWS_MAX: &str = "1048576";

/// Inserts the block and returns when ClickHouse has them on disk.
///
/// # Errors
/// Whatever fails, the rows may be in ClickHouse, some of them or all, now or later: [`crate::repair::end_insert`],
/// then read back.
pub async fn insert(
    client: &Client,
    query_id: &str,
    deadline: Duration,
    block: &Block,
) -> Result<(), clickhouse::error::Error> {
    let mut insert = client
        .insert_formatted_with(row::statement())
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
    if faults::mutant("clickhouse-token") {
        insert = insert
            .with_setting("insert_deduplicate", "1")
            .with_setting("insert_deduplication_token", token(block));
    }
    faults::point("processor.before_insert");
    for piece in block.pieces() {
        insert.send(piece).await?;
    }
    insert.end().await?;
    faults::point("processor.after_insert");
    Ok(())
}

/// What a processor must not rely on: a name for these rows, by which ClickHouse is to know them again.
fn token(block: &Block) -> String {
    let place = |(partition, position, _): (u32, Position, &[u8])| (partition, position.number());
    format!("{:?} {:?}", block.rows().next().map(place), block.rows().last().map(place))
}
