//! The proof: what ingest accepted, what is stored and what is billed, counted three ways and compared.
//!
//! * The **log** is read again, from the oldest record it still has up to the cursors, and its events are judged again:
//!   what was accepted, what had to be stored, and what in each row. Its events are set aside on disk by their ids.
//! * The **ledgers** in Postgres: what was counted as stored, duplicate or dead, by range of the log and by tenant
//!   and hour.
//! * **ClickHouse**: the rows that are there, by range of the log (with an exclusive or over their hashes) and by
//!   tenant and hour.
//!
//! Each is read once, as a stream: what memory holds are ledger ranges, of some thousands of events each, and one part
//! of what is set aside on disk. A partition of the log that can't be read is named, and all else is compared.
//!
//! Everything is compared up to the cursors of one Postgres snapshot, so it can run while events come in. What a dead
//! letter was counted as, its row in Postgres says: this weir may read what the one before could not. Rows that were
//! erased are missing on purpose: the sums that [`crate::erase`] has noted of them are subtracted. If another round of
//! erasures was counted meanwhile, the comparison begins again.

pub(crate) mod ledger;
mod aside;
mod by_log;
mod judge;
mod contents;
mod pass;
mod log;
pub(crate) mod rows;
pub(crate) mod hours;
mod seals;

use std::sync::Arc;

use processor::below;
use service::store::StoreError;

use crate::db::erasure;
use crate::head::Head;
use crate::stores::Stores;
use crate::verdict::Verdict;
use hours::Known;

/// Comparisons, while rounds of erasures come between.
const TRIES_MAX: usize = 5;

/// Compares log, ledgers and rows.
///
/// # Errors
/// See [`verify_since`].
pub async fn verify(stores: &Stores<'_>) -> Result<Verdict, StoreError> {
    verify_since(stores, &[]).await
}

/// Compares log, ledgers and rows; and whether the ledgers had these heads.
///
/// # Errors
/// [`StoreError`] if one of the three can't be read. A mismatch is not an error, but a verdict.
pub async fn verify_since(stores: &Stores<'_>, heads: &[Head]) -> Result<Verdict, StoreError> {
    let Stores { pool, clickhouse, .. } = *stores;
    let _held = below::read_all(pool).await?;
    let mut tries = 0;
    loop {
        let (books, said) = ledger::read(pool, stores.scratch).await?;
        let books = Arc::new(books);
        let mut verdict = Verdict::default();
        ledger::check_tiles(&books, heads, &mut verdict);
        ledger::check_quotas(&books, &mut verdict);
        let by_log = log::check(&books, stores, &mut verdict).await?;
        rows::check(&books, clickhouse, &mut verdict).await?;
        let known = Known { said, rows: hours::read_rows(&books, clickhouse, stores.scratch).await? };
        hours::check(&books, known, by_log, &mut verdict).await?;
        seals::check(&books, pool, clickhouse, &mut verdict).await?;
        rows::check_ends(clickhouse, stores.log, &mut verdict).await?;
        tries += 1;
        if verdict.holds()
            || tries == TRIES_MAX
            || erasure::newest_counted(pool).await? == books.erased.newest
        {
            return Ok(verdict);
        }
    }
}
