//! Settling: how accepted events ended, booked on the quota that they were charged to.

use std::collections::BTreeMap;

use schemas::id::{LeaseId, TenantId};
use schemas::time::Micros;
use sqlx::PgConnection;

use crate::db::{Periods, quota_lease, quota_period};
use crate::ledger::Counts;

/// What a batch says of quotas: collected event by event, applied once.
#[derive(Debug, Default)]
pub struct Settlement {
    leases: BTreeMap<LeaseId, i64>,
    periods: BTreeMap<(TenantId, Micros), i64>,
}

impl Settlement {
    /// Adds accepted events of one lease, by how they ended.
    pub fn add(&mut self, tenant: TenantId, period_start: Micros, lease: LeaseId, counts: Counts) {
        let change = if lease == LeaseId::NONE {
            // No cap when they were accepted: they count from now on, should one be set.
            counts.stored
        } else {
            *self.leases.entry(lease).or_default() += counts.accepted();
            // The stored ones were counted against the quota when it was leased.
            -counts.duplicate - counts.dead
        };
        if change != 0 {
            *self.periods.entry((tenant, period_start)).or_default() += change;
        }
    }

    /// Writes it, in the transaction that moves the cursor.
    ///
    /// # Errors
    /// If Postgres fails; nothing must be committed then.
    pub async fn apply(&self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.periods.is_empty() {
            let periods = self.periods.iter().map(|(&(tenant, start), &change)| (tenant, start, change));
            let periods: Periods = periods.collect();
            quota_period::make(tx, &periods).await?;
            quota_period::lock(tx, &periods).await?;
            quota_period::add(tx, &periods).await?;
        }
        if !self.leases.is_empty() {
            let leases = self.leases.iter().map(|(&lease, &events)| (lease, events)).collect();
            quota_lease::process(tx, &leases).await?;
        }
        Ok(())
    }
}
