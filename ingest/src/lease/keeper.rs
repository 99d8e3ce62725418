use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metering::lease::{self, Grant, LeaseError, Want};
use parking_lot::Mutex;
use schemas::id::{LeaseId, TenantId};
use schemas::time::Micros;
use service::error::Chain;
use service::shutdown::Shutdown;
use service::store::{POSTGRES, StoreError, in_time};
use sqlx::PgPool;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use super::{Leases, Node, UNREGISTERED, is_capped};
use crate::metrics;
use crate::tenant::{Sweep, Tenant};
use crate::timekeeper::Timekeeper;

/// How long Postgres may take over one round.
const ROUND_DEADLINE: Duration = Duration::from_secs(3);
/// After a failed round.
const PAUSE: Duration = Duration::from_millis(100);
/// How often to look for slices that nobody spends.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// After the last append of an unknown outcome, before new leases are begun with.
const DOUBT_QUIET: Duration = Duration::from_secs(5);
/// Earlier registrations that are ended with the process; those before have long been settled.
const FORMER_MAX: usize = 16;
/// Why a node registers again: it was taken for dead.
const SILENT: &str = "this node had been silent for too long";
/// Tenants refilled in one round.
const ROUND_TENANTS_MAX: usize = 10_000;
/// To which a round that fails again and again comes down.
const ROUND_TENANTS_MIN: usize = 100;
/// What is given back in one transaction.
const SWEEP_WANTS_MAX: usize = 2_000;

/// Keeps the node registered and its slices filled; what it holds is given back at the end.
pub struct Keeper {
    leases: Arc<Leases>,
    pool: PgPool,
    timekeeper: Arc<Timekeeper>,
    lease_time: Duration,
    id: Uuid,
    /// Earlier registrations of this process, whose leases are being settled.
    former: VecDeque<Uuid>,
    /// Where this process may put events while the log is away.
    spool: Option<Uuid>,
    refills: mpsc::UnboundedReceiver<Arc<Tenant>>,
    pending: Vec<Arc<Tenant>>,
    /// How many of them the next round asks for.
    round_tenants: usize,
    held: HashMap<TenantId, Arc<Tenant>>,
}

/// The leases of a node that is not registered yet, and what keeps them.
#[must_use]
pub fn keep(
    pool: PgPool,
    timekeeper: Arc<Timekeeper>,
    lease_time: Duration,
    spool: Option<Uuid>,
) -> (Arc<Leases>, Keeper) {
    let (sender, refills) = mpsc::unbounded_channel();
    let id = Uuid::now_v7();
    let node = Mutex::new(Node { generation: UNREGISTERED, valid_until: Instant::now() });
    let (doubted_at, is_silent) = (Mutex::new(None), AtomicBool::new(false));
    let leases = Arc::new(Leases { node, doubted_at, is_silent, refills: sender });
    let keeper = Keeper {
        leases: Arc::clone(&leases),
        pool,
        timekeeper,
        lease_time,
        id,
        former: VecDeque::new(),
        spool,
        refills,
        pending: Vec::new(),
        round_tenants: ROUND_TENANTS_MAX,
        held: HashMap::new(),
    };
    (leases, keeper)
}

impl Keeper {
    /// Registers the node for the first time. The database must be bound to the log.
    ///
    /// # Errors
    /// If Postgres fails; the node has no quota to spend then.
    pub async fn register(&mut self) -> Result<(), StoreError> {
        let (asked, valid_until) = (self.timekeeper.asks(), Instant::now() + self.lease_time);
        let registered = lease::register(&self.pool, self.id, self.lease_time, self.spool);
        let now = in_time(POSTGRES, ROUND_DEADLINE, registered).await?;
        self.timekeeper.hears(asked, now);
        *self.leases.node.lock() = Node { generation: UNREGISTERED + 1, valid_until };
        Ok(())
    }

    /// Registers the node if that is not done, as soon as the database is `bound` to the log.
    async fn register_when(&mut self, mut bound: watch::Receiver<bool>) {
        if bound.wait_for(|bound| *bound).await.is_err() {
            return std::future::pending().await;
        }
        while self.leases.is_unregistered() {
            match self.register().await {
                Ok(()) => tracing::info!(node = %self.id, "registered: tenants with a cap are served"),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "the node is not registered, trying again")
                }
            }
            tokio::time::sleep(PAUSE).await;
            // If the answer was lost, that id is taken; nothing was granted to it.
            if self.leases.is_unregistered() {
                self.id = Uuid::now_v7();
            }
        }
    }

    /// Runs until `shutdown` is ordered, which must come after the last request.
    pub async fn run(mut self, bound: watch::Receiver<bool>, shutdown: Shutdown) {
        tokio::select! {
            () = self.register_when(bound) => {}
            () = shutdown.ordered() => return,
        }
        let mut heartbeat = interval(self.lease_time / 3);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweep = interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.ordered() => break,
                _ = heartbeat.tick() => self.heartbeat().await,
                () = self.timekeeper.doubted() => self.heartbeat().await,
                _ = sweep.tick() => {
                    self.sweep(false).await;
                    if self.leases.had_doubts(DOUBT_QUIET) {
                        self.renew().await;
                    }
                }
                Some(tenant) = self.refills.recv(), if self.pending.is_empty() => {
                    self.pending.push(tenant);
                }
                () = std::future::ready(()), if !self.pending.is_empty() => self.refill().await,
            }
        }
        self.sweep(true).await;
        // The former ones, too: no request is left that has spent of theirs, and this process drains the spool last.
        self.former.push_back(self.id);
        for id in &self.former {
            if let Err(error) = lease::end(&self.pool, *id).await {
                tracing::warn!(
                    error = %Chain(&error),
                    "the node did not sign off; its leases are reclaimed when they have run out"
                );
            }
        }
    }

    /// One round: everything that waits, in one transaction.
    async fn refill(&mut self) {
        while self.pending.len() < ROUND_TENANTS_MAX {
            let Ok(tenant) = self.refills.try_recv() else { break };
            self.pending.push(tenant);
        }
        let generation = self.leases.node.lock().generation;
        let want = |tenant: &Arc<Tenant>| tenant.slice.want(tenant.id, generation, is_capped(tenant));
        let wants: Vec<Want> = self.pending.iter().take(self.round_tenants).map(want).collect();
        if faults::mutant("quota-in-memory") {
            return self.grant_to_oneself(&wants, generation);
        }
        let grants = match in_round(lease::grant(&self.pool, self.id, &wants)).await {
            Ok(grants) => grants,
            Err(LeaseError::NodeGone) => return self.register_again(SILENT).await,
            Err(LeaseError::Store(error)) => return self.failed(&error).await,
        };
        ::metrics::counter!(metrics::LEASE_ROUNDS, "result" => "ok").increment(1);
        self.leases.is_silent.store(false, Ordering::Relaxed);
        let grants: HashMap<TenantId, Grant> =
            grants.into_iter().map(|grant| (grant.tenant, grant)).collect();
        self.round_tenants = (self.round_tenants * 2).min(ROUND_TENANTS_MAX);
        for (tenant, want) in self.pending.drain(..wants.len()).zip(&wants) {
            tenant.slice.refill(want, generation, grants.get(&tenant.id).copied());
            self.held.insert(tenant.id, tenant);
        }
    }

    /// What a node must not do, whatever Postgres has granted to others or to itself before a crash.
    fn grant_to_oneself(&mut self, wants: &[Want], generation: u64) {
        for (tenant, want) in self.pending.drain(..wants.len()).zip(wants) {
            let Some(cap) = tenant.terms.read().quota else { continue };
            let granted = faults::granted_from_memory(tenant.id.0, want.need.max(want.like), cap);
            let (lease, period_start, left) = (LeaseId::NONE, want.period_start, cap);
            let grant = Grant { tenant: tenant.id, period_start, lease, granted, left };
            tenant.slice.refill(want, generation, Some(grant));
        }
    }

    /// What is pending stays pending; the next round is half as large, since this one may have been too long.
    async fn failed(&mut self, error: &StoreError) {
        self.round_tenants = (self.round_tenants / 2).max(ROUND_TENANTS_MIN);
        ::metrics::counter!(metrics::LEASE_ROUNDS, "result" => "failed").increment(1);
        self.leases.is_silent.store(true, Ordering::Relaxed);
        tracing::warn!(error = %Chain(error), tenants = self.pending.len(), "quota could not be leased, trying again");
        tokio::time::sleep(PAUSE).await;
    }

    async fn heartbeat(&mut self) {
        let (asked, valid_until) = (self.timekeeper.asks(), Instant::now() + self.lease_time);
        match in_round(lease::heartbeat(&self.pool, self.id, self.lease_time, self.spool)).await {
            Ok(now) => {
                self.leases.node.lock().valid_until = valid_until;
                self.timekeeper.hears(asked, now);
            }
            Err(LeaseError::NodeGone) => self.register_again(SILENT).await,
            Err(LeaseError::Store(error)) => {
                tracing::warn!(error = %Chain(&error), "the node's leases were not prolonged")
            }
        }
    }

    /// Begins with new leases, since the old ones may be charged for events that are not in the log. What is not spent
    /// goes back at once. The rest goes back like that of a dead node: nobody prolongs the old leases any more.
    async fn renew(&mut self) {
        let old = self.id;
        self.sweep(true).await;
        self.register_again("the log did not confirm events that were charged").await;
        if self.id == old {
            self.leases.doubt();
        }
    }

    /// Begins again as a new node: everything that the old one held is being settled.
    async fn register_again(&mut self, why: &str) {
        let (asked, valid_until) = (self.timekeeper.asks(), Instant::now() + self.lease_time);
        let id = Uuid::now_v7();
        let registered = lease::register(&self.pool, id, self.lease_time, self.spool);
        let now = match in_time(POSTGRES, ROUND_DEADLINE, registered).await {
            Ok(now) => now,
            Err(error) => return self.failed(&error).await,
        };
        {
            // First: as soon as the clock is believed again, requests spend, and must not find the old slices.
            let mut node = self.leases.node.lock();
            *node = Node { generation: node.generation + 1, valid_until };
        }
        self.timekeeper.hears(asked, now);
        tracing::warn!(old = %self.id, new = %id, why, "this node begins with new leases");
        self.former.push_back(std::mem::replace(&mut self.id, id));
        if self.former.len() > FORMER_MAX {
            self.former.pop_front();
        }
        self.held.clear();
    }

    /// Gives back what is not spent. What Postgres does not confirm is named again by the next sweep.
    async fn sweep(&mut self, all: bool) {
        let generation = self.leases.node.lock().generation;
        let by = Sweep { generation, now: self.timekeeper.now(), all };
        let mut wants = Vec::new();
        self.held.retain(|id, tenant| {
            let (given, holds) = tenant.slice.sweep(*id, by, is_capped(tenant));
            wants.extend(given);
            holds
        });
        // At a month's end, all tenants give back at once. What is confirmed is not named again, so each sweep comes
        // further; who waits for quota does not wait for all of them.
        for wants in wants.chunks(SWEEP_WANTS_MAX) {
            match in_round(lease::grant(&self.pool, self.id, wants)).await {
                Ok(grants) => self.given_back(wants, grants, generation),
                Err(LeaseError::NodeGone) if all => return,
                Err(LeaseError::NodeGone) => return self.register_again(SILENT).await,
                Err(LeaseError::Store(error)) => {
                    tracing::warn!(error = %Chain(&error), "unspent quota was not given back, trying again");
                    return;
                }
            }
            if !all && !self.refills.is_empty() {
                return;
            }
        }
    }

    fn given_back(&mut self, wants: &[Want], grants: Vec<Grant>, generation: u64) {
        let grants: HashMap<(TenantId, Micros), Grant> =
            grants.into_iter().map(|grant| ((grant.tenant, grant.period_start), grant)).collect();
        for want in wants {
            match (self.held.get(&want.tenant), grants.get(&(want.tenant, want.period_start))) {
                (Some(tenant), Some(grant)) => tenant.slice.hears(want, generation, grant),
                // Postgres does not know the tenant any more.
                (_, None) => drop(self.held.remove(&want.tenant)),
                (None, Some(_)) => {}
            }
        }
    }
}

/// What metering answers, if it does within the time for a round.
async fn in_round<T>(answer: impl Future<Output = Result<T, LeaseError>>) -> Result<T, LeaseError> {
    let late = |_| Err(StoreError::late(POSTGRES, ROUND_DEADLINE).into());
    timeout(ROUND_DEADLINE, answer).await.unwrap_or_else(late)
}
