//! Who changes rows below the cursors: repairs do, processors don't. Proofs read them.
//!
//! Both hold Postgres advisory locks by partition, so that a proof sees ledger and rows of one moment, and no two
//! change the same rows. They are held by a connection of their own and end with it, however that ends.

use service::error::Chain;
use sqlx::{PgConnection, PgPool};

use crate::db::lock;
use crate::erased::Erased;

/// Rows below the cursors of some partitions, held until this is dropped.
#[derive(Debug)]
pub struct Held(PgConnection);

impl Held {
    /// What must not be brought back out of the log. Nothing more is erased while this is held for a change.
    ///
    /// # Errors
    /// If Postgres fails: nothing must be brought back then.
    pub async fn erased(&mut self) -> Result<Erased, sqlx::Error> {
        Erased::read(&mut self.0).await
    }

    /// Lets others have it at once. Being dropped does the same as soon as Postgres has noticed.
    pub async fn release(mut self) {
        if let Err(error) = lock::release_all(&mut self.0).await {
            tracing::debug!(error = %Chain(&error), "locks were not released; they end with their connection");
        }
    }
}

/// Waits until nobody changes rows below any cursor, and lets nobody.
///
/// # Errors
/// If Postgres fails, or somebody else is at work for longer than ten minutes.
pub async fn read_all(pool: &PgPool) -> Result<Held, sqlx::Error> {
    let mut connection = pool.acquire().await?.detach();
    lock::be_patient(&mut connection).await?;
    lock::share_rows_of_all(&mut connection).await?;
    Ok(Held(connection))
}

/// Waits until nobody else changes, or proves, rows of `partition`.
///
/// # Errors
/// If Postgres fails, or somebody else is at work for longer than ten minutes.
pub async fn change(pool: &PgPool, partition: u32) -> Result<Held, sqlx::Error> {
    let mut connection = pool.acquire().await?.detach();
    lock::be_patient(&mut connection).await?;
    lock::hold_rows(&mut connection, partition).await?;
    // Before the erasures are read, and until the rows are inserted: none begins in between.
    lock::hold_back_erasures(&mut connection).await?;
    Ok(Held(connection))
}

/// Lets nobody else reconcile; `None` while another process does.
///
/// # Errors
/// If Postgres fails.
pub async fn try_reconcile(pool: &PgPool) -> Result<Option<Held>, sqlx::Error> {
    let mut connection = pool.acquire().await?.detach();
    let is_held = lock::try_reconcile(&mut connection).await?;
    Ok(is_held.then_some(Held(connection)))
}
