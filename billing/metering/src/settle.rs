//! Settling: what the processor has learnt of accepted events, brought home to their quota.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemas::id::{LeaseId, TenantId};
use schemas::time::Micros;
use sqlx::PgConnection;

use crate::lease::{make_periods, timestamp};
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
        self.apply_to_periods(tx).await?;
        if self.leases.is_empty() {
            return Ok(());
        }
        let (ids, events): (Vec<i64>, Vec<i64>) =
            self.leases.iter().map(|(id, events)| (id.0, *events)).unzip();
        // A lease that is gone was settled before these events were processed: a zombie's. They were counted then as
        // given back, and stay so.
        sqlx::query("SELECT FROM quota_lease WHERE id = ANY($1) ORDER BY id FOR UPDATE")
            .bind(&ids)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "UPDATE quota_lease l SET processed = l.processed + u.events
             FROM unnest($1::bigint[], $2::bigint[]) AS u (id, events) WHERE l.id = u.id",
        )
        .bind(&ids)
        .bind(&events)
        .execute(&mut *tx)
        .await?;
        Ok(())
    }

    async fn apply_to_periods(&self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.periods.is_empty() {
            return Ok(());
        }
        let tenants: Vec<i64> = self.periods.keys().map(|(tenant, _)| tenant.0).collect();
        let starts: Vec<DateTime<Utc>> = self.periods.keys().map(|(_, start)| timestamp(*start)).collect();
        let changes: Vec<i64> = self.periods.values().copied().collect();
        make_periods(tx, &tenants, &starts).await?;
        sqlx::query(
            "SELECT FROM quota_period q
             JOIN unnest($1::bigint[], $2::timestamptz[]) AS w (tenant_id, period_start) USING (tenant_id, period_start)
             ORDER BY q.tenant_id, q.period_start FOR UPDATE OF q",
        )
        .bind(&tenants)
        .bind(&starts)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE quota_period q SET granted = greatest(0, q.granted + c.events)
             FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS c (tenant_id, period_start, events)
             WHERE (q.tenant_id, q.period_start) = (c.tenant_id, c.period_start)",
        )
        .bind(&tenants)
        .bind(&starts)
        .bind(&changes)
        .execute(&mut *tx)
        .await?;
        Ok(())
    }
}

/// Whether `lease` has still to be settled; if so, it stays until the end of this transaction. What was accepted under
/// one that is settled counts as given back.
///
/// # Errors
/// If Postgres fails; nothing must be committed then.
pub async fn is_open(
    tx: &mut PgConnection,
    tenant: TenantId,
    period_start: Micros,
    lease: LeaseId,
) -> Result<bool, sqlx::Error> {
    if lease == LeaseId::NONE {
        return Ok(false);
    }
    // The period's row first, as all who change leases do.
    sqlx::query("SELECT FROM quota_period WHERE (tenant_id, period_start) = ($1, $2) FOR UPDATE")
        .bind(tenant.0)
        .bind(timestamp(period_start))
        .execute(&mut *tx)
        .await?;
    let open: Option<i64> = sqlx::query_scalar("SELECT id FROM quota_lease WHERE id = $1 FOR UPDATE")
        .bind(lease.0)
        .fetch_optional(&mut *tx)
        .await?;
    Ok(open.is_some())
}
