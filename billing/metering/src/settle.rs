//! Settling: how accepted events ended, booked on the quota that they were charged to.
//!
//! A lease that is gone gave back what was not processed. Its events that come after that count like those that were
//! accepted without a lease. They come from a spool that was forgotten, and turned up ([`crate::spool`]). So do
//! events of a tenant or a period that the lease is not of.

mod drift;

use std::collections::{BTreeMap, HashSet};

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
        let leased = || self.0.keys().filter(|(lease, ..)| *lease != LeaseId::NONE);
        let there =
            if leased().next().is_some() { quota_lease::there(tx, leased()).await? } else { HashSet::new() };
        let periods = self.periods(&there);
        if periods.len() > 0 {
            quota_period::make(tx, &periods).await?;
            quota_period::lock(tx, &periods).await?;
            quota_period::add(tx, &periods).await?;
        }
        if !there.is_empty() {
            let processed = self.0.iter().filter(|(of, _)| there.contains(of));
            let processed = processed.map(|((lease, ..), counts)| (*lease, counts.accepted())).collect();
            quota_lease::process(tx, &processed).await?;
        }
        Ok(())
    }

    /// By how much more or less is granted of each period.
    fn periods(&self, there: &HashSet<(LeaseId, TenantId, Micros)>) -> Periods {
        let mut changes: BTreeMap<(TenantId, Micros), i64> = BTreeMap::new();
        for (of, counts) in &self.0 {
            let &(_, tenant, start) = of;
            *changes.entry((tenant, start)).or_default() += if there.contains(of) {
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
