//! `ingest_node`: runs of ingest processes. A row lives from a node's start until its leases are settled.
//!
//! * `lease_until`: the node spends nothing after it.
//! * `ends`: set once, when the node is dead: where the log's partitions ended then. A node with `ends` never comes
//!   back.
//! * `spool`: set while a spool may hold events of the node that are not in the log.

use std::time::Duration;

use chrono::{DateTime, Utc};
use service::store::changed;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// From the end of a node's lease to the moment when no append of its can still land: the deadline of a request,
/// and something for clocks and queues.
const APPENDS_END_AFTER_SECONDS: i32 = 10;

/// Makes the row of a node. Its id must be new. Postgres's time.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    node: Uuid,
    lease_time: Duration,
    spool: Option<Uuid>,
) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO ingest_node (id, lease_until, spool) VALUES ($1, now() + $2 * interval '1 second', $3)
         RETURNING clock_timestamp()",
    )
    .bind(node)
    .bind(lease_time.as_secs_f64())
    .bind(spool)
    .fetch_one(executor)
    .await
}

/// Prolongs the node's lease and names its spool. Postgres's time; `None` if the node was taken for dead.
pub(crate) async fn prolong(
    executor: impl PgExecutor<'_>,
    node: Uuid,
    lease_time: Duration,
    spool: Option<Uuid>,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar(
        "UPDATE ingest_node SET lease_until = now() + $2 * interval '1 second', spool = $3
         WHERE id = $1 AND ends IS NULL RETURNING clock_timestamp()",
    )
    .bind(node)
    .bind(lease_time.as_secs_f64())
    .bind(spool)
    .fetch_optional(executor)
    .await
}

/// Ends the node's lease at this moment: what it has handed to the log may still land in the usual time
/// ([`APPENDS_END_AFTER_SECONDS`]). A node that was settled meanwhile has no row any more.
pub(crate) async fn end(executor: impl PgExecutor<'_>, node: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE ingest_node SET lease_until = least(lease_until, now()) WHERE id = $1")
        .bind(node)
        .execute(executor)
        .await?;
    Ok(())
}

/// Ends every node's lease, long ago: nothing of theirs can land any more.
pub(crate) async fn end_all(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE ingest_node SET lease_until = '-infinity'").execute(executor).await?;
    Ok(())
}

/// How many nodes live.
pub(crate) async fn living(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM ingest_node WHERE ends IS NULL AND lease_until > now()")
        .fetch_one(executor)
        .await
}

/// Whether the node was not taken for dead; if so, it is not until the end of this transaction.
pub(crate) async fn hold(tx: &mut PgConnection, node: Uuid) -> Result<bool, sqlx::Error> {
    let held: Option<Uuid> =
        sqlx::query_scalar("SELECT id FROM ingest_node WHERE id = $1 AND ends IS NULL FOR SHARE")
            .bind(node)
            .fetch_optional(tx)
            .await?;
    Ok(held.is_some())
}

/// Dead nodes of which nothing is in a spool, and of which it is not noted yet where the log ended.
pub(crate) async fn dead(executor: impl PgExecutor<'_>) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT id FROM ingest_node
         WHERE ends IS NULL AND spool IS NULL AND lease_until < now() - $1 * interval '1 second'",
    )
    .bind(APPENDS_END_AFTER_SECONDS)
    .fetch_all(executor)
    .await
}

/// Notes where the log ended, for those of the `dead` that have not come back meanwhile. `ends` must have been asked
/// for after they were found dead.
pub(crate) async fn note_ends(
    executor: impl PgExecutor<'_>,
    dead: &[Uuid],
    ends: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE ingest_node SET ends = $2
         WHERE ends IS NULL AND spool IS NULL AND lease_until < now() - $1 * interval '1 second' AND id = ANY($3)",
    )
    .bind(APPENDS_END_AFTER_SECONDS)
    .bind(ends)
    .bind(dead)
    .execute(executor)
    .await?;
    Ok(())
}

/// Dead nodes of which all that they wrote was processed: every cursor has passed the end that was noted.
pub(crate) async fn passed(executor: impl PgExecutor<'_>) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT n.id FROM ingest_node n WHERE n.ends IS NOT NULL AND NOT EXISTS (
             SELECT FROM unnest(n.ends) WITH ORDINALITY AS e (end_offset, place)
             LEFT JOIN partition_cursor c ON c.partition = e.place - 1
             WHERE coalesce(c.next_offset, 0) < e.end_offset)",
    )
    .fetch_all(executor)
    .await
}

/// Deletes the node, whose leases are settled. Another process may have done so at the same moment.
pub(crate) async fn delete(tx: &mut PgConnection, node: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM ingest_node WHERE id = $1").bind(node).execute(tx).await?;
    Ok(())
}

/// The nodes of a spool whose lease has run out, and that are dead if `appends_end_by_themselves`, each with its
/// `lease_until` as text, since that may be `-infinity`.
pub(crate) async fn ended_of_spool(
    executor: impl PgExecutor<'_>,
    spool: Uuid,
    appends_end_by_themselves: bool,
) -> Result<Vec<(Uuid, String)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, lease_until::text FROM ingest_node
         WHERE spool = $1 AND lease_until <= now() - $2 * interval '1 second'",
    )
    .bind(spool)
    .bind(if appends_end_by_themselves { APPENDS_END_AFTER_SECONDS } else { 0 })
    .fetch_all(executor)
    .await
}

/// Says that no spool holds anything of these nodes, if their `lease_until` is still the same. How many those are.
pub(crate) async fn release_of_spool(
    executor: impl PgExecutor<'_>,
    nodes: &[Uuid],
    lease_until: &[&str],
) -> Result<u64, sqlx::Error> {
    let released = sqlx::query(
        "UPDATE ingest_node n SET spool = NULL FROM unnest($1::uuid[], $2::text[]) AS e (id, lease_until)
         WHERE n.id = e.id AND n.lease_until = e.lease_until::timestamptz",
    )
    .bind(nodes)
    .bind(lease_until)
    .execute(executor)
    .await?;
    Ok(released.rows_affected())
}

/// A spool, and what the nodes that name it come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpoolRow {
    pub(crate) spool: Uuid,
    pub(crate) since: DateTime<Utc>,
    pub(crate) ended: i64,
    pub(crate) live: bool,
    pub(crate) held: i64,
}

service::from_row!(SpoolRow { spool, since, ended, live, held });

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeRow {
    pub(crate) id: Uuid,
    pub(crate) started_at: DateTime<Utc>,
    /// `None` where no lease runs.
    pub(crate) lease_until: Option<DateTime<Utc>>,
    pub(crate) spool: Option<Uuid>,
}

service::from_row!(NodeRow { id, started_at, lease_until, spool });

/// The youngest nodes.
pub(crate) async fn youngest(
    executor: impl PgExecutor<'_>,
    nodes_max: i64,
) -> Result<Vec<NodeRow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, started_at, CASE WHEN lease_until > now() THEN lease_until END AS lease_until, spool
         FROM ingest_node ORDER BY started_at DESC, id LIMIT $1",
    )
    .bind(nodes_max)
    .fetch_all(executor)
    .await
}

/// All spools that are named, the oldest first.
pub(crate) async fn spools(executor: impl PgExecutor<'_>) -> Result<Vec<SpoolRow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT n.spool, min(n.started_at) AS since, count(*) FILTER (WHERE n.lease_until <= now()) AS ended,
                bool_or(n.lease_until > now()) AS live,
                coalesce(sum((SELECT sum(l.granted - l.processed) FROM quota_lease l WHERE l.node_id = n.id))
                    FILTER (WHERE n.lease_until <= now()), 0)::bigint AS held
         FROM ingest_node n WHERE n.spool IS NOT NULL GROUP BY n.spool ORDER BY 2, 1",
    )
    .fetch_all(executor)
    .await
}

/// For each node of the spool, its row locked: whether it lives, or did a moment ago.
pub(crate) async fn lock_lives_of_spool(
    tx: &mut PgConnection,
    spool: Uuid,
) -> Result<Vec<bool>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT lease_until >= now() - $2 * interval '1 second' FROM ingest_node WHERE spool = $1 FOR UPDATE",
    )
    .bind(spool)
    .bind(APPENDS_END_AFTER_SECONDS)
    .fetch_all(tx)
    .await
}

/// Says that the spool holds nothing of these `nodes` nodes, which were locked.
pub(crate) async fn forget_spool(
    tx: &mut PgConnection,
    spool: Uuid,
    nodes: usize,
) -> Result<(), sqlx::Error> {
    let forgotten =
        sqlx::query("UPDATE ingest_node SET spool = NULL WHERE spool = $1").bind(spool).execute(tx).await?;
    changed(&forgotten, nodes)
}
