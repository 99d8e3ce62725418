//! The SQL of each table that this crate writes or reads, and nothing of what it is for. Each function takes a
//! connection, or the transaction that it belongs to.

pub(crate) mod database;
pub(crate) mod events_hourly;
pub(crate) mod ingest_node;
pub(crate) mod outcome_minute;
pub(crate) mod partition_cursor;
pub(crate) mod quota_lease;
pub(crate) mod quota_period;
pub(crate) mod tenant;
pub(crate) mod tenant_rows;
pub(crate) mod usage_hour;

use chrono::{DateTime, Utc};
use schemas::id::TenantId;
use schemas::time::Micros;

/// An instant as Postgres holds it; what the calendar does not know becomes its end.
pub(crate) fn timestamp(at: Micros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Events by tenant and period, as columns. No tenant and period stands there twice.
#[derive(Debug, Default)]
pub(crate) struct Periods {
    /// Whose.
    pub(crate) tenants: Vec<i64>,
    /// When each period starts.
    pub(crate) starts: Vec<DateTime<Utc>>,
    /// How many events.
    pub(crate) events: Vec<i64>,
}

impl Periods {
    pub(crate) fn len(&self) -> usize {
        self.tenants.len()
    }
}

impl FromIterator<(TenantId, Micros, i64)> for Periods {
    fn from_iter<I: IntoIterator<Item = (TenantId, Micros, i64)>>(rows: I) -> Self {
        let mut periods = Self::default();
        for (tenant, start, events) in rows {
            periods.tenants.push(tenant.0);
            periods.starts.push(timestamp(start));
            periods.events.push(events);
        }
        periods
    }
}
