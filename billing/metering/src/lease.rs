//! Leases: how an ingest node takes slices of tenants' quotas, keeps them, and gives them back.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::id::{LeaseId, TenantId};
use schemas::time::Micros;
use service::store::StoreError;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::db::quota_lease::Lease;
use crate::db::{Periods, ingest_node, quota_lease, quota_period, timestamp};

/// What a node asks for, and what it gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// For whom.
    pub tenant: TenantId,
    /// Start of the period, whole seconds.
    pub period_start: Micros,
    /// Events that the node knows to have been granted on its lease, in all: it gets the difference.
    pub taken: i64,
    /// Events that the node has given back of its lease, in all, these included: Postgres takes the difference.
    pub returned: i64,
    /// Events that requests wait for right now.
    pub need: i64,
    /// Events that the node expects to need before it asks again; more than `need` is granted only while the
    /// other nodes' share stays untouched.
    pub like: i64,
}

/// What a node gets. A tenant that is not known gets none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// For whom.
    pub tenant: TenantId,
    /// As asked for.
    pub period_start: Micros,
    /// The node's lease of that tenant and period: the same at every renewal. [`LeaseId::NONE`] if it never got one.
    pub lease: LeaseId,
    /// Events more than the node knew of; zero if the quota is used up.
    pub granted: i64,
    /// Events that are left for everybody after this grant; [`i64::MAX`] if the tenant has no cap.
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

/// Takes back what nodes do not want any more, and grants slices, in one transaction. `wants` names each tenant and
/// period at most once.
///
/// If the reply is lost, ask again with the same totals: what was granted then is granted now, and nothing is taken
/// back twice. So a node asks until it hears, and must not forget a lease's totals while it is registered.
///
/// A tenant without a cap gets all that is liked: its leases are for counting, so that a cap that is set later finds
/// what was accepted before.
///
/// # Errors
/// [`LeaseError`]; nothing is to be spent then.
pub async fn grant(pool: &PgPool, node: Uuid, wants: &[Want]) -> Result<Vec<Grant>, LeaseError> {
    let mut tx = pool.begin().await?;
    let nodes = ingest_node::living(&mut *tx).await?;
    let quotas = lock(&mut tx, wants).await?;
    // The node's row is locked against being reclaimed in between; no row: it has been.
    if !ingest_node::hold(&mut tx, node).await? {
        return Err(LeaseError::NodeGone);
    }
    let mut leases = quota_lease::lock_of_node(&mut tx, node, &periods(wants)).await?;
    let of = |(want, quota): (Want, quota_period::Quota)| {
        let lease = leases.remove(&row_of(&want)).unwrap_or_default();
        Slice::of(want, quota.cap, quota.granted, lease, nodes)
    };
    let slices: Vec<Slice> = quotas.into_iter().map(of).collect();
    let grants = write(&mut tx, node, &slices).await?;
    tx.commit().await?;
    Ok(grants)
}

/// What comes of a want.
#[derive(Debug, Clone, Copy)]
struct Slice {
    want: Want,
    /// The lease as it was, and as it is to be.
    before: Lease,
    after: Lease,
    /// What the node gets that it did not know of.
    granted: i64,
    left: i64,
}

impl Slice {
    /// `cap` and `granted` are those of the period, for all nodes, before this.
    fn of(want: Want, cap: Option<i64>, granted: i64, before: Lease, nodes: i64) -> Self {
        let back = want.returned.saturating_sub(before.returned).max(0);
        // Granted before, in a reply that was lost.
        let lost = before.taken.saturating_sub(want.taken).max(0);
        // Postgres has lost commits with a failover, and the node may have spent what it was granted in them.
        let forgotten = want.taken.saturating_sub(before.taken).max(0);
        let granted = granted.saturating_sub(back).saturating_add(forgotten).max(0);
        let room = cap.map_or(i64::MAX, |cap| cap.saturating_sub(granted).max(0));
        let still = Want { need: (want.need - lost).max(0), like: (want.like - lost).max(0), ..want };
        let more = slice(&still, room, nodes);
        let after = Lease {
            id: before.id,
            granted: before.granted + forgotten + more - back,
            taken: before.taken + forgotten + more,
            returned: before.returned + back,
        };
        let left = if cap.is_some() { room - more } else { room };
        Self { want, before, after, granted: lost + more, left }
    }

    fn change(&self) -> i64 {
        self.after.granted - self.before.granted
    }
}

fn periods<'a>(wants: impl IntoIterator<Item = &'a Want>) -> Periods {
    wants.into_iter().map(|want| (want.tenant, want.period_start, 0)).collect()
}

/// The wanted quotas, their rows locked. Tenants that are not known are left out.
async fn lock(
    tx: &mut PgConnection,
    wants: &[Want],
) -> Result<Vec<(Want, quota_period::Quota)>, sqlx::Error> {
    let periods = periods(wants);
    quota_period::make(tx, &periods).await?;
    let quotas = quota_period::lock_with_cap(tx, &periods).await?;
    // A node that has just started asks for thousands at once: no search for each.
    let wants: HashMap<Row, &Want> = wants.iter().map(|want| (row_of(want), want)).collect();
    let quota_of = |quota: quota_period::Quota| {
        wants.get(&(quota.tenant_id, quota.period_start)).map(|want| (**want, quota))
    };
    Ok(quotas.into_iter().filter_map(quota_of).collect())
}

/// How much of `room` a node gets, of `nodes` live ones: what requests wait for, and beyond that no more than a
/// quarter of its even share, so that slices shrink to single events as the room does.
fn slice(want: &Want, room: i64, nodes: i64) -> i64 {
    let share = room / nodes.max(1) / 4;
    room.min(want.need.max(want.like.min(share)))
}

async fn write(tx: &mut PgConnection, node: Uuid, slices: &[Slice]) -> Result<Vec<Grant>, sqlx::Error> {
    let changes = slices.iter().filter(|slice| slice.change() != 0);
    let changes: Periods =
        changes.map(|slice| (slice.want.tenant, slice.want.period_start, slice.change())).collect();
    quota_period::add(tx, &changes).await?;
    let changed = slices.iter().filter(|slice| slice.before != slice.after);
    let changed = changed.map(|slice| (slice.want.tenant, slice.want.period_start, slice.after)).collect();
    let ids = quota_lease::put(tx, node, &changed).await?;
    let grant_of = |slice: &Slice| {
        let Want { tenant, period_start, .. } = slice.want;
        let lease = ids.get(&row_of(&slice.want)).copied().unwrap_or(slice.before.id);
        Grant { tenant, period_start, lease, granted: slice.granted, left: slice.left }
    };
    Ok(slices.iter().map(grant_of).collect())
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
        Want { tenant: TenantId(1), period_start: Micros(0), taken: 0, returned: 0, need, like }
    }

    #[test]
    fn slices_shrink_to_single_events_near_the_cap() {
        assert_eq!(slice(&want(0, 1_000), 1_000_000, 2), 1_000);
        assert_eq!(slice(&want(1, 1_000), 80, 2), 10);
        assert_eq!(slice(&want(1, 1_000), 7, 2), 1);
        assert_eq!(slice(&want(5, 1_000), 3, 2), 3);
        assert_eq!(slice(&want(1, 1_000), 0, 2), 0);
    }

    /// An exchange of a node that is alone, of a cap of 20.
    fn exchange(want: Want, granted: &mut i64, lease: &mut Lease, cap: Option<i64>) -> i64 {
        let slice = Slice::of(want, cap, *granted, *lease, 1);
        assert_eq!(slice.before, *lease);
        *granted += slice.change();
        *lease = slice.after;
        slice.granted
    }

    #[test]
    fn what_postgres_lost_with_a_failover_and_the_node_may_have_spent_is_charged_again() {
        let (mut granted, mut lease) = (0, Lease::default());
        let knows = Want { taken: 8, ..want(4, 4) };
        assert_eq!(exchange(knows, &mut granted, &mut lease, Some(10)), 2, "eight of the ten are the node's");
        assert_eq!((granted, lease.granted, lease.taken), (10, 10, 10));
    }

    proptest! {
        /// Whichever replies are lost: what the node holds by its own books and what Postgres has granted is the same
        /// as soon as the node hears once more.
        #[test]
        fn lost_replies_leak_nothing(
            steps in proptest::collection::vec((0..9_i64, 0..9_i64, 0..9_i64, any::<bool>()), 1..40),
            cap in proptest::option::of(0..60_i64),
        ) {
            let (mut granted, mut lease) = (0, Lease::default());
            let (mut taken, mut returned, mut left, mut spent) = (0, 0, 0, 0);
            for (need, back, spend, heard) in steps {
                let back = back.min(left);
                (left, returned) = (left - back, returned + back);
                let spend = spend.min(left);
                (left, spent) = (left - spend, spent + spend);
                let got = exchange(Want { taken, returned, ..want(need, need) }, &mut granted, &mut lease, cap);
                if heard {
                    (taken, left) = (taken + got, left + got);
                    prop_assert_eq!(granted, left + spent);
                }
                prop_assert_eq!(granted, lease.granted);
                prop_assert!(cap.is_none_or(|cap| granted <= cap));
            }
        }

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
