//! Settling: how accepted events ended, booked on the quota that they were charged to.
//!
//! A lease that is gone gave back what was not processed. Its events that come after that count like those that were
//! accepted without a lease. They come from a spool that was forgotten, and turned up ([`crate::spool`]).

mod drift;

use std::collections::BTreeMap;

use schemas::id::{LeaseId, TenantId};
use schemas::time::Micros;
use sqlx::PgConnection;

pub use self::drift::{Drift, mend_drift};
use crate::db::{Periods, quota_lease, quota_period};
use crate::ledger::Counts;

/// What a batch says of quotas: collected event by event, applied once.
#[derive(Debug, Default)]
pub struct Settlement(BTreeMap<(LeaseId, TenantId, Micros), Counts>);

impl Settlement {
    /// Adds accepted events of one lease, by how they ended.
    pub fn add(&mut self, tenant: TenantId, period_start: Micros, lease: LeaseId, counts: Counts) {
        *self.0.entry((lease, tenant, period_start)).or_default() += counts;
    }

    /// Writes it, in the transaction that moves the cursor.
    ///
    /// # Errors
    /// If Postgres fails, or a lease was settled at this very moment; nothing must be committed then.
    pub async fn apply(&self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        let mut leases: BTreeMap<LeaseId, i64> = BTreeMap::new();
        for (&(lease, ..), counts) in self.0.iter().filter(|((lease, ..), _)| *lease != LeaseId::NONE) {
            *leases.entry(lease).or_default() += counts.accepted();
        }
        if !leases.is_empty() {
            let there = quota_lease::there(tx, leases.keys()).await?;
            leases.retain(|lease, _| there.contains(lease));
        }
        let periods = self.periods(&leases);
        if periods.len() > 0 {
            quota_period::make(tx, &periods).await?;
            quota_period::lock(tx, &periods).await?;
            quota_period::add(tx, &periods).await?;
        }
        if !leases.is_empty() {
            quota_lease::process(tx, &leases.into_iter().collect()).await?;
        }
        Ok(())
    }

    /// By how much more or less is granted of each period, where `leases` are there.
    fn periods(&self, leases: &BTreeMap<LeaseId, i64>) -> Periods {
        let mut changes: BTreeMap<(TenantId, Micros), i64> = BTreeMap::new();
        for (&(lease, tenant, start), counts) in &self.0 {
            *changes.entry((tenant, start)).or_default() += if leases.contains_key(&lease) {
                // The stored ones were counted against the quota when it was leased.
                -counts.duplicate - counts.dead
            } else {
                // Nothing is charged for them: they count from now on.
                counts.stored
            };
        }
        let changed = changes.into_iter().filter(|(_, change)| *change != 0);
        changed.map(|((tenant, start), change)| (tenant, start, change)).collect()
    }
}
