//! `quota_lease`: what an ingest node holds of a period's quota, and how much of it was processed. Rows are locked by
//! id, after those of `quota_period`.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use schemas::id::{LeaseId, TenantId};
use schemas::time::Micros;
use service::store::changed;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Periods, timestamp};

/// Leases as columns, each at most once, with a number of events.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    ids: Vec<i64>,
    events: Vec<i64>,
}

impl FromIterator<(LeaseId, i64)> for Leases {
    fn from_iter<I: IntoIterator<Item = (LeaseId, i64)>>(rows: I) -> Self {
        let (ids, events) = rows.into_iter().map(|(lease, events)| (lease.0, events)).unzip();
        Self { ids, events }
    }
}

/// The lease of a tenant and period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) id: i64,
    pub(crate) tenant_id: i64,
    pub(crate) period_start: DateTime<Utc>,
}

service::from_row!(Granted { id, tenant_id, period_start });

/// Adds events to the node's leases of these periods, or makes them: a node has one lease of a period.
pub(crate) async fn grant(
    tx: &mut PgConnection,
    node: Uuid,
    slices: &Periods,
) -> Result<Vec<Granted>, sqlx::Error> {
    sqlx::query_as(
        "INSERT INTO quota_lease AS l (node_id, tenant_id, period_start, granted)
         SELECT $4, * FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS s (tenant_id, period_start, events)
         ON CONFLICT (node_id, tenant_id, period_start) DO UPDATE SET granted = l.granted + excluded.granted
         RETURNING id, tenant_id, period_start",
    )
    .bind(&slices.tenants)
    .bind(&slices.starts)
    .bind(&slices.events)
    .bind(node)
    .fetch_all(tx)
    .await
}

/// Takes unspent events from the node's leases, and from what is granted of their periods, whose rows must be locked. A
/// lease that is gone was settled with the node: it gives nothing.
pub(crate) async fn give_back(
    tx: &mut PgConnection,
    node: Uuid,
    unspent: &Leases,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH back AS (
             UPDATE quota_lease l SET granted = l.granted - u.events
             FROM unnest($1::bigint[], $2::bigint[]) AS u (id, events)
             WHERE l.id = u.id AND l.node_id = $3
             RETURNING l.tenant_id, l.period_start, u.events)
         UPDATE quota_period q SET granted = q.granted - back.events
         FROM back WHERE (q.tenant_id, q.period_start) = (back.tenant_id, back.period_start)",
    )
    .bind(&unspent.ids)
    .bind(&unspent.events)
    .bind(node)
    .execute(tx)
    .await?;
    Ok(())
}

/// Which of these leases are there, without a lock. One that is gone never comes back: ids are given once.
pub(crate) async fn there(
    tx: &mut PgConnection,
    leases: impl IntoIterator<Item = &LeaseId>,
) -> Result<HashSet<LeaseId>, sqlx::Error> {
    let ids: Vec<i64> = leases.into_iter().map(|lease| lease.0).collect();
    let there: Vec<i64> =
        sqlx::query_scalar("SELECT id FROM quota_lease WHERE id = ANY($1)").bind(ids).fetch_all(tx).await?;
    Ok(there.into_iter().map(LeaseId).collect())
}

/// Locks leases that are [`there`].
///
/// # Errors
/// One that passes by itself if a lease was settled since: its period was changed as if the lease were there.
async fn lock(tx: &mut PgConnection, leases: &Leases) -> Result<(), sqlx::Error> {
    let locked = sqlx::query("SELECT FROM quota_lease WHERE id = ANY($1) ORDER BY id FOR UPDATE")
        .bind(&leases.ids)
        .execute(tx)
        .await?;
    if usize::try_from(locked.rows_affected()) == Ok(leases.ids.len()) {
        return Ok(());
    }
    Err(sqlx::Error::Protocol("a lease of quota was settled at this moment".to_owned()))
}

/// Locks all leases of a period, whose row must be locked.
pub(crate) async fn lock_of_period(
    tx: &mut PgConnection,
    tenant: TenantId,
    period_start: Micros,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT FROM quota_lease WHERE (tenant_id, period_start) = ($1, $2) ORDER BY id FOR UPDATE")
        .bind(tenant.0)
        .bind(timestamp(period_start))
        .execute(tx)
        .await?;
    Ok(())
}

/// Counts events of leases that are [`there`] as processed.
pub(crate) async fn process(tx: &mut PgConnection, processed: &Leases) -> Result<(), sqlx::Error> {
    lock(&mut *tx, processed).await?;
    let counted = sqlx::query(
        "UPDATE quota_lease l SET processed = l.processed + u.events
         FROM unnest($1::bigint[], $2::bigint[]) AS u (id, events) WHERE l.id = u.id",
    )
    .bind(&processed.ids)
    .bind(&processed.events)
    .execute(&mut *tx)
    .await?;
    changed(&counted, processed.ids.len())
}

/// Adds events to what leases that are [`there`] were granted.
pub(crate) async fn charge(tx: &mut PgConnection, copies: &Leases) -> Result<(), sqlx::Error> {
    lock(&mut *tx, copies).await?;
    let charged = sqlx::query(
        "UPDATE quota_lease l SET granted = l.granted + u.events
         FROM unnest($1::bigint[], $2::bigint[]) AS u (id, events) WHERE l.id = u.id",
    )
    .bind(&copies.ids)
    .bind(&copies.events)
    .execute(&mut *tx)
    .await?;
    changed(&charged, copies.ids.len())
}

/// Deletes all leases of the node and takes what was granted and not processed from their periods, whose rows must be
/// locked. How many events that were.
pub(crate) async fn settle(tx: &mut PgConnection, node: Uuid) -> Result<i64, sqlx::Error> {
    let given_back: Option<i64> = sqlx::query_scalar(
        "WITH ended AS (
             DELETE FROM quota_lease WHERE node_id = $1
             RETURNING tenant_id, period_start, granted - processed AS events),
         back AS (
             UPDATE quota_period q SET granted = q.granted - ended.events
             FROM ended WHERE (q.tenant_id, q.period_start) = (ended.tenant_id, ended.period_start)
             RETURNING ended.events)
         SELECT sum(events)::bigint FROM back",
    )
    .bind(node)
    .fetch_one(tx)
    .await?;
    Ok(given_back.unwrap_or(0))
}

/// By node: its leases, and the events that they hold, accepted and not processed, or not spent.
pub(crate) async fn by_node(tx: &mut PgConnection) -> Result<Vec<(Uuid, i64, i64)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT node_id, count(*), coalesce(sum(granted - processed), 0)::bigint FROM quota_lease GROUP BY node_id",
    )
    .fetch_all(tx)
    .await
}
