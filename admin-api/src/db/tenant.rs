//! Tenants.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use schemas::address::AddressPolicy;
use schemas::id::TenantId;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::error::AdminError;

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 100;
/// Events a second at most, in a plan or for a tenant.
const RATE_MAX: i64 = 1_000_000_000;

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
    /// `active` or `frozen`.
    pub status: String,
    /// How much of a client's address its events carry: `full`, `truncated` or `none`.
    pub client_ip: String,
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
    status,
    client_ip,
    created_at,
});

/// A tenant to be made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Its name.
    pub name: String,
    /// Its plan's name.
    #[serde(default = "default_plan")]
    pub plan: String,
    /// Instead of the plan's.
    pub quota: Option<i64>,
    /// Instead of the plan's.
    pub rate: Option<i64>,
    /// `UTC` if absent.
    pub time_zone: Option<String>,
    /// `full` if absent.
    pub client_ip: Option<String>,
}

/// The plan of a tenant for which none is named.
#[must_use]
pub fn default_plan() -> String {
    "developer".to_owned()
}

/// What is to change of a tenant: `None` stays, `Some(None)` goes back to the plan's.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantChange {
    /// Another plan's name.
    pub plan: Option<String>,
    /// Instead of the plan's.
    #[serde(default, deserialize_with = "present")]
    pub quota: Option<Option<i64>>,
    /// Instead of the plan's.
    #[serde(default, deserialize_with = "present")]
    pub rate: Option<Option<i64>>,
    /// `active` or `frozen`.
    pub status: Option<String>,
    /// `full`, `truncated` or `none`.
    pub client_ip: Option<String>,
}

/// Tells `null` from an absent field.
pub(crate) fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
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
pub async fn list(pool: &PgPool) -> Result<Vec<Tenant>, AdminError> {
    Ok(sqlx::query_as(select!("ORDER BY t.id")).fetch_all(pool).await?)
}

/// The tenant of that name or, if there is none, of that id.
///
/// # Errors
/// [`AdminError::NotFound`].
pub async fn find(pool: &PgPool, name_or_id: &str) -> Result<Tenant, AdminError> {
    sqlx::query_as(select!("WHERE t.name = $1 OR t.id::text = $1 ORDER BY t.name <> $1 LIMIT 1"))
        .bind(name_or_id)
        .fetch_optional(pool)
        .await?
        .ok_or_else(|| AdminError::NotFound(format!("tenant {name_or_id}")))
}

/// Makes a tenant, and its project `default`.
///
/// # Errors
/// [`AdminError`].
pub async fn create(pool: &PgPool, new: &NewTenant) -> Result<Tenant, AdminError> {
    check_name(&new.name)?;
    check_limits(new.quota, new.rate)?;
    check_policy(new.client_ip.as_deref())?;
    let zone = new.time_zone.as_deref().unwrap_or("UTC");
    if zone.parse::<Tz>().is_err() {
        return Err(AdminError::Invalid(format!(
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
    .bind(new.client_ip.as_deref().unwrap_or(AddressPolicy::Full.as_str()))
    .fetch_optional(&mut *tx)
    .await
    .map_err(AdminError::of_insert(|| format!("tenant {}", new.name)))?
    .ok_or_else(|| AdminError::NotFound(format!("plan {}", new.plan)))?;
    super::project::insert(&mut tx, TenantId(id), super::project::DEFAULT).await?;
    tx.commit().await?;
    find(pool, &id.to_string()).await
}

/// Changes a tenant.
///
/// # Errors
/// [`AdminError`]; nothing is changed then.
pub async fn change(pool: &PgPool, tenant: TenantId, change: &TenantChange) -> Result<Tenant, AdminError> {
    check_limits(change.quota.flatten(), change.rate.flatten())?;
    check_policy(change.client_ip.as_deref())?;
    if change.status.as_deref().is_some_and(|status| !["active", "frozen"].contains(&status)) {
        return Err(AdminError::Invalid("status is active or frozen".to_owned()));
    }
    let plan_id: Option<i64> = match &change.plan {
        Some(plan) => Some(
            sqlx::query_scalar("SELECT id FROM plan WHERE name = $1")
                .bind(plan)
                .fetch_optional(pool)
                .await?
                .ok_or_else(|| AdminError::NotFound(format!("plan {plan}")))?,
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
    .bind(change.quota.flatten())
    .bind(change.rate.is_some())
    .bind(change.rate.flatten())
    .bind(&change.status)
    .bind(&change.client_ip)
    .execute(pool)
    .await?;
    if changed.rows_affected() == 0 {
        return Err(AdminError::NotFound(format!("tenant {tenant}")));
    }
    find(pool, &tenant.to_string()).await
}

pub(super) fn check_name(name: &str) -> Result<(), AdminError> {
    let good = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    if good && !number {
        return Ok(());
    }
    let rule = format!("a name has 1 to {NAME_BYTES_MAX} bytes, no control characters, and is not a number");
    Err(AdminError::Invalid(rule))
}

fn check_policy(client_ip: Option<&str>) -> Result<(), AdminError> {
    if client_ip.is_none_or(|word| AddressPolicy::from_word(word).is_some()) {
        return Ok(());
    }
    Err(AdminError::Invalid("client_ip is full, truncated or none".to_owned()))
}

pub(super) fn check_limits(quota: Option<i64>, rate: Option<i64>) -> Result<(), AdminError> {
    if quota.is_some_and(|quota| quota < 0) {
        return Err(AdminError::Invalid("quota is a number of events a month, 0 or more".to_owned()));
    }
    if rate.is_some_and(|rate| !(1..=RATE_MAX).contains(&rate)) {
        return Err(AdminError::Invalid(format!("rate is a number of events a second, 1 to {RATE_MAX}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_at_their_ends_and_not_beyond() {
        for (quota, rate, good) in [
            (Some(0), Some(1), true),
            (Some(i64::MAX), Some(RATE_MAX), true),
            (Some(-1), None, false),
            (None, Some(0), false),
            (None, Some(RATE_MAX + 1), false),
        ] {
            assert_eq!(check_limits(quota, rate).is_ok(), good, "{quota:?} {rate:?}");
        }
        assert!(check_name(&"x".repeat(NAME_BYTES_MAX)).is_ok());
        assert!(check_name(&"x".repeat(NAME_BYTES_MAX + 1)).is_err());
        assert!(check_name("").is_err() && check_name("42").is_err() && check_name("a\n").is_err());
    }

    #[test]
    fn a_change_tells_null_from_absent_and_refuses_what_it_does_not_know() {
        let change: TenantChange = serde_json::from_str(r#"{"quota":null}"#).unwrap();
        assert_eq!((change.quota, change.rate), (Some(None), None));
        assert!(serde_json::from_str::<TenantChange>(r#"{"id":7}"#).is_err());
    }
}
