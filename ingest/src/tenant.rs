//! A tenant as this node knows it: its terms, and what it has left to spend here.
//!
//! Nothing in here knows where terms and grants come from: the [`directory`](crate::directory) holds all tenants, and
//! [`lease`](crate::lease), [`rate`](crate::rate) and [`admission`](crate::admission) spend and refill what each has.

mod held;
mod rate;
mod share;
mod slice;
mod turn;

use std::sync::Arc;

use parking_lot::RwLock;
use schemas::address::AddressPolicy;
use schemas::id::{KeyId, ProjectId, TenantId};

pub(crate) use slice::{Spend, Sweep, Waiting};

pub use held::Held;
pub use rate::{Left, Rate};
pub use share::Share;
pub use slice::{Slice, Spent};
pub use turn::Turn;

/// A tenant, with what it has left to spend on this node.
#[derive(Debug)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// What Postgres says of it.
    pub terms: RwLock<Terms>,
    /// This node's slice of its quota.
    pub slice: Slice,
    /// Its rate on this node.
    pub rate: Rate,
    /// Bytes of its bodies that this node works on.
    pub in_flight: Held,
    /// Which of its large bodies is worked on.
    pub turn: Turn,
}

/// What a tenant may do, as Postgres has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Not frozen.
    pub active: bool,
    /// Events a period; `None`: no cap.
    pub quota: Option<i64>,
    /// Events a second; `None`: no limit.
    pub rate: Option<u32>,
    /// Where its months begin.
    pub zone: chrono_tz::Tz,
    /// How much of a client's address its events carry.
    pub client_ip: AddressPolicy,
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Who pays.
    pub tenant: Arc<Tenant>,
    /// For which stream.
    pub project: ProjectId,
    /// By which key.
    pub key: KeyId,
}

/// Whose key was presented: good, revoked or expired, of an active tenant or a frozen one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The tenant that is shown the counts.
    pub tenant: TenantId,
    /// The key's stream.
    pub project: ProjectId,
    /// The key.
    pub key: KeyId,
}

impl Sender {
    /// Whose key it is.
    #[must_use]
    pub fn holder(&self) -> Holder {
        Holder { tenant: self.tenant.id, project: self.project, key: self.key }
    }
}

impl Tenant {
    pub(crate) fn new(id: TenantId, terms: Terms) -> Self {
        let rate = Rate::new(terms.rate);
        Self {
            id,
            terms: RwLock::new(terms),
            slice: Slice::default(),
            rate,
            in_flight: Held::default(),
            turn: Turn::default(),
        }
    }

    /// Takes over what Postgres says now.
    pub(crate) fn revise(&self, terms: Terms) {
        self.rate.revise(terms.rate);
        let quota = terms.quota;
        let before = std::mem::replace(&mut *self.terms.write(), terms).quota;
        // What was granted under a larger cap, or under none, does not stand under the new one.
        let recall = quota.is_some_and(|quota| before.is_none_or(|before| quota < before));
        // Whatever was known to be used up may not be any more.
        self.slice.revise(quota.unwrap_or(0).saturating_sub(before.unwrap_or(0)), recall);
    }
}
