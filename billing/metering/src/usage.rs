//! Reading the ledger: the same figures for dashboards, the command line, quotas and invoices.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use schemas::id::TenantId;
use schemas::time::Micros;
use serde::Serialize;
use sqlx::PgPool;

use crate::lease::timestamp;
use crate::period::Period;

/// A tenant's usage in one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantUsage {
    /// Whose.
    pub tenant: TenantId,
    /// First instant of the period.
    pub period_start: DateTime<Utc>,
    /// First instant after it.
    pub period_end: DateTime<Utc>,
    /// Events a period; `None`: no cap.
    pub quota: Option<i64>,
    /// What ingest nodes have been granted of it: used, or held to be used.
    pub granted: i64,
    /// Stored and billed.
    pub stored: i64,
    /// Accepted, but seen before: not billed.
    pub duplicate: i64,
    /// Accepted, but in the dead letters: not billed.
    pub dead: i64,
    /// When these figures were read. They hold all that had been processed by then.
    pub as_of: DateTime<Utc>,
}

/// Why usage can't be told.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// No such tenant.
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// Postgres failed.
    #[error("usage can't be read from Postgres")]
    Store(#[from] sqlx::Error),
}

/// Usage of `tenant` in the period that holds `at`.
///
/// # Errors
/// [`UsageError`].
pub async fn of_tenant(pool: &PgPool, tenant: TenantId, at: Micros) -> Result<TenantUsage, UsageError> {
    let (zone, quota): (String, Option<i64>) = sqlx::query_as(
        "SELECT t.time_zone, coalesce(t.quota, p.quota) FROM tenant t JOIN plan p ON p.id = t.plan_id WHERE t.id = $1",
    )
    .bind(tenant.0)
    .fetch_optional(pool)
    .await?
    .ok_or(UsageError::NoTenant(tenant))?;
    let period = Period::month_of(at, zone.parse().unwrap_or(Tz::UTC));
    let (granted, stored, duplicate, dead, as_of) = sqlx::query_as(
        "SELECT coalesce((SELECT granted FROM quota_period WHERE tenant_id = $1 AND period_start = $2), 0),
                coalesce(sum(stored), 0)::bigint, coalesce(sum(duplicate), 0)::bigint,
                coalesce(sum(dead), 0)::bigint, now()
         FROM usage_hour WHERE tenant_id = $1 AND period_start = $2",
    )
    .bind(tenant.0)
    .bind(timestamp(period.start))
    .fetch_one(pool)
    .await?;
    let (period_start, period_end) = (timestamp(period.start), timestamp(period.end));
    Ok(TenantUsage { tenant, period_start, period_end, quota, granted, stored, duplicate, dead, as_of })
}
