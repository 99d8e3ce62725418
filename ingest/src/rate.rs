//! Rates: events a second of a tenant, by the generic cell rate algorithm; and requests a second of an address
//! whose key is not known ([`Addresses`]).
//!
//! One node alone has all of a tenant's rate. Where nodes share it, each has a share that follows what is asked of
//! it ([`shares`], [`Exchange`]); no request waits for that.

mod address;
mod exchange;
pub mod shares;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::tenant::{Share, Tenant};

pub use address::Addresses;
pub use exchange::{Exchange, RedisError};

/// The rates of all tenants on this node.
#[derive(Debug)]
pub struct Rates {
    /// Whether there may be other nodes.
    shared: bool,
    /// Tenants of which something was asked since the last exchange.
    active: Mutex<Vec<Arc<Tenant>>>,
    /// The share in a tenant that no node is asked for.
    idle: AtomicU32,
}

impl Rates {
    /// For a node that is alone, or one that shares rates with others.
    #[must_use]
    pub fn new(shared: bool) -> Self {
        Self { shared, active: Mutex::default(), idle: AtomicU32::new(Share::WHOLE.ppm()) }
    }

    /// Charges `events`. They pass while anything is left of the burst; what it does not cover is owed.
    ///
    /// # Errors
    /// How long to wait until a request would pass; nothing is charged then.
    pub fn charge(&self, tenant: &Arc<Tenant>, events: u32) -> Result<(), Duration> {
        self.ask(tenant, events);
        tenant.rate.charge(events)
    }

    /// Whether a request would pass at this moment, as [`Rates::charge`] would say of any number of events.
    ///
    /// # Errors
    /// How long to wait until one would.
    pub fn check(&self, tenant: &Arc<Tenant>) -> Result<(), Duration> {
        if tenant.rate.check().is_ok() {
            return Ok(());
        }
        // Asked for all the same: a node that turns requests away needs a larger share.
        self.ask(tenant, 1);
        tenant.rate.check()
    }

    fn ask(&self, tenant: &Arc<Tenant>, events: u32) {
        if self.shared && tenant.rate.ask(events) {
            tenant.rate.settle(self.idle());
            self.active.lock().push(Arc::clone(tenant));
        }
    }

    fn idle(&self) -> Share {
        Share::of_ppm(self.idle.load(Ordering::Relaxed))
    }
}
