//! Quota on this node: each tenant's slice, spent in memory, refilled in the background.
//!
//! A request waits only where it must: for the first slice of a tenant, or when a slice has run out and it is not
//! known whether there is more. It gets "used up" only on Postgres's word, which is remembered for
//! a moment and forgotten at once when the tenant's plan changes.
//!
//! Tenants without a cap spend slices, too, large ones: so a cap that is set in mid-month holds at once, on all nodes.
//! They wait for Postgres only a moment. What they send while it does not answer has no lease, and is counted when it
//! is stored.

mod charge;
mod keeper;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metering::period::Period;
use parking_lot::Mutex;
use schemas::id::LeaseId;
use schemas::problem::{Code, Problem};
use schemas::time::Micros;
use tokio::sync::mpsc;

use crate::tenant::{Spend, Spent, Tenant, Waiting};

pub(crate) use charge::Charge;
pub use keeper::{Keeper, keep};

/// The generation of a node that has never been registered.
const UNREGISTERED: u64 = 0;
/// How long a request waits for a slice.
const WAIT_MAX: Duration = Duration::from_secs(3);
/// The same of a tenant without a cap.
const COUNTED_WAIT_MAX: Duration = Duration::from_millis(250);

/// The node's side of all leases.
#[derive(Debug)]
pub struct Leases {
    node: Mutex<Node>,
    /// When events were last charged that may never come into the log.
    doubted_at: Mutex<Option<Instant>>,
    /// Postgres did not answer the last time: who can do without does not wait for it.
    is_silent: AtomicBool,
    /// Tenants whose slice must be refilled. Each stands in it once at most.
    refills: mpsc::UnboundedSender<Arc<Tenant>>,
}

/// This node's registration with Postgres.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// One more at each registration: slices of an earlier one are void.
    generation: u64,
    /// Until when slices may be spent.
    valid_until: Instant,
}

impl Leases {
    /// Spends up to `events` of the tenant's quota for a request received at `at`. All of them, unless the quota
    /// ends within.
    ///
    /// # Errors
    /// A 503 if Postgres does not say in time what is left of a cap.
    async fn spend(&self, tenant: &Arc<Tenant>, at: Micros, events: u32) -> Result<Spent, Problem> {
        if let Spend::Took(spent) = self.attempt(tenant, at, events) {
            return Ok(spent);
        }
        let wait_max = if is_capped(tenant) { WAIT_MAX } else { COUNTED_WAIT_MAX };
        let deadline = tokio::time::Instant::now() + wait_max;
        let mut waiting: Option<Waiting<'_>> = None;
        loop {
            let granted = tenant.slice.granted();
            tokio::pin!(granted);
            granted.as_mut().enable();
            match self.attempt(tenant, at, events) {
                Spend::Took(spent) => return Ok(spent),
                Spend::Short if self.is_unregistered() => return without_lease(tenant, at, events),
                Spend::Short => {
                    waiting.get_or_insert_with(|| tenant.slice.wait_for(events));
                    self.ask_for_refill(tenant);
                }
            }
            let is_in_vain = !is_capped(tenant) && self.is_silent.load(Ordering::Relaxed);
            if is_in_vain || tokio::time::timeout_at(deadline, granted).await.is_err() {
                return without_lease(tenant, at, events);
            }
        }
    }

    /// The period whose quota is known to be used up for a request that is received at `at`, so that not one event
    /// of it would be accepted.
    #[must_use]
    pub fn used_up(&self, tenant: &Tenant, at: Micros) -> Option<Period> {
        tenant.terms.read().quota?;
        let node = *self.node.lock();
        if Instant::now() < node.valid_until { tenant.slice.used_up(at, node.generation) } else { None }
    }

    /// The same, as a charge that goes back unless its events are appended.
    ///
    /// # Errors
    /// As [`Self::spend`].
    pub(crate) async fn charge(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        at: Micros,
        events: u32,
    ) -> Result<Charge, Problem> {
        Ok(Charge::new(self, tenant, self.spend(tenant, at, events).await?))
    }

    /// Takes back what was spent on events that are certainly not in the log.
    fn refund(&self, tenant: &Tenant, spent: &Spent) {
        tenant.slice.refund(spent);
    }

    /// Takes note that events were charged that may never come into the log. Nobody knows which, so the node begins
    /// with new leases, and the log settles the old ones ([`Keeper`]).
    pub fn doubt(&self) {
        *self.doubted_at.lock() = Some(Instant::now());
    }

    /// Whether there was a doubt, and none since for so long. Says so once.
    fn had_doubts(&self, quiet: Duration) -> bool {
        self.doubted_at.lock().take_if(|at| at.elapsed() >= quiet).is_some()
    }

    /// Whether there has been no word with Postgres yet, so that there is no sense in waiting for a slice.
    fn is_unregistered(&self) -> bool {
        self.node.lock().generation == UNREGISTERED
    }

    fn attempt(&self, tenant: &Arc<Tenant>, at: Micros, events: u32) -> Spend {
        let zone = tenant.terms.read().zone;
        let node = *self.node.lock();
        let valid = Instant::now() < node.valid_until;
        let (attempt, low) = tenant.slice.attempt(at, zone, events, valid.then_some(node.generation));
        if low {
            self.ask_for_refill(tenant);
        }
        attempt
    }

    fn ask_for_refill(&self, tenant: &Arc<Tenant>) {
        if tenant.slice.queue() {
            // The keeper is gone only while the node drains; waiting requests time out then.
            let _gone = self.refills.send(Arc::clone(tenant));
        }
    }
}

fn is_capped(tenant: &Tenant) -> bool {
    tenant.terms.read().quota.is_some()
}

/// Where no slice can be had.
///
/// # Errors
/// A 503 if the tenant has a cap.
fn without_lease(tenant: &Tenant, at: Micros, events: u32) -> Result<Spent, Problem> {
    if is_capped(tenant) {
        let detail = "what is left of the quota is not known at the moment: try again soon";
        return Err(Problem::new(Code::Unavailable, detail));
    }
    let period = tenant.slice.period(at, tenant.terms.read().zone);
    Ok(Spent { lease: LeaseId::NONE, period, events, generation: UNREGISTERED })
}
