//! Leases: how an ingest node takes slices of tenants' quotas, keeps them, and gives them back.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::id::{LeaseId, TenantId};
use schemas::time::Micros;
use service::store::StoreError;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::db::{Periods, ingest_node, quota_lease, quota_period, timestamp};

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
    /// The node was taken for dead and its leases are being settled: it must forget them and register again.
    #[error("this node's leases have been reclaimed")]
    NodeGone,
    /// Postgres did not answer, or answered with an error.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for LeaseError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
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
) -> Result<Micros, StoreError> {
    let now = ingest_node::insert(pool, node, lease_time, spool).await?;
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
    let now = ingest_node::prolong(pool, node, lease_time, spool).await?;
    now.map(|now| Micros(now.timestamp_micros())).ok_or(LeaseError::NodeGone)
}

/// Says that the node spends no more: its leases are settled as soon as its spool is drained and the log has been
/// processed.
///
/// # Errors
/// If Postgres fails.
pub async fn end(pool: &PgPool, node: Uuid) -> Result<(), StoreError> {
    Ok(ingest_node::end(pool, node).await?)
}

/// Ends all nodes. Only for a process that knows that no other ingest process writes to the log: it holds the lock
/// of a local log.
///
/// # Errors
/// If Postgres fails.
pub async fn end_all(pool: &PgPool) -> Result<(), StoreError> {
    Ok(ingest_node::end_all(pool).await?)
}

/// Grants slices in one transaction. `wants` names each tenant and period at most once.
///
/// If the reply is lost, the slice may have been granted all the same: it is reclaimed when the node ends.
///
/// # Errors
/// [`LeaseError`]; nothing is to be spent then.
pub async fn grant(pool: &PgPool, node: Uuid, wants: &[Want]) -> Result<Vec<Grant>, LeaseError> {
    let mut tx = pool.begin().await?;
    let nodes = ingest_node::living(&mut *tx).await?;
    let rooms = room(&mut tx, wants).await?;
    let slices: Vec<Slice> = rooms
        .into_iter()
        .map(|(want, room)| {
            let events = slice(&want, room, nodes);
            Slice { want, events, left: room - events }
        })
        .collect();
    let grants = take(&mut tx, node, &slices).await?;
    tx.commit().await?;
    Ok(grants)
}

/// What a want is to get, and what is left then.
struct Slice {
    want: Want,
    events: i64,
    left: i64,
}

/// Gives unspent events back: `(lease, events)`, each lease at most once and for no more than was granted.
///
/// # Errors
/// If Postgres fails; the events are given back when the node ends, then.
pub async fn give_back(pool: &PgPool, node: Uuid, unspent: &[(LeaseId, i64)]) -> Result<(), StoreError> {
    let leases: Vec<LeaseId> = unspent.iter().map(|(lease, _)| *lease).collect();
    let mut tx = pool.begin().await?;
    quota_period::lock_of_leases(&mut tx, node, &leases).await?;
    quota_lease::give_back(&mut tx, node, &unspent.iter().copied().collect()).await?;
    Ok(tx.commit().await?)
}

/// What is left of each wanted quota, its rows locked. Tenants without a cap are left out.
async fn room(tx: &mut PgConnection, wants: &[Want]) -> Result<Vec<(Want, i64)>, sqlx::Error> {
    let periods: Periods = wants.iter().map(|want| (want.tenant, want.period_start, want.need)).collect();
    quota_period::make(tx, &periods).await?;
    let quotas = quota_period::lock_capped(tx, &periods).await?;
    // A node that has just started asks for thousands at once: no search for each.
    let wants: HashMap<Row, &Want> = wants.iter().map(|want| (row_of(want), want)).collect();
    let room_of = |quota: quota_period::Quota| {
        let want = wants.get(&(quota.tenant_id, quota.period_start))?;
        Some((**want, quota.cap.saturating_sub(quota.granted).max(0)))
    };
    Ok(quotas.into_iter().filter_map(room_of).collect())
}

/// How much of `room` a node gets, of `nodes` live ones: what requests wait for, and beyond that no more than a
/// quarter of its even share, so that slices shrink to single events as the room does.
fn slice(want: &Want, room: i64, nodes: i64) -> i64 {
    let share = room / nodes.max(1) / 4;
    room.min(want.need.max(want.like.min(share)))
}

async fn take(tx: &mut PgConnection, node: Uuid, slices: &[Slice]) -> Result<Vec<Grant>, LeaseError> {
    let periods: Periods =
        slices.iter().map(|slice| (slice.want.tenant, slice.want.period_start, slice.events)).collect();
    quota_period::add(tx, &periods).await?;
    // The node's row is locked against being reclaimed in between; no row: it has been.
    if !ingest_node::hold(tx, node).await? {
        return Err(LeaseError::NodeGone);
    }
    let granted = quota_lease::grant(tx, node, &periods).await?;
    let leases: HashMap<Row, LeaseId> =
        granted.into_iter().map(|row| ((row.tenant_id, row.period_start), LeaseId(row.id))).collect();
    let grant_of = |slice: &Slice| {
        let Want { tenant, period_start, .. } = slice.want;
        let lease = *leases.get(&row_of(&slice.want))?;
        Some(Grant { tenant, period_start, lease, granted: slice.events, left: slice.left })
    };
    Ok(slices.iter().filter_map(grant_of).collect())
}

/// Tenant and start of the period, as Postgres holds them.
type Row = (i64, DateTime<Utc>);

fn row_of(want: &Want) -> Row {
    (want.tenant.0, timestamp(want.period_start))
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
        fn no_slice_is_larger_than_the_room(
            need in 0..5_000_i64, like in 0..5_000_i64, room in 0..10_000_i64, nodes in 0..9_i64
        ) {
            let slice = slice(&want(need, like), room, nodes);
            prop_assert!((0..=room).contains(&slice));
            prop_assert!(slice >= need.min(room));
        }
    }
}
