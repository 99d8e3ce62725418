//! Tenants.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::Args;
use schemas::address::AddressPolicy;
use schemas::id::TenantId;
use schemas::public_id::PublicTenantId;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::check;
use crate::db::chain::{Chain, Note};
use crate::db::scope::{PlatformScope, Scope};
use crate::error::AccountError;
use crate::limit::{self, Limit};
use crate::page::{Listed, Page, PageRequest};

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
                    t.quota IS NOT NULL AS own_quota, t.rate IS NOT NULL AS own_rate, t.time_zone, t.status,
                    t.client_ip, t.created_at
             FROM tenant t JOIN plan p ON p.id = t.plan_id ",
            $rest
        )
    };
}

impl Listed for Tenant {
    const LIST: &'static str = "tenants";
    type Key = i64;

    fn key(&self) -> Self::Key {
        self.id
    }
}

/// A page of all tenants, the oldest first.
///
/// # Errors
/// [`AccountError`].
pub async fn list(scope: &mut PlatformScope, asked: &PageRequest) -> Result<Page<Tenant>, AccountError> {
    let rows = sqlx::query_as(select!("WHERE $1::bigint IS NULL OR t.id > $1 ORDER BY t.id LIMIT $2"))
        .bind(asked.after::<Tenant>()?)
        .bind(asked.rows())
        .fetch_all(scope.connection())
        .await?;
    Ok(asked.page(rows))
}

/// The tenant of that name or, if there is none, of that id.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find(scope: &mut PlatformScope, name_or_id: &str) -> Result<Tenant, AccountError> {
    sqlx::query_as(select!("WHERE t.name = $1 OR t.id::text = $1 ORDER BY t.name <> $1 LIMIT 1"))
        .bind(name_or_id)
        .fetch_optional(scope.connection())
        .await?
        .ok_or_else(|| AccountError::NotFound(format!("tenant {name_or_id}")))
}

/// The transaction, for the tenant of that public id, name or number alone.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn enter(mut scope: PlatformScope, named: &str) -> Result<Scope, AccountError> {
    let tenant = self::named(&mut scope, named).await?;
    Ok(scope.enter(tenant).await?)
}

/// The tenant of that public id, name or number.
pub(crate) async fn named(scope: &mut PlatformScope, named: &str) -> Result<TenantId, AccountError> {
    let found = match named.parse() {
        Ok(id) => by_public_id(scope, id).await?,
        Err(_) => Some(TenantId(find(scope, named).await?.id)),
    };
    found.ok_or_else(|| AccountError::NotFound(format!("tenant {named}")))
}

/// Public ids of tenants, by their numbers.
pub(crate) async fn public_ids(
    scope: &mut PlatformScope,
    tenants: &[i64],
) -> Result<HashMap<i64, PublicTenantId>, AccountError> {
    let query = "SELECT tenant_id, public_id FROM tenant_profile WHERE tenant_id = ANY($1)";
    let rows: Vec<(i64, uuid::Uuid)> =
        sqlx::query_as(query).bind(tenants).fetch_all(scope.connection()).await?;
    Ok(rows.into_iter().map(|(tenant, id)| (tenant, id.into())).collect())
}

/// The scope's tenant.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn show(scope: &mut Scope) -> Result<Tenant, AccountError> {
    let tenant = scope.tenant();
    by_id(scope.connection(), tenant).await
}

async fn by_id(connection: &mut PgConnection, tenant: TenantId) -> Result<Tenant, AccountError> {
    sqlx::query_as(select!("WHERE t.id = $1"))
        .bind(tenant.0)
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| AccountError::NotFound(format!("tenant {tenant}")))
}

/// Makes a tenant, and its project `default`.
///
/// # Errors
/// [`AccountError`].
pub async fn create(scope: &mut PlatformScope, new: &NewTenant) -> Result<Tenant, AccountError> {
    check::name(&new.name)?;
    check::limits(new.quota, new.rate)?;
    let zone = new.time_zone.as_deref().unwrap_or("UTC");
    if zone.parse::<Tz>().is_err() {
        return Err(AccountError::Invalid(format!(
            "{zone} is not a time zone: use an IANA name such as Europe/Berlin"
        )));
    }
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
    .fetch_optional(scope.connection())
    .await
    .map_err(AccountError::of_insert(|| format!("tenant {}", new.name)))?
    .ok_or_else(|| AccountError::NotFound(format!("plan {}", new.plan)))?;
    sqlx::query("INSERT INTO tenant_profile (tenant_id, title) VALUES ($1, $2)")
        .bind(id)
        .bind(&new.name)
        .execute(scope.connection())
        .await?;
    super::project::insert(scope.connection(), TenantId(id), super::project::DEFAULT).await?;
    let tenant = by_id(scope.connection(), TenantId(id)).await?;
    let note = Note::new("tenant.create", format!("tenant {id}")).after(&tenant);
    scope.note(Chain::Tenant(TenantId(id)), note);
    Ok(tenant)
}

/// The tenant with that public id.
pub(crate) async fn by_public_id(
    scope: &mut PlatformScope,
    id: PublicTenantId,
) -> Result<Option<TenantId>, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT tenant_id FROM tenant_profile WHERE public_id = $1");
    Ok(query.bind(id.uuid()).fetch_optional(scope.connection()).await?.map(TenantId))
}

/// The scope's tenant, as its people see it.
pub(crate) async fn public_id(scope: &mut Scope) -> Result<PublicTenantId, sqlx::Error> {
    let tenant = scope.tenant();
    let query = sqlx::query_scalar("SELECT public_id FROM tenant_profile WHERE tenant_id = $1");
    let id: uuid::Uuid = query.bind(tenant.0).fetch_one(scope.connection()).await?;
    Ok(id.into())
}

/// Whether `named` stands for the scope's tenant: its public id, its slug, or its number.
///
/// # Errors
/// If Postgres fails.
pub async fn is_named(scope: &mut Scope, named: &str) -> Result<bool, AccountError> {
    let tenant = scope.tenant();
    let row: (String, uuid::Uuid) = sqlx::query_as(
        "SELECT t.name, p.public_id FROM tenant t JOIN tenant_profile p ON p.tenant_id = t.id WHERE t.id = $1",
    )
    .bind(tenant.0)
    .fetch_one(scope.connection())
    .await?;
    Ok(named == row.0 || named == tenant.to_string() || named == PublicTenantId::from(row.1).to_string())
}

/// Whether a tenant has that name.
pub(crate) async fn is_taken(scope: &mut PlatformScope, name: &str) -> Result<bool, AccountError> {
    let query = sqlx::query_scalar("SELECT EXISTS (SELECT FROM tenant WHERE name = $1)");
    Ok(query.bind(name).fetch_one(scope.connection()).await?)
}

/// Makes the tenant of somebody who has registered, which its people call `title`.
pub(crate) async fn found(
    scope: &mut PlatformScope,
    name: &str,
    title: &str,
) -> Result<TenantId, AccountError> {
    let new = NewTenant {
        name: name.to_owned(),
        quota: None,
        plan: default_plan(),
        rate: None,
        time_zone: None,
        client_ip: None,
    };
    let tenant = TenantId(create(scope, &new).await?.id);
    let query = sqlx::query("UPDATE tenant_profile SET title = $2 WHERE tenant_id = $1");
    query.bind(tenant.0).bind(title).execute(scope.connection()).await?;
    Ok(tenant)
}

/// Changes a tenant.
///
/// # Errors
/// [`AccountError`]; nothing is changed then.
pub async fn change(scope: &mut Scope, change: &TenantChange) -> Result<Tenant, AccountError> {
    let tenant = scope.tenant();
    let limit = |limit: Option<Limit<i64>>| limit.and_then(|limit| limit.0);
    let (quota, rate) = (limit(change.quota), limit(change.rate));
    check::limits(quota, rate)?;
    let plan_id: Option<i64> = match &change.plan {
        Some(plan) => Some(
            sqlx::query_scalar("SELECT id FROM plan WHERE name = $1")
                .bind(plan)
                .fetch_optional(scope.connection())
                .await?
                .ok_or_else(|| AccountError::NotFound(format!("plan {plan}")))?,
        ),
        None => None,
    };
    let before: Tenant = sqlx::query_as(select!("WHERE t.id = $1 FOR UPDATE OF t"))
        .bind(tenant.0)
        .fetch_optional(scope.connection())
        .await?
        .ok_or_else(|| AccountError::NotFound(format!("tenant {tenant}")))?;
    scope.check(&before)?;
    sqlx::query(
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
    .execute(scope.connection())
    .await?;
    let after = show(scope).await?;
    scope.note(Note::new("tenant.change", format!("tenant {tenant}")).before(&before).after(&after));
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_distinguishes_null_from_absent_and_refuses_what_it_does_not_know() {
        let change: TenantChange = serde_json::from_str(r#"{"quota":null}"#).unwrap();
        assert_eq!((change.quota, change.rate), (Some(Limit(None)), None));
        assert!(serde_json::from_str::<TenantChange>(r#"{"id":7}"#).is_err());
    }
}
