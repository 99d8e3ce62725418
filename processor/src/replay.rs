//! Bringing rows back from the log, below the cursors: into a table that lost some, or all.
//!
//! The log's records are judged as the ledger did: an event is stored if no earlier position has its id. What the
//! ledger says of the range must come out, or nothing is changed. Then the rows that ClickHouse lacks are inserted.
//! Processors may run meanwhile: they write at and after their cursors.

mod first;
mod range;
mod records;
pub(crate) mod rows;

use std::time::Duration;

use clickhouse::Client;
use eventlog::{EventLog, LogError};
use schemas::time::Micros;
use serde::Serialize;
use sqlx::PgPool;

use crate::batch::Placed;
use crate::enrich::Enricher;
use crate::verify::ledger;
use crate::verify::rows::{LedgerRange, found, ranges_of};
use crate::{ProcessorConfig, below};

pub(crate) use range::Mender;

/// Where log, ledgers and rows are.
#[derive(Clone, Copy)]
pub struct Stores<'a> {
    /// Postgres.
    pub pool: &'a PgPool,
    /// ClickHouse.
    pub clickhouse: &'a Client,
    /// The log.
    pub log: &'a dyn EventLog,
    /// For how long an id is remembered, from its receipt.
    pub dedup_window: Duration,
    /// How long ClickHouse may take over one insert.
    pub insert_deadline: Duration,
    /// What gives rows their further columns.
    pub enricher: &'a Enricher,
}

impl<'a> Stores<'a> {
    /// With the settings of a processor.
    #[must_use]
    pub fn new(
        pool: &'a PgPool,
        clickhouse: &'a Client,
        log: &'a dyn EventLog,
        config: &'a ProcessorConfig,
    ) -> Self {
        let ProcessorConfig { dedup_window, insert_deadline, ref enricher, .. } = *config;
        Self { pool, clickhouse, log, dedup_window, insert_deadline, enricher }
    }
}

/// Which rows are to be brought back, if they are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Of a partition's offsets `[from, to)`.
    Offsets {
        /// The partition.
        partition: u32,
        /// The first.
        from: u64,
        /// One past the last.
        to: u64,
    },
    /// Received at `[from, to)`.
    Period {
        /// The first instant.
        from: Micros,
        /// The first one after.
        to: Micros,
    },
    /// All.
    All,
}

impl Selection {
    fn may_be_in(&self, partition: u32, range: &LedgerRange) -> bool {
        match self {
            Self::Offsets { partition: of, from, to } => {
                *of == partition && range.lo < *to && *from < range.hi
            }
            Self::Period { .. } | Self::All => true,
        }
    }

    pub(crate) fn has(&self, placed: &Placed<'_>) -> bool {
        match self {
            Self::Offsets { from, to, .. } => (*from..*to).contains(&placed.position.offset()),
            Self::Period { from, to } => (*from..*to).contains(&placed.envelope.received_at),
            Self::All => true,
        }
    }
}

/// What was done.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Ledger ranges that were compared.
    pub ranges: usize,
    /// Of these, whose rows did not agree.
    pub damaged: usize,
    /// Rows inserted.
    pub inserted: usize,
    /// Rows removed.
    pub removed: usize,
    /// What was done to each damaged range, and what could not be.
    pub told: Vec<String>,
    /// Damaged ranges that could not be mended.
    pub failed: usize,
}

/// Why nothing more could be done. What was done before stays, and the same can be asked for again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Postgres failed.
    #[error("Postgres can't be used")]
    Postgres(#[from] sqlx::Error),
    /// ClickHouse failed.
    #[error("ClickHouse can't be used")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// The log failed.
    #[error("the log can't be read")]
    Log(#[from] LogError),
}

/// Inserts the selected rows that ClickHouse lacks. Removes none.
///
/// # Errors
/// [`ReplayError`]. A range that can't be brought back is not an error, but in the report.
pub async fn replay(stores: &Stores<'_>, selection: Selection) -> Result<Report, ReplayError> {
    let mut report = Report::default();
    let partitions: Vec<u32> = (0..stores.log.partitions()).collect();
    for partition in partitions {
        if matches!(selection, Selection::Offsets { partition: of, .. } if of != partition) {
            continue;
        }
        let mut held = below::change(stores.pool, partition).await?;
        let erased = held.erased().await?;
        let books = ledger::read(stores.pool).await?;
        let mut ranges = ranges_of(&books, partition);
        ranges.retain(|range| selection.may_be_in(partition, range));
        let compared = found(stores.clickhouse, partition, &ranges, &books.erased).await?;
        report.ranges += compared.len();
        let damaged = compared.into_iter().filter(|(range, found)| !found.agrees(range));
        let damaged = damaged.map(|(range, _)| range);
        let mut mender = Mender::new(stores, partition, &books, erased, Some(selection));
        mender.mend_all(damaged, &mut report).await?;
        held.release().await;
    }
    Ok(report)
}
