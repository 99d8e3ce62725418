//! What Postgres knows of erasures.
//!
//! At most one round is between its beginning and its end, and only the newest can be counted: an eraser that begins
//! one under a new number takes over all that waits, and a slower eraser that was taken for dead is refused when it
//! wants to count.

use eventlog::EventLog;
use schemas::lock::ERASURE;
use service::store::StoreError;
use sqlx::{Connection, PgConnection, PgPool};

use super::count::Taken;
use crate::db::{dead_letter, erased_hour, erased_range, erasure, lock, rollup_hour};
use crate::round::Round;
use crate::turn::connection;

/// Notes where the log ends, for erasures that were asked for before: all that was accepted until then stands before,
/// and so does every copy of a dead letter that was made without knowing of them. While a letter is claimed there may
/// be a copy on its way ([`processor::dead::replay`]): they wait.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn note_ends(pool: &PgPool, log: &dyn EventLog) -> Result<(), StoreError> {
    let asked = erasure::without_ends(pool).await?;
    if asked.is_empty() || dead_letter::is_any_claimed(pool).await? {
        return Ok(());
    }
    let bounds = log.bounds().await?;
    erasure::note_ends(pool, &asked, bounds.iter().map(|bounds| bounds.end)).await?;
    Ok(())
}

/// The round that is to be carried on, or a new one of erasures whose events have all been processed.
///
/// # Errors
/// If Postgres fails.
pub(super) async fn begin(pool: &PgPool) -> Result<Option<Round>, sqlx::Error> {
    let mut connection = connection(pool).await?;
    let mut tx = connection.begin().await?;
    wait_for_others(&mut tx).await?;
    let round = match erasure::counted(&mut *tx).await? {
        Some(round) => Some(round),
        None => match erasure::gather(&mut tx, false).await? {
            Some(round) => Some(round),
            None => erasure::gather(&mut tx, true).await?,
        },
    };
    tx.commit().await?;
    Ok(round)
}

/// Every process that brings back events of the log, and looked for erasures before these were asked for, has ended.
async fn wait_for_others(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    lock::wait(tx, ERASURE).await
}

/// Writes what the round takes out next to the ledgers, and that it is to be deleted. Whether it was: not if another
/// eraser has begun a newer round.
///
/// # Errors
/// If Postgres fails and whether it was written is not known: begin again.
pub(super) async fn write(pool: &PgPool, round: &Round, taken: &Taken) -> Result<bool, sqlx::Error> {
    let mut connection = connection(pool).await?;
    let mut tx = connection.begin().await?;
    wait_for_others(&mut tx).await?;
    if !erasure::note_counted(&mut *tx, round, &taken.events).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    erased_range::insert(&mut *tx, round.number, &taken.ranges).await?;
    erased_hour::insert(&mut *tx, round.number, &taken.hours).await?;
    tx.commit().await?;
    Ok(true)
}

/// The round's rows are gone, and the hours that they were counted in are computed again.
///
/// # Errors
/// If Postgres fails.
pub(super) async fn end(pool: &PgPool, round: i64) -> Result<(), sqlx::Error> {
    let mut connection = connection(pool).await?;
    let mut tx = connection.begin().await?;
    erasure::end(&mut tx, round).await?;
    rollup_hour::mark_erased(&mut *tx, round).await?;
    tx.commit().await
}

/// Forgets the hashes of subjects that nothing can bring back any more.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn forget(pool: &PgPool, log: &dyn EventLog) -> Result<u64, StoreError> {
    let bounds = log.bounds().await?;
    Ok(erasure::forget(pool, bounds.iter().map(|bounds| bounds.start)).await?)
}
