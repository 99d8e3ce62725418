//! The proof: what ingest accepted, what is stored and what is billed, counted three ways and compared.
//!
//! * The **log** is read again, from the oldest record it still has up to the cursors: what was accepted.
//! * The **ledgers** in Postgres: what was counted as stored, duplicate or dead, by range of the log and by tenant
//!   and hour.
//! * **ClickHouse**: the rows that are there, by range of the log (with an exclusive or over their hashes) and by
//!   tenant and hour.
//!
//! Everything is compared up to the cursors of one Postgres snapshot, so it can run beside a busy pipeline. Dead letters
//! are not replayed meanwhile. What a letter stands for, its row in Postgres says, not the log: it may be that it could be
//! read by now. Rows that were erased are missing on purpose: the sums that [`crate::erase`] has noted of them are
//! subtracted. If another round of erasures was counted meanwhile, the comparison begins anew.

pub(crate) mod ledger;
mod log;
pub(crate) mod rows;
mod repair;

use std::collections::BTreeMap;

use clickhouse::Client;
use eventlog::{EventLog, LogError};
use metering::ledger::Counts;
use schemas::id::{ProjectId, TenantId};
use schemas::time::Micros;
use serde::Serialize;
use sqlx::PgPool;

use crate::below;
use crate::commit::RangeSum;
use crate::dead::heads::Head;
use crate::erase::Round;

pub use repair::{Repair, repair};

/// Mismatches that are told one by one; the others are counted.
const TOLD_MAX: usize = 20;
/// Comparisons, while rounds of erasures come between.
const TRIES_MAX: usize = 5;

/// Usage is compared by these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HourOf {
    pub(crate) tenant: TenantId,
    pub(crate) project: ProjectId,
    pub(crate) hour: Micros,
}

/// What the ledgers say, as of one snapshot.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By partition: the cursor.
    pub(crate) cursors: BTreeMap<u32, u64>,
    /// By partition and first offset: the end, and the sums.
    pub(crate) ranges: BTreeMap<(u32, u64), (u64, RangeSum)>,
    pub(crate) usage: BTreeMap<HourOf, Counts>,
    /// All dead letters, whatever has become of them.
    pub(crate) letters: Vec<Head>,
    pub(crate) erased: Erasures,
}

/// What was taken out of the rows on purpose, as of the same snapshot.
#[derive(Debug, Default)]
pub(crate) struct Erasures {
    /// By partition and first offset.
    ranges: BTreeMap<(u32, u64), RangeSum>,
    /// By hour.
    hours: BTreeMap<HourOf, i64>,
    /// Counted, but perhaps still there: these rows are not looked at.
    deleting: Option<Round>,
    /// The newest round that is counted.
    newest: i64,
}

/// The verdict.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    /// Events in the log, of the ranges that it still has whole.
    pub accepted: i64,
    /// Events in the log's ranges that are no longer whole: their counts are the batch ledger's alone.
    pub beyond_log: i64,
    /// Counted as stored, and billed.
    pub stored: i64,
    /// Counted as duplicates.
    pub duplicate: i64,
    /// Counted as dead letters.
    pub dead: i64,
    /// Rows in ClickHouse.
    pub rows: i64,
    /// Rows that were stored and erased: at somebody's request, or for their age.
    pub erased: i64,
    /// Whether some of these are still being deleted.
    pub erasing: bool,
    /// What does not agree, the first few.
    pub mismatches: Vec<String>,
    /// How many do not agree.
    pub mismatch_count: usize,
}

impl Verdict {
    /// Whether everything agrees.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.mismatch_count == 0
    }

    fn expect<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: impl FnOnce() -> String,
        left: (&str, &T),
        right: (&str, &T),
    ) {
        if left.1 == right.1 {
            return;
        }
        self.mismatch_count += 1;
        if self.mismatches.len() < TOLD_MAX {
            self.mismatches.push(format!("{}: {} {:?}, {} {:?}", what(), left.0, left.1, right.0, right.1));
        }
    }
}

/// Why nothing could be proved either way.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Postgres failed.
    #[error("Postgres can't be read")]
    Postgres(#[from] sqlx::Error),
    /// ClickHouse failed.
    #[error("ClickHouse can't be read")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// The log failed.
    #[error("the log can't be read")]
    Log(#[from] LogError),
}

/// Compares log, ledgers and rows.
///
/// # Errors
/// [`VerifyError`] if one of the three can't be read. A mismatch is not an error, but a verdict.
pub async fn verify(pool: &PgPool, clickhouse: &Client, log: &dyn EventLog) -> Result<Verdict, VerifyError> {
    let _held = below::read_all(pool).await?;
    let mut tries = 0;
    loop {
        let books = ledger::read(pool).await?;
        let mut verdict = Verdict::default();
        ledger::check_tiles(&books, &mut verdict);
        log::check(&books, log, &mut verdict).await?;
        rows::check(&books, clickhouse, &mut verdict).await?;
        tries += 1;
        if verdict.holds() || tries == TRIES_MAX || ledger::newest_erasure(pool).await? == books.erased.newest
        {
            return Ok(verdict);
        }
    }
}
