//! Spools: what ingest nodes accepted while the log was away, and the books.
//!
//! # Every copy is charged
//! A duplicate that the processor finds is refunded. So of two copies of an event in the log both must have been
//! charged, or the refund is a gift, and a cap can be passed. A client's retry is charged like any request. A copy that
//! weir makes itself is charged before it is made: ingest's copy for the spool out of the tenant's slice, the drain's
//! by [`Copies`]. That one may pass the cap: nothing more is accepted for it, and it comes back with the duplicate, or
//! with the node's lease if there was no earlier copy after all. librdkafka makes none (`eventlog::kafka`).
//!
//! # A dead node is settled after its spool
//! Settling gives back `granted - processed`, so all that a node accepted must stand in the log by then
//! ([`crate::reclaim`]). A node with a spool is registered with the spool's id, and is left alone while that column is
//! set. Only the process that drains the spool clears it ([`release`]), in three steps:
//!
//! 1. it asks Postgres which nodes of its spool are dead ([`ended`]): their leases ran out so long ago that no append
//!    of theirs can still begin;
//! 2. it puts a mark into the spool, which comes behind all that was handed to the spool before, and waits until the
//!    mark is drained;
//! 3. it clears the column of those nodes whose `lease_until` is still what it was in step 1.
//!
//! Why nothing is missed: records of a node get into its spool only by the process that registered it, which held the
//! lock on the spool's folder. If the process in step 1 is another one, that process is dead and all of its records
//! stand before the mark. If it is the same one (a node that registered again while it ran), no append
//! under the old leases begins after step 1, and those that were handed over before stand before the mark, because the
//! spool writes in the order in which it was handed records. A node that was only thought dead comes back by its
//! heartbeat, which moves `lease_until`: then step 3 leaves it alone. If the heartbeat comes after step 3, it sets the
//! column again, or finds the node settled and registers again, with nothing to spend in between. So the row of a node
//! that may still spool always names the spool.
//!
//! A spool that is lost with its machine is never drained: `weir spool forget` clears the column for it. Should the
//! spool turn up, the leases of its events are gone: what is stored counts from then on, duplicates change nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemas::frame::Frame;
use schemas::id::{LeaseId, TenantId};
use schemas::time::Micros;
use serde::Serialize;
use service::store::StoreError;
use sqlx::PgPool;
use uuid::Uuid;

use crate::db::ingest_node::{self, SpoolRow};
use crate::db::{Periods, quota_lease, quota_period};

/// Events of which a copy is about to be handed to the log, while another may be there.
#[derive(Debug, Default)]
pub struct Copies {
    events: BTreeMap<(LeaseId, TenantId, Micros), i64>,
}

impl Copies {
    /// Counts the events of frames. What was accepted without a lease is counted when it is stored, not here; neither
    /// is a frame that can't be read, which ends as a dead letter.
    pub fn of<'a>(frames: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut copies = Self::default();
        for frame in frames {
            let Ok(frame) = Frame::parse(frame) else { continue };
            let (envelope, events) = (frame.envelope, i64::from(frame.len()));
            if envelope.lease != LeaseId::NONE {
                let period_start = Micros(envelope.period_start.saturating_mul(1_000_000));
                let of = (envelope.lease, envelope.tenant, period_start);
                *copies.events.entry(of).or_default() += events;
            }
        }
        copies
    }

    /// Charges them. What was accepted under a lease that is gone is counted when it is stored, too, and duplicates of
    /// it are not refunded ([`crate::settle`]).
    ///
    /// # Errors
    /// If Postgres fails; they may be charged then, and are to be charged again.
    pub async fn charge(&self, pool: &PgPool) -> Result<(), StoreError> {
        if self.events.is_empty() {
            return Ok(());
        }
        let mut tx = pool.begin().await?;
        let there = quota_lease::there(&mut tx, self.events.keys()).await?;
        let mut leases: BTreeMap<LeaseId, i64> = BTreeMap::new();
        let mut periods: BTreeMap<(TenantId, Micros), i64> = BTreeMap::new();
        for (&(lease, tenant, start), events) in self.events.iter().filter(|(of, _)| there.contains(of)) {
            *leases.entry(lease).or_default() += events;
            *periods.entry((tenant, start)).or_default() += events;
        }
        let periods = periods.into_iter().map(|((tenant, start), events)| (tenant, start, events));
        let periods: Periods = periods.collect();
        quota_period::make(&mut tx, &periods).await?;
        quota_period::lock(&mut tx, &periods).await?;
        quota_period::add(&mut tx, &periods).await?;
        quota_lease::charge(&mut tx, &leases.into_iter().collect()).await?;
        Ok(tx.commit().await?)
    }
}

/// A node that has ended, as Postgres had it when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The node.
    pub node: Uuid,
    /// As text, since it may be `-infinity`.
    lease_until: String,
}

/// The nodes of a spool that are dead and wait for it to be drained.
///
/// # Errors
/// If Postgres fails.
pub async fn ended(pool: &PgPool, spool: Uuid) -> Result<Vec<Ended>, StoreError> {
    ended_of(pool, spool, true).await
}

/// The nodes of a spool whose process ends: for that process alone, after its last request. Nothing of them comes into
/// the spool any more, nor of nodes that were there before.
///
/// # Errors
/// If Postgres fails.
pub async fn stopped(pool: &PgPool, spool: Uuid) -> Result<Vec<Ended>, StoreError> {
    ended_of(pool, spool, false).await
}

async fn ended_of(pool: &PgPool, spool: Uuid, is_dead: bool) -> Result<Vec<Ended>, StoreError> {
    let rows = ingest_node::ended_of_spool(pool, spool, is_dead).await?;
    Ok(rows.into_iter().map(|(node, lease_until)| Ended { node, lease_until }).collect())
}

/// Says that the spool holds nothing of these nodes any more, as far as they have not come back. How many those are.
///
/// # Errors
/// If Postgres fails.
pub async fn release(pool: &PgPool, ended: &[Ended]) -> Result<u64, StoreError> {
    let (nodes, until): (Vec<Uuid>, Vec<&str>) =
        ended.iter().map(|ended| (ended.node, ended.lease_until.as_str())).unzip();
    Ok(ingest_node::release_of_spool(pool, &nodes, &until).await?)
}

/// A spool, as the books know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Spool {
    /// Its id; it stands in `spool/meta` of the node's data folder.
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    /// When the first of its nodes started.
    pub since: DateTime<Utc>,
    /// Nodes that have ended and wait for it to be drained.
    pub ended: i64,
    /// Whether a process has it right now.
    pub live: bool,
    /// Events that leases of its ended nodes hold: accepted and not processed, or not spent.
    pub held: i64,
}

/// All spools that may hold something.
///
/// # Errors
/// If Postgres fails.
pub async fn list(pool: &PgPool) -> Result<Vec<Spool>, StoreError> {
    let spool = |SpoolRow { spool: id, since, ended, live, held }| Spool { id, since, ended, live, held };
    Ok(ingest_node::spools(pool).await?.into_iter().map(spool).collect())
}

/// Why a spool is not forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// No node waits for such a spool.
    #[error("no node that has ended waits for the spool {0}")]
    Unknown(Uuid),
    /// It is not lost.
    #[error(
        "a node with the spool {0} is alive, or was a moment ago: it is drained as soon as the log is back"
    )]
    Live(Uuid),
    /// Postgres failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ForgetError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Gives a spool up for lost: its ended nodes are settled without it. How many those are. Should its events come into
/// the log after all, a cap may be passed by as many.
///
/// # Errors
/// [`ForgetError`]; nothing is changed then.
pub async fn forget(pool: &PgPool, spool: Uuid) -> Result<usize, ForgetError> {
    let mut tx = pool.begin().await?;
    let lives = ingest_node::lock_lives_of_spool(&mut tx, spool).await?;
    if lives.is_empty() {
        return Err(ForgetError::Unknown(spool));
    }
    if lives.contains(&true) {
        return Err(ForgetError::Live(spool));
    }
    ingest_node::forget_spool(&mut tx, spool, lives.len()).await?;
    tx.commit().await?;
    Ok(lives.len())
}

#[cfg(test)]
mod tests {
    use schemas::frame::Envelope;
    use schemas::id::ProjectId;

    use super::*;

    fn frame(tenant: i64, lease: LeaseId, events: u32) -> bytes::Bytes {
        let of_project = testkit::frame::envelope(TenantId(tenant), ProjectId(1));
        let received_at = Micros(100_000_000_000);
        let envelope = Envelope { lease, period_start: 86_400, received_at, ..of_project };
        testkit::frame::frame(&envelope, (0..events).map(|id| id.to_string()))
    }

    #[test]
    fn events_are_counted_by_lease_and_period_and_those_without_a_lease_are_not() {
        let frames = [
            frame(1, LeaseId(7), 2),
            frame(1, LeaseId(7), 3),
            frame(1, LeaseId(8), 4),
            frame(2, LeaseId(9), 1),
            frame(2, LeaseId::NONE, 50),
            bytes::Bytes::from_static(b"no frame"),
        ];
        let copies = Copies::of(frames.iter().map(|frame| &frame[..]));
        let day = Micros(86_400_000_000);
        let of = |lease, tenant| (LeaseId(lease), TenantId(tenant), day);
        assert_eq!(copies.events, [(of(7, 1), 5), (of(8, 1), 4), (of(9, 2), 1)].into());
    }
}
