//! All keys and tenants, in memory: no request waits for Postgres to be known.
//!
//! Filled once at the start; kept fresh by `LISTEN`, and by a look every half second in case a notification is lost. Rows
//! carry the number of their last change, and numbers become visible in order, so "newer than the newest I know" is
//! all that ever needs to be read.

mod refresh;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use schemas::id::{KeyId, ProjectId, TenantId};
use schemas::key::{KeyHash, PresentedKey};
use schemas::problem::{Code, Problem};
use schemas::time::Micros;

use crate::lease::Slice;
use crate::rate::Rate;

pub use refresh::{keep_fresh, load};

/// All keys and tenants.
#[derive(Debug, Default)]
pub struct Directory(RwLock<Entries>);

#[derive(Debug, Default)]
struct Entries {
    keys: HashMap<KeyId, KeyEntry>,
    tenants: HashMap<TenantId, Arc<Tenant>>,
    /// The newest change that is known.
    change: i64,
}

#[derive(Debug)]
struct KeyEntry {
    hash: KeyHash,
    tenant: Arc<Tenant>,
    project: ProjectId,
    /// [`NEVER`] for a key that does not expire.
    expires_at: Micros,
    revoked: bool,
}

const NEVER: Micros = Micros(i64::MAX);

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

impl Directory {
    /// Whose key this is.
    ///
    /// # Errors
    /// A 401 if it is nobody's, revoked or expired; a 403 if its tenant is frozen.
    pub fn sender(&self, presented: &PresentedKey, now: Micros) -> Result<Sender, Problem> {
        let entries = self.0.read();
        // A wrong secret is answered like an unknown id: the id alone is public.
        let entry = entries.keys.get(&presented.id).filter(|entry| entry.hash == presented.hash);
        let Some(entry) = entry else {
            return Err(Problem::new(
                Code::UnknownKey,
                "no such key: check that it was copied whole, or make a new one",
            ));
        };
        if entry.revoked {
            return Err(Problem::new(Code::RevokedKey, "the key was revoked: use another one"));
        }
        if entry.expires_at <= now {
            return Err(Problem::new(Code::ExpiredKey, "the key has expired: make a new one"));
        }
        if !entry.tenant.terms.read().active {
            return Err(Problem::new(
                Code::TenantFrozen,
                "the tenant is frozen: ask the operator of this service",
            ));
        }
        Ok(Sender { tenant: Arc::clone(&entry.tenant), project: entry.project, key: presented.id })
    }

    /// Keys held, revoked ones too.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.0.read().keys.len()
    }
}

impl Tenant {
    fn new(id: TenantId, terms: Terms) -> Self {
        let rate = Rate::new(terms.rate);
        Self { id, terms: RwLock::new(terms), slice: Slice::default(), rate }
    }

    /// Takes over what Postgres says now.
    fn revise(&self, terms: Terms) {
        self.rate.revise(terms.rate);
        *self.terms.write() = terms;
        // Whatever was known to be used up may not be any more.
        self.slice.forget_exhaustion();
    }
}
