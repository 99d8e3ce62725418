//! Reclaiming: what a dead ingest node had not spent goes back to its tenants, and not one event more.
//!
//! A node is dead when its lease has run out and every append that it may have begun has ended. Then the ends of
//! the log's partitions are noted: whatever the node wrote stands before them. A node whose spool may hold events that
//! are not in the log yet is left alone until it does not ([`crate::spool`]). When all cursors have passed them,
//! `processed` of its leases is final, and `granted - processed` is given back.

use std::sync::Arc;
use std::time::Duration;

use eventlog::{EventLog, LogError};
use service::shutdown::Shutdown;
use service::task::{Pace, every};
use service::trace::Span;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// How often to look.
const EVERY: Duration = Duration::from_secs(1);
/// From the end of a node's lease to the moment when no append of its can still land: the deadline of a request,
/// and something for clocks and queues.
pub(crate) const APPENDS_END_AFTER_SECONDS: i32 = 10;

/// Why a round failed; the next one tries again.
#[derive(Debug, thiserror::Error)]
enum ReclaimError {
    #[error("Postgres failed")]
    Store(#[from] sqlx::Error),
    #[error("the log failed")]
    Log(#[from] LogError),
}

/// Reclaims dead nodes' leases until `shutdown` is ordered. Any number of processes may run it.
pub(crate) async fn run(pool: PgPool, log: Arc<dyn EventLog>, shutdown: Shutdown) {
    let mut rounds = every("reclaiming", Pace::at_once(EVERY), shutdown);
    while rounds.due().await {
        rounds.attempt(round(&pool, &*log)).await;
    }
}

async fn round(pool: &PgPool, log: &dyn EventLog) -> Result<(), ReclaimError> {
    let mut span = Span::job("reclaim");
    note_ends(pool, log).await?;
    let settled: Vec<Uuid> = sqlx::query_scalar(
        "SELECT n.id FROM ingest_node n WHERE n.ends IS NOT NULL AND NOT EXISTS (
             SELECT FROM unnest(n.ends) WITH ORDINALITY AS e (end_offset, place)
             LEFT JOIN partition_cursor c ON c.partition = e.place - 1
             WHERE coalesce(c.next_offset, 0) < e.end_offset)",
    )
    .fetch_all(pool)
    .await?;
    if settled.is_empty() {
        span.discard();
        return Ok(());
    }
    span.set("weir.nodes", || settled.len());
    for node in settled {
        let mut tx = pool.begin().await?;
        let given_back = settle(&mut tx, node).await?;
        tx.commit().await?;
        tracing::info!(%node, events = given_back, "reclaimed the leases of an ended ingest node");
    }
    Ok(())
}

async fn note_ends(pool: &PgPool, log: &dyn EventLog) -> Result<(), ReclaimError> {
    const DEAD: &str = "ends IS NULL AND spool IS NULL AND lease_until < now() - $1 * interval '1 second'";
    let find = format!("SELECT id FROM ingest_node WHERE {DEAD}");
    let dead: Vec<Uuid> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(find)).bind(APPENDS_END_AFTER_SECONDS).fetch_all(pool).await?;
    if dead.is_empty() {
        return Ok(());
    }
    // Taken after the nodes were found dead: all that they wrote stands before these ends.
    let bounds = log.bounds().await?;
    let ends: Vec<i64> = bounds.iter().map(|bounds| i64::try_from(bounds.end).unwrap_or(i64::MAX)).collect();
    let note = format!("UPDATE ingest_node SET ends = $2 WHERE {DEAD} AND id = ANY($3)");
    sqlx::query(sqlx::AssertSqlSafe(note))
        .bind(APPENDS_END_AFTER_SECONDS)
        .bind(&ends)
        .bind(&dead)
        .execute(pool)
        .await?;
    Ok(())
}

/// Gives back what the node's leases have left, and forgets the node. How many events that were.
async fn settle(tx: &mut PgConnection, node: Uuid) -> Result<i64, sqlx::Error> {
    sqlx::query(
        "SELECT FROM quota_period q JOIN quota_lease l USING (tenant_id, period_start)
         WHERE l.node_id = $1 ORDER BY q.tenant_id, q.period_start FOR UPDATE OF q",
    )
    .bind(node)
    .execute(&mut *tx)
    .await?;
    let given_back: Option<i64> = sqlx::query_scalar(
        "WITH ended AS (
             DELETE FROM quota_lease WHERE node_id = $1 RETURNING tenant_id, period_start, granted - processed AS events),
         back AS (
             UPDATE quota_period q SET granted = greatest(0, q.granted - ended.events)
             FROM ended WHERE (q.tenant_id, q.period_start) = (ended.tenant_id, ended.period_start)
             RETURNING ended.events)
         SELECT sum(events)::bigint FROM back",
    )
    .bind(node)
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM ingest_node WHERE id = $1").bind(node).execute(&mut *tx).await?;
    Ok(given_back.unwrap_or(0))
}
