//! What ClickHouse has already: asked before the first batches after a start, and after every unclear insert.

use std::collections::{BTreeMap, HashMap};

use clickhouse::Client;
use schemas::content::ContentHash;
use schemas::id::Position;
use schemas::time::Micros;
use uuid::Uuid;

use crate::batch::Range;
use crate::db::{events, known_ids};
use crate::own::Owned;

pub use crate::db::known_ids::Ids;

/// Rows that ClickHouse has, by partition and position: what is in them.
pub type Present = HashMap<(u32, Position), There>;

/// What a row that is there says of its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct There {
    /// Their hash.
    pub contents: ContentHash,
    /// Under which rules it was enriched, and when the geo database was built ([`crate::enrich::BatchCache::names`]).
    pub enriched_by: (u16, u32),
}

/// Ends the insert `query_id`, if it still runs. When this returns `Ok`, the insert has ended one way or the other.
///
/// # Errors
/// If ClickHouse does not answer: nothing is known then.
pub async fn end_insert(client: &Client, query_id: &str) -> Result<(), clickhouse::error::Error> {
    events::end_insert(client, query_id).await
}

/// Ends every insert for a partition that was just taken, from any process and of any age. When this returns `Ok`,
/// what they had sent is in ClickHouse or will never be.
///
/// Who sent them is not asked: an owner that lets go is named by nobody any more, and so is the one before it once
/// its successor has failed to end its inserts. The inserts say themselves what they are for.
///
/// # Errors
/// If ClickHouse does not answer: nothing is known then.
pub async fn end_inserts_for(client: &Client, taken: &[Owned]) -> Result<(), clickhouse::error::Error> {
    events::end_inserts(client, &query_ids_for(taken)).await
}

/// An id of a new insert, which names the partitions that it is for: `weir-p0-p7-`, then what distinguishes it from
/// others.
#[must_use]
pub fn query_id(partitions: impl IntoIterator<Item = u32>) -> String {
    let names: String = partitions.into_iter().map(|partition| format!("p{partition}-")).collect();
    format!("weir-{names}{}", Uuid::now_v7().simple())
}

/// The regular expression of the ids of inserts for any of these partitions.
fn query_ids_for(taken: &[Owned]) -> String {
    let numbers: Vec<String> = taken.iter().map(|own| own.partition.to_string()).collect();
    format!("^weir-(p[0-9]+-)*p({})-", numbers.join("|"))
}

/// The positions of `ranges` that ClickHouse has.
///
/// # Errors
/// If ClickHouse fails: nothing must be inserted then.
pub async fn present(client: &Client, ranges: &[Range]) -> Result<Present, clickhouse::error::Error> {
    let mut present = Present::new();
    if forgets_to_ask() {
        return Ok(present);
    }
    for range in ranges {
        let rows = events::contents(client, range.partition, (range.lo, range.hi)).await?;
        present.extend(rows.into_iter().map(|(position, contents, enriched_by)| {
            ((range.partition, position), There { contents, enriched_by })
        }));
    }
    Ok(present)
}

/// Whether this is a mutant that trusts every insert, or ClickHouse to know one that it has had.
fn forgets_to_ask() -> bool {
    faults::mutant("no-read-back") || faults::mutant("clickhouse-token")
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
    if forgets_to_ask() {
        return Ok(dirty);
    }
    for own in owned {
        if let Some(last) = events::last_position(client, own.partition, own.next_offset).await? {
            dirty.insert(own.partition, last.offset() + 1);
        }
    }
    Ok(dirty)
}

/// When the newest event of a partition was received that is stored, or was erased since, at or after the position
/// `from`.
///
/// # Errors
/// If ClickHouse fails: the partition must not be served then.
pub async fn newest_id(
    client: &Client,
    partition: u32,
    from: Position,
) -> Result<Option<Micros>, clickhouse::error::Error> {
    known_ids::newest(client, partition, from).await
}

/// The ids of a partition at or after the position `from` that were received in `[since, until)`, in no order. An
/// erased event's id is still taken.
///
/// # Errors
/// If ClickHouse fails, here or while they are read: the partition must not be served then.
pub fn ids_since(
    client: &Client,
    partition: u32,
    from: Position,
    since: Micros,
    until: Option<Micros>,
) -> Result<Ids, clickhouse::error::Error> {
    known_ids::since(client, partition, from, since, until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insert_names_its_partitions_and_is_found_by_each_and_by_no_other() {
        let own = |partition| Owned { partition, next_offset: 0, epoch: 1, mark: None, ids_generation: 0 };
        assert_eq!(query_ids_for(&[own(1)]), "^weir-(p[0-9]+-)*p(1)-");
        assert_eq!(query_ids_for(&[own(1), own(12)]), "^weir-(p[0-9]+-)*p(1|12)-");
        let id = query_id([0, 12, 3]);
        assert!(id.starts_with("weir-p0-p12-p3-"), "{id}");
        // Hexadecimal, so that nothing of it looks like a partition.
        assert!(id["weir-p0-p12-p3-".len()..].chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    }
}
