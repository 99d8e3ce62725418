//! Leases: how an ingest node takes slices of tenants' quotas, keeps them, and gives them back.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::id::{LeaseId, TenantId};
use schemas::time::Micros;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// What a node asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// For whom.
    pub tenant: TenantId,
    /// Start of the period, whole seconds.
    pub period_start: Micros,
    /// Events that requests wait for right now.
    pub need: i64,
    /// Events that the node expects to need before it asks again; more than `need` is granted only while the
    /// other nodes' share stays untouched.
    pub like: i64,
}

/// What a node gets. A tenant that is not capped, or not known, gets none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// For whom.
    pub tenant: TenantId,
    /// As asked for.
    pub period_start: Micros,
    /// The node's lease of that tenant and period: the same at every renewal.
    pub lease: LeaseId,
    /// Events more than before; zero if the quota is used up.
    pub granted: i64,
    /// Events that are left for everybody after this grant.
    pub left: i64,
}

/// Why a node got nothing.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The node was taken for dead and its leases are being settled: it must forget them and register anew.
    #[error("this node's leases have been reclaimed")]
    NodeGone,
    /// Postgres did not answer, or answered with an error.
    #[error("quota leases are not to be had from Postgres")]
    Store(#[from] sqlx::Error),
}

/// Registers a run of an ingest process, with the spool that it may put events into. The id must be new. What time
/// Postgres has.
///
/// # Errors
/// If Postgres fails.
pub async fn register(
    pool: &PgPool,
    node: Uuid,
    lease_time: Duration,
    spool: Option<Uuid>,
) -> Result<Micros, sqlx::Error> {
    let now: DateTime<Utc> = sqlx::query_scalar(
        "INSERT INTO ingest_node (id, lease_until, spool) VALUES ($1, now() + $2 * interval '1 second', $3)
         RETURNING clock_timestamp()",
    )
    .bind(node)
    .bind(lease_time.as_secs_f64())
    .bind(spool)
    .fetch_one(pool)
    .await?;
    Ok(Micros(now.timestamp_micros()))
}

/// Prolongs all leases of the node: it may spend them for `lease_time` from before this call. Its spool is named
/// again, should the node have been taken for dead meanwhile ([`crate::spool`]). What time Postgres has.
///
/// # Errors
/// [`LeaseError::NodeGone`] if it must not.
pub async fn heartbeat(
    pool: &PgPool,
    node: Uuid,
    lease_time: Duration,
    spool: Option<Uuid>,
) -> Result<Micros, LeaseError> {
    let now: Option<DateTime<Utc>> = sqlx::query_scalar(
        "UPDATE ingest_node SET lease_until = now() + $2 * interval '1 second', spool = $3
         WHERE id = $1 AND ends IS NULL RETURNING clock_timestamp()",
    )
    .bind(node)
    .bind(lease_time.as_secs_f64())
    .bind(spool)
    .fetch_optional(pool)
    .await?;
    now.map(|now| Micros(now.timestamp_micros())).ok_or(LeaseError::NodeGone)
}

/// Says that the node spends no more: its leases are settled as soon as its spool is drained and the log has been
/// processed.
///
/// # Errors
/// If Postgres fails.
pub async fn end(pool: &PgPool, node: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE ingest_node SET lease_until = '-infinity' WHERE id = $1")
        .bind(node)
        .execute(pool)
        .await?;
    Ok(())
}

/// Ends all nodes. Only for a process that knows that no other ingest process writes to the log: it holds the lock
/// of a local log.
///
/// # Errors
/// If Postgres fails.
pub async fn end_all(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE ingest_node SET lease_until = '-infinity'").execute(pool).await?;
    Ok(())
}

/// Grants slices in one transaction. `wants` names each tenant and period at most once.
///
/// If the reply is lost, the slice may have been granted all the same: it is reclaimed when the node ends.
///
/// # Errors
/// [`LeaseError`]; nothing is to be spent then.
pub async fn grant(pool: &PgPool, node: Uuid, wants: &[Want]) -> Result<Vec<Grant>, LeaseError> {
    let mut tx = pool.begin().await?;
    let nodes: i64 =
        sqlx::query_scalar("SELECT count(*) FROM ingest_node WHERE ends IS NULL AND lease_until > now()")
            .fetch_one(&mut *tx)
            .await?;
    let rooms = room(&mut tx, wants).await?;
    let slices: Vec<(Want, i64)> =
        rooms.iter().map(|(want, room)| (*want, slice(want, *room, nodes))).collect();
    let mut grants = take(&mut tx, node, &slices).await?;
    tx.commit().await?;
    let rooms: HashMap<(TenantId, Micros), i64> =
        rooms.into_iter().map(|(want, room)| ((want.tenant, want.period_start), room)).collect();
    for grant in &mut grants {
        grant.left = rooms.get(&(grant.tenant, grant.period_start)).map_or(0, |room| room - grant.granted);
    }
    Ok(grants)
}

/// Gives unspent events back: `(lease, events)`, each lease at most once and for no more than was granted.
///
/// # Errors
/// If Postgres fails; the events are given back when the node ends, then.
pub async fn give_back(pool: &PgPool, node: Uuid, unspent: &[(LeaseId, i64)]) -> Result<(), sqlx::Error> {
    let (leases, events): (Vec<i64>, Vec<i64>) =
        unspent.iter().map(|(lease, events)| (lease.0, *events)).unzip();
    let mut tx = pool.begin().await?;
    sqlx::query(
        "SELECT FROM quota_period q JOIN quota_lease l USING (tenant_id, period_start)
         WHERE l.id = ANY($1) AND l.node_id = $2 ORDER BY q.tenant_id, q.period_start FOR UPDATE OF q",
    )
    .bind(&leases)
    .bind(node)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "WITH back AS (
             UPDATE quota_lease l SET granted = l.granted - u.events
             FROM unnest($1::bigint[], $2::bigint[]) AS u (id, events)
             WHERE l.id = u.id AND l.node_id = $3
             RETURNING l.tenant_id, l.period_start, u.events)
         UPDATE quota_period q SET granted = q.granted - back.events
         FROM back WHERE (q.tenant_id, q.period_start) = (back.tenant_id, back.period_start)",
    )
    .bind(&leases)
    .bind(&events)
    .bind(node)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// What is left of each wanted quota, its rows locked. Tenants without a cap are left out.
async fn room(tx: &mut PgConnection, wants: &[Want]) -> Result<Vec<(Want, i64)>, LeaseError> {
    let tenants: Vec<i64> = wants.iter().map(|want| want.tenant.0).collect();
    let starts: Vec<DateTime<Utc>> = wants.iter().map(|want| timestamp(want.period_start)).collect();
    make_periods(tx, &tenants, &starts).await?;
    let rows: Vec<(i64, DateTime<Utc>, i64, i64)> = sqlx::query_as(
        "SELECT q.tenant_id, q.period_start, q.granted, coalesce(t.quota, p.quota)
         FROM unnest($1::bigint[], $2::timestamptz[]) AS w (tenant_id, period_start)
         JOIN quota_period q USING (tenant_id, period_start)
         JOIN tenant t ON t.id = q.tenant_id JOIN plan p ON p.id = t.plan_id
         WHERE coalesce(t.quota, p.quota) IS NOT NULL
         ORDER BY q.tenant_id, q.period_start FOR UPDATE OF q",
    )
    .bind(&tenants)
    .bind(&starts)
    .fetch_all(&mut *tx)
    .await?;
    // A node that has just started asks for thousands at once: no search for each.
    let wants: HashMap<Row, &Want> = wants.iter().map(|want| (row_of(want), want)).collect();
    let room_of = |(tenant, start, granted, cap): (i64, DateTime<Utc>, i64, i64)| {
        wants.get(&(tenant, start)).map(|want| (**want, cap.saturating_sub(granted).max(0)))
    };
    Ok(rows.into_iter().filter_map(room_of).collect())
}

/// How much of `room` a node gets, of `nodes` live ones: what requests wait for, and beyond that no more than a
/// quarter of its even share, so that slices shrink to single events as the room does.
fn slice(want: &Want, room: i64, nodes: i64) -> i64 {
    let share = room / nodes.max(1) / 4;
    room.min(want.need.max(want.like.min(share)))
}

async fn take(tx: &mut PgConnection, node: Uuid, slices: &[(Want, i64)]) -> Result<Vec<Grant>, LeaseError> {
    let tenants: Vec<i64> = slices.iter().map(|(want, _)| want.tenant.0).collect();
    let starts: Vec<DateTime<Utc>> = slices.iter().map(|(want, _)| timestamp(want.period_start)).collect();
    let events: Vec<i64> = slices.iter().map(|(_, events)| *events).collect();
    sqlx::query(
        "UPDATE quota_period q SET granted = q.granted + s.events
         FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS s (tenant_id, period_start, events)
         WHERE (q.tenant_id, q.period_start) = (s.tenant_id, s.period_start)",
    )
    .bind(&tenants)
    .bind(&starts)
    .bind(&events)
    .execute(&mut *tx)
    .await?;
    // The node's row is locked against being reclaimed in between; no row: it has been.
    let live: Option<Uuid> =
        sqlx::query_scalar("SELECT id FROM ingest_node WHERE id = $1 AND ends IS NULL FOR SHARE")
            .bind(node)
            .fetch_optional(&mut *tx)
            .await?;
    live.ok_or(LeaseError::NodeGone)?;
    let rows: Vec<(i64, i64, DateTime<Utc>)> = sqlx::query_as(
        "INSERT INTO quota_lease AS l (node_id, tenant_id, period_start, granted)
         SELECT $4, * FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS s (tenant_id, period_start, events)
         ON CONFLICT (node_id, tenant_id, period_start) DO UPDATE SET granted = l.granted + excluded.granted
         RETURNING id, tenant_id, period_start",
    )
    .bind(&tenants)
    .bind(&starts)
    .bind(&events)
    .bind(node)
    .fetch_all(&mut *tx)
    .await?;
    let leases: HashMap<Row, i64> =
        rows.into_iter().map(|(lease, tenant, start)| ((tenant, start), lease)).collect();
    let grant_of = |(want, events): &(Want, i64)| {
        leases.get(&row_of(want)).map(|lease| Grant {
            tenant: want.tenant,
            period_start: want.period_start,
            lease: LeaseId(*lease),
            granted: *events,
            left: 0,
        })
    };
    Ok(slices.iter().filter_map(grant_of).collect())
}

/// Makes the rows of periods that nobody has used yet, in the order in which they are locked.
pub(crate) async fn make_periods(
    tx: &mut PgConnection,
    tenants: &[i64],
    starts: &[DateTime<Utc>],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO quota_period (tenant_id, period_start)
         SELECT * FROM unnest($1::bigint[], $2::timestamptz[]) AS w (tenant_id, period_start)
         ORDER BY 1, 2 ON CONFLICT DO NOTHING",
    )
    .bind(tenants)
    .bind(starts)
    .execute(tx)
    .await?;
    Ok(())
}

/// Tenant and start of the period, as Postgres holds them.
type Row = (i64, DateTime<Utc>);

fn row_of(want: &Want) -> Row {
    (want.tenant.0, timestamp(want.period_start))
}

/// An instant as Postgres holds it; what the calendar does not know becomes its end.
pub(crate) fn timestamp(at: Micros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn want(need: i64, like: i64) -> Want {
        Want { tenant: TenantId(1), period_start: Micros(0), need, like }
    }

    #[test]
    fn slices_shrink_to_single_events_near_the_cap() {
        assert_eq!(slice(&want(0, 1_000), 1_000_000, 2), 1_000);
        assert_eq!(slice(&want(1, 1_000), 80, 2), 10);
        assert_eq!(slice(&want(1, 1_000), 7, 2), 1);
        assert_eq!(slice(&want(5, 1_000), 3, 2), 3);
        assert_eq!(slice(&want(1, 1_000), 0, 2), 0);
    }

    proptest! {
        #[test]
        fn no_slice_is_larger_than_the_room(need in 0..5_000_i64, like in 0..5_000_i64, room in 0..10_000_i64, nodes in 0..9_i64) {
            let slice = slice(&want(need, like), room, nodes);
            prop_assert!((0..=room).contains(&slice));
            prop_assert!(slice >= need.min(room));
        }
    }
}
