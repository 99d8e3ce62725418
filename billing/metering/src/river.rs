//! The way of events at a glance: how far each partition is processed and by whom, which nodes live and what quota they
//! hold, spools, disks.
//!
//! It is one read in bounded time. What does not answer, or what this process can't know, is named, and the rest is
//! shown all the same: a page for the hour in which something is away. What takes Postgres long, to count leases and to
//! look at the database's files, is asked for apart from what is known at once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clickhouse::Client;
use eventlog::{Bounds, EventLog, Room};
use serde::Serialize;
use service::error::Chain;
use service::store::{CLICKHOUSE, LOG, POSTGRES, StoreError, in_time};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::database::{self, DiskRow};
use crate::db::ingest_node::{self, NodeRow, SpoolRow};
use crate::db::partition_cursor::{self, CursorRow};
use crate::db::quota_lease;
use crate::spool::Spool;

/// How long a store has to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Ingest nodes that are shown: the youngest.
const NODES_MAX: i64 = 1_000;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct River {
    /// What Postgres knows; `None`: it did not answer.
    pub books: Option<Books>,
    /// By partition of the log; none: neither the log nor Postgres answered.
    pub partitions: Vec<Partition>,
    /// What of the log's records waits in this process's own spool.
    pub spooled: Option<Spooled>,
    /// File systems that could be asked about.
    pub disks: Vec<Disk>,
    /// What is not known, and why.
    pub unknown: Vec<Unknown>,
}

/// What Postgres knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = RiverBooks)]
pub struct Books {
    /// When it was asked.
    pub as_of: DateTime<Utc>,
    /// Processors that live.
    pub processors: Vec<ProcessorNode>,
    /// Ingest nodes that live, or whose quota has not come back yet; the youngest first, 1,000 at most.
    pub ingest_nodes: Vec<IngestNode>,
    /// Spools that may hold something; `None`: they were not counted in time.
    pub spools: Option<Vec<Spool>>,
    /// Bytes of the database on Postgres's disk; `None`: it did not say so in time.
    pub database_bytes: Option<i64>,
    #[serde(skip)]
    cursors: Vec<CursorRow>,
}

/// What leases of quota hold.
#[derive(Debug)]
pub struct Holdings {
    by_node: HashMap<Uuid, (i64, i64)>,
    spools: Vec<Spool>,
}

/// What is asked of Postgres, each on a connection of its own, which sees rows of all tenants: what comes late is not
/// known, and the others are.
pub struct Questions<B, H, D> {
    /// [`books`].
    pub books: B,
    /// [`holdings`].
    pub holdings: H,
    /// [`database_bytes`].
    pub database_bytes: D,
}

/// A processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ProcessorNode {
    /// Its id, of one run of a process.
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    /// It lives until then, unless it says so again.
    pub lease_until: DateTime<Utc>,
}

/// An ingest node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct IngestNode {
    /// Its id, of one run of a process.
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// It spends quota until then, unless it says so again; `None`: it has ended.
    pub lease_until: Option<DateTime<Utc>>,
    /// The spool that may hold events of it.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub spool: Option<Uuid>,
    /// Leases of quota; `None`: they were not counted in time.
    pub leases: Option<i64>,
    /// Events that they hold, accepted and not processed, or not spent; `None`: they were not counted in time.
    pub held: Option<i64>,
}

/// A partition of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Partition {
    /// Its number.
    pub partition: u32,
    /// The oldest offset that the log has.
    pub log_start: Option<u64>,
    /// One past the newest.
    pub log_end: Option<u64>,
    /// All before it is stored and metered.
    pub next_offset: Option<u64>,
    /// Records that wait to be processed.
    pub lag: Option<u64>,
    /// Who processes it, while its lease runs.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub owner: Option<Uuid>,
    /// Until when, unless the owner says so again.
    pub lease_until: Option<DateTime<Utc>>,
    /// How often the owner changed.
    pub epoch: Option<i64>,
    /// Why nobody processes it until a person has resumed it.
    pub halted_reason: Option<String>,
    /// Since when.
    pub halted_at: Option<DateTime<Utc>>,
}

/// What a spool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Spooled {
    /// Whether what is accepted goes there now.
    pub is_spooling: bool,
    /// Records that the log does not have yet.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Disk {
    /// What is kept there: `log`, or the name of a disk of ClickHouse.
    pub of: String,
    /// Where it is.
    #[schema(value_type = String)]
    pub folder: PathBuf,
    /// Bytes that are left.
    pub free_bytes: u64,
    /// Bytes that it has in all.
    pub total_bytes: u64,
}

/// Something that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Unknown {
    /// What.
    pub what: &'static str,
    /// Why.
    pub why: String,
}

/// What Postgres knows at once. It must be asked in a transaction.
///
/// # Errors
/// If Postgres fails.
pub async fn books(connection: &mut PgConnection) -> Result<Books, sqlx::Error> {
    let as_of = database::now_with(&mut *connection, PATIENCE).await?;
    let cursors = partition_cursor::all(&mut *connection).await?;
    let processors = partition_cursor::processors(&mut *connection).await?;
    let nodes = ingest_node::youngest(connection, NODES_MAX).await?;
    let processor = |(id, lease_until)| ProcessorNode { id, lease_until };
    let node = |NodeRow { id, started_at, lease_until, spool }| IngestNode {
        id,
        started_at,
        lease_until,
        spool,
        leases: None,
        held: None,
    };
    Ok(Books {
        as_of,
        processors: processors.into_iter().map(processor).collect(),
        ingest_nodes: nodes.into_iter().map(node).collect(),
        spools: None,
        database_bytes: None,
        cursors,
    })
}

/// What leases of quota hold: all are counted. It must be asked in a transaction.
///
/// # Errors
/// If Postgres fails.
pub async fn holdings(connection: &mut PgConnection) -> Result<Holdings, sqlx::Error> {
    database::now_with(&mut *connection, PATIENCE).await?;
    let by_node = quota_lease::by_node(&mut *connection).await?;
    let spools = ingest_node::spools(connection).await?;
    let spool = |SpoolRow { spool: id, since, ended, live, held }| Spool { id, since, ended, live, held };
    Ok(Holdings {
        by_node: by_node.into_iter().map(|(node, leases, held)| (node, (leases, held))).collect(),
        spools: spools.into_iter().map(spool).collect(),
    })
}

/// Bytes of the database on Postgres's disk. It must be asked in a transaction.
///
/// # Errors
/// If Postgres fails.
pub async fn database_bytes(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    database::now_with(&mut *connection, PATIENCE).await?;
    database::bytes(connection).await
}

/// Asks Postgres, the log and ClickHouse at the same time. `log` is `None` where it could not be opened.
pub async fn look<E: Into<StoreError>>(
    questions: Questions<
        impl Future<Output = Result<Books, E>>,
        impl Future<Output = Result<Holdings, E>>,
        impl Future<Output = Result<i64, E>>,
    >,
    clickhouse: &Client,
    log: Option<&dyn EventLog>,
) -> River {
    let bounds = async {
        match log {
            Some(log) => log.bounds().await.map_err(StoreError::from),
            None => Err(StoreError::retry(LOG, "this process could not open it")),
        }
    };
    // In the order in which they get connections.
    let (books, holdings, bytes, bounds, tables) = tokio::join!(
        biased;
        in_time(POSTGRES, PATIENCE, questions.books),
        in_time(POSTGRES, PATIENCE, questions.holdings),
        in_time(POSTGRES, PATIENCE, questions.database_bytes),
        in_time(LOG, PATIENCE, bounds),
        in_time(CLICKHOUSE, PATIENCE, disks(clickhouse)),
    );
    let mut unknown = Vec::new();
    let books = known("cursors, owners and nodes", books, &mut unknown);
    let holdings = known("leases of quota, and spools", holdings, &mut unknown);
    let bytes = known("the database's size", bytes, &mut unknown);
    let books = books.map(|books| books.with(holdings, bytes));
    let bounds = known("the log's ends", bounds, &mut unknown);
    let mut all = known("ClickHouse's disks", tables, &mut unknown).unwrap_or_default();
    all.extend(disk_of_log(log, &mut unknown).await);
    let spooled = log.and_then(EventLog::spool).map(|spool| spool.status());
    let spooled = spooled.map(|status| Spooled {
        is_spooling: status.spooling,
        records: status.records,
        bytes: status.bytes,
    });
    unknown.push(Unknown {
        what: "spools and disks of other processes",
        why: "each says so itself, in its metrics: weir_spool_bytes and those of its machine".to_owned(),
    });
    let partitions = partitions(books.as_ref(), bounds.as_deref());
    River { books, partitions, spooled, disks: all, unknown }
}

impl Books {
    /// What was asked for apart, as far as it is known.
    fn with(mut self, holdings: Option<Holdings>, database_bytes: Option<i64>) -> Self {
        if let Some(Holdings { by_node, spools }) = holdings {
            for node in &mut self.ingest_nodes {
                let (leases, held) = by_node.get(&node.id).copied().unwrap_or_default();
                (node.leases, node.held) = (Some(leases), Some(held));
            }
            self.spools = Some(spools);
        }
        Self { database_bytes, ..self }
    }
}

fn known<T>(what: &'static str, asked: Result<T, StoreError>, unknown: &mut Vec<Unknown>) -> Option<T> {
    asked.map_err(|error| unknown.push(Unknown { what, why: Chain(&error).to_string() })).ok()
}

/// A disk that hangs must not hang this, too.
async fn disk_of_log(log: Option<&dyn EventLog>, unknown: &mut Vec<Unknown>) -> Option<Disk> {
    const WHAT: &str = "the log's disk";
    let Some(folder) = log.and_then(EventLog::folder).map(ToOwned::to_owned) else {
        unknown.push(Unknown { what: WHAT, why: "the log is not on a disk of this machine".to_owned() });
        return None;
    };
    let asked = folder.clone();
    let room = async {
        let room = tokio::task::spawn_blocking(move || Room::of(&asked)).await;
        room.map_err(|error| StoreError::retry(LOG, error))?.map_err(|error| StoreError::retry(LOG, error))
    };
    let room = known(WHAT, in_time(LOG, PATIENCE, room).await, unknown)?;
    Some(Disk { of: "log".to_owned(), folder, free_bytes: room.free_bytes, total_bytes: room.total_bytes })
}

async fn disks(client: &Client) -> Result<Vec<Disk>, clickhouse::error::Error> {
    let disk = |row: DiskRow| Disk {
        of: format!("ClickHouse, {}", row.name),
        folder: row.path.into(),
        free_bytes: row.free_space,
        total_bytes: row.total_space,
    };
    Ok(database::disks(client).await?.into_iter().map(disk).collect())
}

/// What log and cursors say together.
fn partitions(books: Option<&Books>, bounds: Option<&[Bounds]>) -> Vec<Partition> {
    let cursors = books.map_or(&[][..], |books| &books.cursors);
    let count = cursors.len().max(bounds.map_or(0, <[Bounds]>::len));
    let partition = |number: usize| {
        let bounds = bounds.and_then(|bounds| bounds.get(number));
        let cursor = cursors.iter().find(|cursor| usize::try_from(cursor.partition) == Ok(number));
        let next_offset = cursor.map(|cursor| u64::try_from(cursor.next_offset).unwrap_or_default());
        let lag = bounds.zip(next_offset).map(|(bounds, next)| bounds.end.saturating_sub(next));
        let lease_until = cursor.and_then(|cursor| cursor.lease_until);
        Partition {
            partition: u32::try_from(number).unwrap_or(u32::MAX),
            log_start: bounds.map(|bounds| bounds.start),
            log_end: bounds.map(|bounds| bounds.end),
            next_offset,
            lag,
            owner: cursor.and_then(|cursor| cursor.owner).filter(|_| lease_until.is_some()),
            lease_until,
            epoch: cursor.map(|cursor| cursor.epoch),
            halted_reason: cursor.and_then(|cursor| cursor.halted_reason.clone()),
            halted_at: cursor.and_then(|cursor| cursor.halted_at),
        }
    };
    (0..count).map(partition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_shown_by_what_is_known_of_it() {
        let cursor = CursorRow {
            partition: 1,
            next_offset: 7,
            epoch: 3,
            owner: Some(Uuid::nil()),
            lease_until: None,
            halted_reason: Some("damaged".to_owned()),
            halted_at: Some(DateTime::default()),
        };
        let books = Books {
            as_of: DateTime::default(),
            processors: Vec::new(),
            ingest_nodes: Vec::new(),
            spools: None,
            database_bytes: None,
            cursors: vec![cursor],
        };
        let bounds = [Bounds { start: 0, end: 2 }, Bounds { start: 5, end: 9 }];
        let both = partitions(Some(&books), Some(&bounds));
        assert_eq!((both.len(), both[0].lag, both[0].log_end), (2, None, Some(2)));
        assert_eq!(
            (both[1].lag, both[1].next_offset, both[1].owner),
            (Some(2), Some(7), None),
            "its lease has run out"
        );
        assert_eq!(
            (both[1].halted_reason.as_deref(), both[1].halted_at),
            (Some("damaged"), Some(DateTime::default()))
        );
        assert_eq!((both[0].halted_reason.as_deref(), both[0].halted_at), (None, None));
        let without_books = partitions(None, Some(&bounds));
        assert_eq!(
            (without_books.len(), without_books[1].next_offset, without_books[1].lag),
            (2, None, None)
        );
        assert!(partitions(None, None).is_empty());
    }
}
