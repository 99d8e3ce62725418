//! `quota_lease`: what an ingest node holds of a period's quota, and how much of it was processed. Rows are locked by
//! id, after those of `quota_period`.

use std::collections::{HashMap, HashSet};

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

/// A lease's totals ([`crate::lease`]). The default is a lease that has not been made yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) granted: i64,
    pub(crate) taken: i64,
    pub(crate) returned: i64,
}

impl Default for Lease {
    fn default() -> Self {
        Self { id: LeaseId::NONE, granted: 0, taken: 0, returned: 0 }
    }
}

/// Tenant and start of the period.
type Row = (i64, DateTime<Utc>);

/// The node's leases of these periods, whose rows must be locked, by tenant and period; they are locked, too.
pub(crate) async fn lock_of_node(
    tx: &mut PgConnection,
    node: Uuid,
    periods: &Periods,
) -> Result<HashMap<Row, Lease>, sqlx::Error> {
    let rows: Vec<(i64, DateTime<Utc>, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT tenant_id, period_start, l.id, l.granted, l.taken, l.returned
         FROM unnest($1::bigint[], $2::timestamptz[]) AS w (tenant_id, period_start)
         JOIN quota_lease l USING (tenant_id, period_start) WHERE l.node_id = $3 ORDER BY l.id FOR UPDATE OF l",
    )
    .bind(&periods.tenants)
    .bind(&periods.starts)
    .bind(node)
    .fetch_all(tx)
    .await?;
    let lease = |(tenant, start, id, granted, taken, returned)| {
        ((tenant, start), Lease { id: LeaseId(id), granted, taken, returned })
    };
    Ok(rows.into_iter().map(lease).collect())
}

/// Totals of leases as columns, each tenant and period at most once.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    periods: Periods,
    taken: Vec<i64>,
    returned: Vec<i64>,
}

impl FromIterator<(TenantId, Micros, Lease)> for Totals {
    fn from_iter<I: IntoIterator<Item = (TenantId, Micros, Lease)>>(rows: I) -> Self {
        let (mut taken, mut returned) = (Vec::new(), Vec::new());
        let periods = rows.into_iter().map(|(tenant, start, lease)| {
            taken.push(lease.taken);
            returned.push(lease.returned);
            (tenant, start, lease.granted)
        });
        let periods = periods.collect();
        Self { periods, taken, returned }
    }
}

/// Writes totals of the node's leases, which are locked or not there: a node has one lease of a period. Their ids.
pub(crate) async fn put(
    tx: &mut PgConnection,
    node: Uuid,
    totals: &Totals,
) -> Result<HashMap<Row, LeaseId>, sqlx::Error> {
    if totals.taken.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(i64, DateTime<Utc>, i64)> = sqlx::query_as(
        "INSERT INTO quota_lease (node_id, tenant_id, period_start, granted, taken, returned)
         SELECT $6, * FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[])
         ON CONFLICT (node_id, tenant_id, period_start) DO UPDATE
         SET granted = excluded.granted, taken = excluded.taken, returned = excluded.returned
         RETURNING tenant_id, period_start, id",
    )
    .bind(&totals.periods.tenants)
    .bind(&totals.periods.starts)
    .bind(&totals.periods.events)
    .bind(&totals.taken)
    .bind(&totals.returned)
    .bind(node)
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|(tenant, start, id)| ((tenant, start), LeaseId(id))).collect())
}

/// Which of these leases are there, without a lock: of that tenant and period, not just by that id, so that no event
/// is settled under a lease that it was not charged to. One that is gone never comes back: ids are random.
pub(crate) async fn there(
    tx: &mut PgConnection,
    leases: impl IntoIterator<Item = &(LeaseId, TenantId, Micros)>,
) -> Result<HashSet<(LeaseId, TenantId, Micros)>, sqlx::Error> {
    let leases: Vec<_> = leases.into_iter().copied().collect();
    let ids: Vec<i64> = leases.iter().map(|(lease, ..)| lease.0).collect();
    let found: Vec<(i64, i64, DateTime<Utc>)> =
        sqlx::query_as("SELECT id, tenant_id, period_start FROM quota_lease WHERE id = ANY($1)")
            .bind(ids)
            .fetch_all(tx)
            .await?;
    let found: HashSet<_> = found.into_iter().collect();
    let is_there = |(lease, tenant, start): &(LeaseId, TenantId, Micros)| {
        found.contains(&(lease.0, tenant.0, timestamp(*start)))
    };
    Ok(leases.into_iter().filter(is_there).collect())
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

/// Deletes these leases and takes what was granted and not processed from their periods, whose rows must be
/// locked. How many events that were.
pub(crate) async fn settle(tx: &mut PgConnection, leases: &[i64]) -> Result<i64, sqlx::Error> {
    let given_back: Option<i64> = sqlx::query_scalar(
        "WITH ended AS (
             DELETE FROM quota_lease WHERE id = ANY($1)
             RETURNING tenant_id, period_start, granted - processed AS events),
         back AS (
             UPDATE quota_period q SET granted = q.granted - ended.events
             FROM ended WHERE (q.tenant_id, q.period_start) = (ended.tenant_id, ended.period_start)
             RETURNING ended.events)
         SELECT sum(events)::bigint FROM back",
    )
    .bind(leases)
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
