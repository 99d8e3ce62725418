//! All keys and tenants, in memory: no request waits for Postgres to be known.
//!
//! Read whole at the start; kept fresh by `LISTEN`, and by a look every half second in case a notification is lost.
//! Rows carry the number of their last change, and numbers become visible in order, so "newer than the newest I
//! know" is all that ever needs to be read again.
//!
//! A copy on the disk lets a node start while Postgres is away. It is read only then, only for the log that it
//! belongs to, and all of it is replaced by what Postgres says as soon as it says anything.

mod keys;
mod last_used;
mod refresh;
mod saved;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use schemas::id::{KeyId, ProjectId, TenantId};
use schemas::key::PresentedKey;
use schemas::problem::{Code, Problem};
use schemas::time::Micros;

use crate::tenant::{Holder, Sender, Tenant, Terms};
use keys::{KeyEntry, Keys, NEVER};

pub use last_used::note_last_used;
pub use refresh::{keep_fresh, load};
pub use saved::{DirectoryFile, SavedError, keep_saved};

/// All keys and tenants.
#[derive(Debug, Default)]
pub struct Directory {
    entries: RwLock<Entries>,
    /// Keys that were used since that was last written down; each stands in it once.
    used: Mutex<Vec<KeyId>>,
    /// Rows taken over so far.
    changes: AtomicU64,
}

#[derive(Debug, Default)]
struct Entries {
    keys: Keys,
    tenants: HashMap<TenantId, Arc<Tenant>>,
    /// The newest change that is known.
    change: i64,
    source: Source,
}

/// What is known, and from where.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Source {
    #[default]
    Nothing,
    Disk,
    Postgres,
}

impl Directory {
    /// A directory of these tenants and their keys, as if it had come from Postgres.
    #[must_use]
    pub fn of(
        tenants: impl IntoIterator<Item = (TenantId, Terms)>,
        keys: impl IntoIterator<Item = (PresentedKey, TenantId, ProjectId)>,
    ) -> Self {
        let mut entries = Entries { source: Source::Postgres, ..Entries::default() };
        for (id, terms) in tenants {
            entries.put_tenant(id, terms, None);
        }
        for (PresentedKey { id, hash }, tenant, project) in keys {
            let Some(tenant) = entries.tenants.get(&tenant).cloned() else { continue };
            let used = AtomicBool::new(false);
            entries.keys.put(KeyEntry { id, hash, tenant, project, expires_at: NEVER, revoked: false, used });
        }
        Self { entries: RwLock::new(entries), ..Self::default() }
    }

    /// Whose key this is.
    ///
    /// # Errors
    /// A 401 if it is nobody's, revoked or expired; a 403 if its tenant is not active; a 503 if nobody is known.
    pub fn sender(&self, presented: &PresentedKey, now: Micros) -> Result<Sender, Problem> {
        let entries = self.entries.read();
        // A wrong secret is answered like an unknown id: the id alone is public.
        let entry = entries.keys.get(presented.id).filter(|entry| entry.hash == presented.hash);
        let Some(entry) = entry else { return Err(entries.source.unknown_key()) };
        if entry.revoked {
            return Err(Problem::new(Code::RevokedKey, "the key was revoked: use another one"));
        }
        if entry.expires_at <= now {
            return Err(Problem::new(Code::ExpiredKey, "the key has expired: make a new one"));
        }
        if !entry.tenant.terms.read().active {
            return Err(Problem::new(
                Code::TenantFrozen,
                "the tenant is frozen, closed or deleted: ask its owner, or the operator of this service",
            ));
        }
        if !entry.used.load(Ordering::Relaxed) && !entry.used.swap(true, Ordering::Relaxed) {
            self.used.lock().push(entry.id);
        }
        Ok(Sender { tenant: Arc::clone(&entry.tenant), project: entry.project, key: presented.id })
    }

    /// Whose key this is, good or not; `None` if it is nobody's. It takes the whole key: the public part alone counts
    /// nothing against its tenant.
    #[must_use]
    pub fn holder(&self, presented: &PresentedKey) -> Option<Holder> {
        let entries = self.entries.read();
        let entry = entries.keys.get(presented.id).filter(|entry| entry.hash == presented.hash)?;
        Some(Holder { tenant: entry.tenant.id, project: entry.project, key: entry.id })
    }

    /// A tenant by its id.
    #[must_use]
    pub fn tenant(&self, id: TenantId) -> Option<Arc<Tenant>> {
        self.entries.read().tenants.get(&id).cloned()
    }

    /// Keys held, revoked ones too.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.entries.read().keys.len()
    }

    /// Whether anything is known: from Postgres, or from the disk.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.entries.read().source != Source::Nothing
    }

    /// Puts other entries in the place of all these.
    fn replace(&self, entries: Entries) {
        let old = std::mem::replace(&mut *self.entries.write(), entries);
        drop(old);
    }

    fn count_changes(&self, changes: usize) {
        self.changes.fetch_add(u64::try_from(changes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Source {
    /// Where not all keys can be known, an unknown key is no fault of the client's.
    fn unknown_key(self) -> Problem {
        match self {
            Self::Postgres => Problem::new(
                Code::UnknownKey,
                "no such key: check that it was copied whole, or make a new one",
            ),
            Self::Disk | Self::Nothing => Problem::new(
                Code::Unavailable,
                "the node has started without Postgres and does not know this key: try again soon",
            ),
        }
    }
}

impl Entries {
    /// Takes over a tenant. What it has left to spend on this node stays.
    fn put_tenant(&mut self, id: TenantId, terms: Terms, known: Option<Arc<Tenant>>) {
        match known {
            Some(tenant) => {
                tenant.revise(terms);
                self.tenants.insert(id, tenant);
            }
            None => drop(self.tenants.insert(id, Arc::new(Tenant::new(id, terms)))),
        }
    }
}
