//! One synchronous insert of one block.

use std::time::Duration;

use clickhouse::Client;
use schemas::id::Position;

use crate::block::Block;
use crate::db::events::{self, Insert};
use crate::row;

/// Inserts the block and returns when ClickHouse has its rows on disk.
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
    let token = faults::mutant("clickhouse-token").then(|| token(block));
    let pieces = block.pieces();
    events::insert(client, Insert { columns: &row::columns(), query_id, deadline, pieces, token }).await
}

/// What a processor must not rely on: a name for these rows, by which ClickHouse is to know them again.
fn token(block: &Block) -> String {
    let place = |(partition, position, _): (u32, Position, &[u8])| (partition, position.number());
    format!("{:?} {:?}", block.rows().next().map(place), block.rows().last().map(place))
}
