//! Who changes rows below the cursors. Processors don't, but for dead letters that they replay; proofs read them.
//!
//! Both hold Postgres advisory locks by partition, so that a proof sees ledger and rows of one moment, and no two
//! change the same rows. They are held by a connection of their own and end with it, however that ends.

use schemas::lock;
use sqlx::{PgConnection, PgPool};

use service::error::Chain;

use crate::erased::{self, Erased};

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
        if let Err(error) = sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut self.0).await {
            tracing::debug!(error = %Chain(&error), "locks were not released; they end with their connection");
        }
    }
}

/// For how long to wait for those who hold what is wanted: they may be stopped, but not gone.
const SET_PATIENCE: &str = "SET lock_timeout = '10min'";

/// Waits until nobody changes rows below any cursor, and lets nobody.
///
/// # Errors
/// If Postgres fails, or somebody else is at work for longer than ten minutes.
pub async fn read_all(pool: &PgPool) -> Result<Held, sqlx::Error> {
    let mut connection = pool.acquire().await?.detach();
    sqlx::query(SET_PATIENCE).execute(&mut connection).await?;
    sqlx::query(
        "SELECT pg_advisory_lock_shared($1, partition)
         FROM (SELECT partition FROM partition_cursor ORDER BY partition) AS all_partitions",
    )
    .bind(lock::ROWS)
    .execute(&mut connection)
    .await?;
    Ok(Held(connection))
}

/// Waits until nobody else changes, or proves, rows of `partition`.
///
/// # Errors
/// If Postgres fails, or somebody else is at work for longer than ten minutes.
pub async fn change(pool: &PgPool, partition: u32) -> Result<Held, sqlx::Error> {
    let mut connection = pool.acquire().await?.detach();
    sqlx::query(SET_PATIENCE).execute(&mut connection).await?;
    sqlx::query("SELECT pg_advisory_lock($1, $2)")
        .bind(lock::ROWS)
        .bind(key(partition))
        .execute(&mut connection)
        .await?;
    erased::hold_back(&mut connection).await?;
    Ok(Held(connection))
}

/// The same without waiting: `None` while others do.
///
/// # Errors
/// If Postgres fails.
pub async fn try_change(pool: &PgPool, partition: u32) -> Result<Option<Held>, sqlx::Error> {
    let Some(mut held) = try_lock(pool, key(partition)).await? else { return Ok(None) };
    Ok(erased::try_hold_back(&mut held.0).await?.then_some(held))
}

/// Lets nobody else reconcile; `None` while another process does.
///
/// # Errors
/// If Postgres fails.
pub async fn try_reconcile(pool: &PgPool) -> Result<Option<Held>, sqlx::Error> {
    try_lock(pool, lock::RECONCILE).await
}

async fn try_lock(pool: &PgPool, key: i32) -> Result<Option<Held>, sqlx::Error> {
    let mut connection = pool.acquire().await?.detach();
    let is_held: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
        .bind(lock::ROWS)
        .bind(key)
        .fetch_one(&mut connection)
        .await?;
    Ok(is_held.then_some(Held(connection)))
}

fn key(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}
