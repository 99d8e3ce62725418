//! Tenants.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::Args;
use schemas::address::AddressPolicy;
use schemas::id::TenantId;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::check;
use crate::error::AccountError;
use crate::limit::{self, Limit};

/// A tenant as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tenant {
    /// Its id.
    pub id: i64,
    /// Its name, unique.
    pub name: String,
    /// Its plan's name.
    pub plan: String,
    /// Events a period, the tenant's own or its plan's; `None`: no cap.
    pub quota: Option<i64>,
    /// Events a second, the tenant's own or its plan's; `None`: no limit.
    pub rate: Option<i64>,
    /// Whether the quota is the tenant's own: then it stays when the plan changes.
    pub own_quota: bool,
    /// Whether the rate is the tenant's own.
    pub own_rate: bool,
    /// IANA name; its billing periods begin there.
    pub time_zone: String,
    /// Whether it is let in.
    pub status: TenantStatus,
    /// How much of a client's address its events carry.
    pub client_ip: AddressPolicy,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

service::from_row!(Tenant {
    id,
    name,
    plan,
    quota,
    rate,
    own_quota,
    own_rate,
    time_zone,
    status: parsed,
    client_ip: parsed,
    created_at,
});

/// Whether a tenant is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum TenantStatus {
    /// It is.
    Active,
    /// Ingest refuses its events.
    Frozen,
}

/// No status has this name.
#[derive(Debug, thiserror::Error)]
#[error("status is active or frozen")]
pub struct UnknownStatus;

/// A tenant to be made.
#[derive(Debug, Clone, Deserialize, Args)]
#[serde(deny_unknown_fields)]
#[group(skip)]
pub struct NewTenant {
    /// Its name
    pub name: String,
    /// Events a month, instead of the plan's
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub quota: Option<i64>,
    /// The plan's name
    #[serde(default = "default_plan")]
    #[arg(long, default_value_t = default_plan())]
    pub plan: String,
    /// Events a second, instead of the plan's
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub rate: Option<i64>,
    /// IANA name of the time zone in which its months begin; `UTC` without it
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// How much of a client's address its events carry: `full`, `truncated` or `none`; `full` without it
    #[arg(long, value_name = "POLICY")]
    pub client_ip: Option<AddressPolicy>,
}

fn default_plan() -> String {
    "developer".to_owned()
}

/// What is to change of a tenant: `None` stays.
#[derive(Debug, Clone, Default, Deserialize, Args)]
#[serde(deny_unknown_fields)]
#[group(skip)]
pub struct TenantChange {
    /// Events a month; `plan`: the plan's again
    #[serde(default, deserialize_with = "limit::present")]
    #[arg(long, value_name = "N|plan", value_parser = limit::or_plan::<i64>, allow_negative_numbers = true)]
    pub quota: Option<Limit<i64>>,
    /// Events a second; `plan`: the plan's again
    #[serde(default, deserialize_with = "limit::present")]
    #[arg(long, value_name = "R|plan", value_parser = limit::or_plan::<i64>, allow_negative_numbers = true)]
    pub rate: Option<Limit<i64>>,
    /// Another plan's name
    #[arg(long)]
    pub plan: Option<String>,
    /// `active` or `frozen`
    #[arg(long)]
    pub status: Option<TenantStatus>,
    /// How much of a client's address its events carry from now on: `full`, `truncated` or `none`
    #[arg(long, value_name = "POLICY")]
    pub client_ip: Option<AddressPolicy>,
}

impl TenantStatus {
    /// The word in requests and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Frozen => "frozen",
        }
    }
}

impl FromStr for TenantStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        [Self::Active, Self::Frozen].into_iter().find(|status| status.as_str() == word).ok_or(UnknownStatus)
    }
}

impl TryFrom<String> for TenantStatus {
    type Error = UnknownStatus;

    fn try_from(word: String) -> Result<Self, UnknownStatus> {
        word.parse()
    }
}

impl From<TenantStatus> for &'static str {
    fn from(status: TenantStatus) -> Self {
        status.as_str()
    }
}

impl fmt::Display for TenantStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT t.id, t.name, p.name AS plan, coalesce(t.quota, p.quota) AS quota, coalesce(t.rate, p.rate) AS rate,
                    t.quota IS NOT NULL AS own_quota, t.rate IS NOT NULL AS own_rate, t.time_zone, t.status, t.client_ip,
                    t.created_at
             FROM tenant t JOIN plan p ON p.id = t.plan_id ",
            $rest
        )
    };
}

/// All tenants by id.
///
/// # Errors
/// If Postgres fails.
pub async fn list(pool: &PgPool) -> Result<Vec<Tenant>, AccountError> {
    Ok(sqlx::query_as(select!("ORDER BY t.id")).fetch_all(pool).await?)
}

/// The tenant of that name or, if there is none, of that id.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find(pool: &PgPool, name_or_id: &str) -> Result<Tenant, AccountError> {
    sqlx::query_as(select!("WHERE t.name = $1 OR t.id::text = $1 ORDER BY t.name <> $1 LIMIT 1"))
        .bind(name_or_id)
        .fetch_optional(pool)
        .await?
        .ok_or_else(|| AccountError::NotFound(format!("tenant {name_or_id}")))
}

/// Makes a tenant, and its project `default`.
///
/// # Errors
/// [`AccountError`].
pub async fn create(pool: &PgPool, new: &NewTenant) -> Result<Tenant, AccountError> {
    check::name(&new.name)?;
    check::limits(new.quota, new.rate)?;
    let zone = new.time_zone.as_deref().unwrap_or("UTC");
    if zone.parse::<Tz>().is_err() {
        return Err(AccountError::Invalid(format!(
            "{zone} is not a time zone: use an IANA name such as Europe/Berlin"
        )));
    }
    let mut tx = pool.begin().await?;
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO tenant (name, plan_id, quota, rate, time_zone, client_ip)
         SELECT $1, id, $3, $4, $5, $6 FROM plan WHERE name = $2 RETURNING id",
    )
    .bind(&new.name)
    .bind(&new.plan)
    .bind(new.quota)
    .bind(new.rate)
    .bind(zone)
    .bind(new.client_ip.unwrap_or_default().as_str())
    .fetch_optional(&mut *tx)
    .await
    .map_err(AccountError::of_insert(|| format!("tenant {}", new.name)))?
    .ok_or_else(|| AccountError::NotFound(format!("plan {}", new.plan)))?;
    super::project::insert(&mut tx, TenantId(id), super::project::DEFAULT).await?;
    tx.commit().await?;
    find(pool, &id.to_string()).await
}

/// Changes a tenant.
///
/// # Errors
/// [`AccountError`]; nothing is changed then.
pub async fn change(pool: &PgPool, tenant: TenantId, change: &TenantChange) -> Result<Tenant, AccountError> {
    let limit = |limit: Option<Limit<i64>>| limit.and_then(|limit| limit.0);
    let (quota, rate) = (limit(change.quota), limit(change.rate));
    check::limits(quota, rate)?;
    let plan_id: Option<i64> = match &change.plan {
        Some(plan) => Some(
            sqlx::query_scalar("SELECT id FROM plan WHERE name = $1")
                .bind(plan)
                .fetch_optional(pool)
                .await?
                .ok_or_else(|| AccountError::NotFound(format!("plan {plan}")))?,
        ),
        None => None,
    };
    let changed = sqlx::query(
        "UPDATE tenant SET plan_id = coalesce($2, plan_id), quota = CASE WHEN $3 THEN $4 ELSE quota END,
                rate = CASE WHEN $5 THEN $6 ELSE rate END, status = coalesce($7, status),
                client_ip = coalesce($8, client_ip)
         WHERE id = $1",
    )
    .bind(tenant.0)
    .bind(plan_id)
    .bind(change.quota.is_some())
    .bind(quota)
    .bind(change.rate.is_some())
    .bind(rate)
    .bind(change.status.map(TenantStatus::as_str))
    .bind(change.client_ip.map(AddressPolicy::as_str))
    .execute(pool)
    .await?;
    if changed.rows_affected() == 0 {
        return Err(AccountError::NotFound(format!("tenant {tenant}")));
    }
    find(pool, &tenant.to_string()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_tells_null_from_absent_and_refuses_what_it_does_not_know() {
        let change: TenantChange = serde_json::from_str(r#"{"quota":null}"#).unwrap();
        assert_eq!((change.quota, change.rate), (Some(Limit(None)), None));
        assert!(serde_json::from_str::<TenantChange>(r#"{"id":7}"#).is_err());
    }
}
