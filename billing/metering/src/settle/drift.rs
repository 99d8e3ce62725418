//! Drift: more or less is granted of a period than was stored and is leased.

use schemas::id::TenantId;
use schemas::time::Micros;
use service::store::StoreError;
use sqlx::PgPool;

use crate::db::{Periods, quota_lease, quota_period};

/// A period of which `granted` was put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    /// Whose period.
    pub tenant: TenantId,
    /// When it starts.
    pub period_start: Micros,
    /// Events that were granted by the books.
    pub before: i64,
    /// Events that were stored, and that leases hold: what is granted now.
    pub after: i64,
}

/// Sets what is granted of each period to what was stored of it and what its leases hold, and returns what was changed,
/// by tenant and period. `weir verify --repair` calls it. It may run while events are accepted and processed: each
/// period is compared again under the locks of its rows, in a transaction of its own.
///
/// # Errors
/// If Postgres fails; periods before that one are put right, and stay so.
pub async fn mend_drift(pool: &PgPool) -> Result<Vec<Drift>, StoreError> {
    let mut mended = Vec::new();
    for (tenant, period_start) in quota_period::drifted(pool).await? {
        let period: Periods = [(tenant, period_start, 0)].into_iter().collect();
        let mut tx = pool.begin().await?;
        quota_period::make(&mut tx, &period).await?;
        quota_period::lock(&mut tx, &period).await?;
        quota_lease::lock_of_period(&mut tx, tenant, period_start).await?;
        // Who stores events holds one of these locks until the commit: so usage and leases are of one moment.
        let changed = quota_period::set_to_books(&mut tx, tenant, period_start).await?;
        tx.commit().await?;
        mended.extend(changed.map(|(before, after)| Drift { tenant, period_start, before, after }));
    }
    Ok(mended)
}
