//! Reclaiming: what a dead ingest node had not spent goes back to its tenants, and not one event more.
//!
//! A node is dead when its lease has run out and every append that it may have begun has ended. Then the ends of
//! the log's partitions are noted: whatever the node wrote stands before them. A node whose spool may hold events that
//! are not in the log yet is left alone until it does not ([`crate::spool`]). When all cursors have passed them,
//! `processed` of its leases is final, and `granted - processed` is given back.

use std::sync::Arc;
use std::time::Duration;

use eventlog::EventLog;
use service::shutdown::Shutdown;
use service::store::StoreError;
use service::task::{Pace, every};
use service::trace::Span;
use sqlx::PgPool;
use uuid::Uuid;

use crate::db::{ingest_node, quota_lease, quota_period};

/// Leases that are settled in one transaction: a node has one for each tenant and month.
const LEASES_MAX: i64 = 2_000;
/// How often to look.
const EVERY: Duration = Duration::from_secs(1);

/// Reclaims dead nodes' leases until `shutdown` is ordered. Any number of processes may run it.
pub(crate) async fn run(pool: PgPool, log: Arc<dyn EventLog>, shutdown: Shutdown) {
    let mut rounds = every("reclaiming", Pace::at_once(EVERY), shutdown);
    while rounds.due().await {
        rounds.attempt(round(&pool, &*log)).await;
    }
}

/// One round. The next one goes on where it fails.
///
/// # Errors
/// If Postgres or the log fails.
pub async fn round(pool: &PgPool, log: &dyn EventLog) -> Result<(), StoreError> {
    let mut span = Span::job("reclaim");
    note_ends(pool, log).await?;
    let passed = ingest_node::passed(pool).await?;
    if passed.is_empty() {
        span.discard();
        return Ok(());
    }
    span.set("weir.nodes", || passed.len());
    for node in passed {
        let events = settle(pool, node).await?;
        tracing::info!(%node, events, "reclaimed the leases of an ended ingest node");
    }
    Ok(())
}

/// Settles all leases of a node, some at a time: each has its own sum, which nothing changes any more. How many events
/// go back.
async fn settle(pool: &PgPool, node: Uuid) -> Result<i64, sqlx::Error> {
    let mut events = 0;
    loop {
        let mut tx = pool.begin().await?;
        let leases = quota_period::lock_of_node(&mut tx, node, LEASES_MAX).await?;
        if leases.is_empty() {
            ingest_node::delete(&mut tx, node).await?;
            tx.commit().await?;
            return Ok(events);
        }
        events += quota_lease::settle(&mut tx, &leases).await?;
        tx.commit().await?;
    }
}

async fn note_ends(pool: &PgPool, log: &dyn EventLog) -> Result<(), StoreError> {
    let dead = ingest_node::dead(pool).await?;
    if dead.is_empty() {
        return Ok(());
    }
    // Taken after the nodes were found dead: all that they wrote stands before these ends.
    let bounds = log.bounds().await?;
    let ends: Vec<i64> = bounds.iter().map(|bounds| i64::try_from(bounds.end).unwrap_or(i64::MAX)).collect();
    Ok(ingest_node::note_ends(pool, &dead, &ends).await?)
}
