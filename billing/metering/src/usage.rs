//! Reading the ledger: the same figures for dashboards, the command line, quotas and invoices.

pub mod series;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use schemas::id::TenantId;
use schemas::time::Micros;
use serde::Serialize;
use service::store::StoreError;
use sqlx::PgConnection;

use crate::db::usage_hour::{self, PeriodSums};
use crate::db::{tenant, timestamp};
use crate::period::Period;

/// A tenant's usage in one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantUsage {
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

/// Usage of `tenant` in the period that holds `at`; `None` if there is no such tenant.
///
/// # Errors
/// If Postgres fails.
pub async fn of_tenant(
    connection: &mut PgConnection,
    tenant: TenantId,
    at: Micros,
) -> Result<Option<TenantUsage>, StoreError> {
    let Some((zone, quota)) = tenant::terms(&mut *connection, tenant).await? else { return Ok(None) };
    let period = Period::month_of(at, zone.parse().unwrap_or(Tz::UTC));
    let sums = usage_hour::of_period(connection, tenant, period.start).await?;
    let PeriodSums { granted, stored, duplicate, dead, as_of } = sums;
    let (period_start, period_end) = (timestamp(period.start), timestamp(period.end));
    let usage = TenantUsage { period_start, period_end, quota, granted, stored, duplicate, dead, as_of };
    Ok(Some(usage))
}
