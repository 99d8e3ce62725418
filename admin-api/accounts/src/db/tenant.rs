//! Tenants.

mod create;
mod erase;
mod expired;
mod lifecycle;
mod settings;
mod slug;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use clap::Args;
use schemas::address::AddressPolicy;
use schemas::id::TenantId;
use schemas::lifecycle::TenantState;
use schemas::public_id::PublicTenantId;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::check;
use crate::db::chain::Note;
use crate::db::pattern;
use crate::db::scope::{PlatformScope, Scope};
use crate::error::AccountError;
use crate::limit::{self, Limit};
use crate::page::{Listed, Page, PageRequest};

pub(crate) use create::found;
pub use create::{NewTenant, create};
pub use erase::RESTORE_DAYS;
pub use expired::erase_expired;
pub use lifecycle::{delete, operate, restore, transit};
pub use settings::{TenantSettings, set};
pub use slug::SLUG_BYTES_MAX;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Tenant {
    /// Its number, for this crate's callers.
    #[serde(skip)]
    pub number: i64,
    /// Its id.
    pub id: PublicTenantId,
    /// What its people call it.
    pub name: String,
    /// In a path it stands for the id: unique.
    pub slug: String,
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
    pub status: TenantState,
    /// How much of a client's address its events carry.
    pub client_ip: AddressPolicy,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Since when it is deleted: it can be restored for 30 days.
    pub deleted_at: Option<DateTime<Utc>>,
}

service::from_row!(Tenant {
    number,
    id: uuid,
    name,
    slug,
    plan,
    quota,
    rate,
    own_quota,
    own_rate,
    time_zone,
    status: parsed,
    client_ip: parsed,
    created_at,
    deleted_at,
});

/// What is to change of a tenant: what is not there stays.
#[derive(Debug, Clone, Default, Deserialize, Args, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[group(skip)]
pub struct TenantChange {
    /// Events a month; `plan` (in JSON `null`): the plan's again
    #[serde(default, deserialize_with = "limit::present")]
    #[schema(value_type = Option<i64>)]
    #[arg(long, value_name = "N|plan", value_parser = limit::or_plan::<i64>, allow_negative_numbers = true)]
    pub quota: Option<Limit<i64>>,
    /// Events a second; `plan` (in JSON `null`): the plan's again
    #[serde(default, deserialize_with = "limit::present")]
    #[schema(value_type = Option<i64>)]
    #[arg(long, value_name = "R|plan", value_parser = limit::or_plan::<i64>, allow_negative_numbers = true)]
    pub rate: Option<Limit<i64>>,
    /// Another plan's name
    #[arg(long)]
    pub plan: Option<String>,
    /// How much of a client's address its events carry from now on: `full`, `truncated` or `none`
    #[arg(long, value_name = "POLICY")]
    pub client_ip: Option<AddressPolicy>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT t.id AS number, f.public_id AS id, f.title AS name, t.name AS slug, p.name AS plan,
                    coalesce(t.quota, p.quota) AS quota, coalesce(t.rate, p.rate) AS rate,
                    t.quota IS NOT NULL AS own_quota, t.rate IS NOT NULL AS own_rate, t.time_zone, t.status,
                    t.client_ip, t.created_at, f.deleted_at
             FROM tenant t JOIN plan p ON p.id = t.plan_id JOIN tenant_profile f ON f.tenant_id = t.id ",
            $rest
        )
    };
}

impl Listed for Tenant {
    const LIST: &'static str = "tenants";
    type Key = i64;

    fn key(&self) -> Self::Key {
        self.number
    }
}

/// A page of tenants, the oldest first: all, or those whose slug, name or a member's address begins with `query`, or
/// whose public id or number it is.
///
/// # Errors
/// [`AccountError`].
pub async fn list(
    scope: &mut PlatformScope,
    query: Option<&str>,
    asked: &PageRequest,
) -> Result<Page<Tenant>, AccountError> {
    let after = asked.after::<Tenant>()?;
    let Some(query) = query.map(str::trim) else {
        let rows = sqlx::query_as(select!("WHERE ($1::bigint IS NULL OR t.id > $1) ORDER BY t.id LIMIT $2"));
        return Ok(asked.page(rows.bind(after).bind(asked.rows()).fetch_all(scope.connection()).await?));
    };
    // Not in small letters: ids have both.
    let id: Option<PublicTenantId> = query.parse().ok();
    let query = query.to_lowercase();
    // Each way to be found has an index of its own; one condition of all ways would look at every tenant. OFFSET 0:
    // what begins so is looked up first, and not every tenant in order.
    let (from, to) = pattern::beginning(&query);
    let rows = sqlx::query_as(select!(
        "JOIN ((SELECT id FROM (SELECT id FROM tenant WHERE name ~>=~ $3 AND name ~<~ $6 OFFSET 0) AS t
                WHERE id > $1 ORDER BY id LIMIT $2)
               UNION (SELECT tenant_id FROM (SELECT tenant_id FROM tenant_profile
                                              WHERE lower(title) ~>=~ $3 AND lower(title) ~<~ $6 OFFSET 0) AS f
                      WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2)
               UNION SELECT tenant_id FROM tenant_profile WHERE public_id = $4 AND tenant_id > $1
               UNION SELECT id FROM tenant WHERE id = $5 AND id > $1
               UNION (SELECT DISTINCT m.tenant_id
                      FROM (SELECT id FROM person WHERE email ~>=~ $3 AND email ~<~ $6 OFFSET 0) AS p
                      JOIN membership m ON m.person_id = p.id
                      WHERE m.tenant_id > $1 ORDER BY m.tenant_id LIMIT $2)) AS found
         ON found.id = t.id ORDER BY t.id LIMIT $2"
    ))
    .bind(after.unwrap_or(i64::MIN))
    .bind(asked.rows())
    .bind(from)
    .bind(id.map(PublicTenantId::uuid))
    .bind(query.parse::<i64>().ok())
    .bind(to)
    .fetch_all(scope.connection())
    .await?;
    Ok(asked.page(rows))
}

/// The tenant of that public id, number or slug: no slug looks like one of the others.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find(scope: &mut PlatformScope, named: &str) -> Result<Tenant, AccountError> {
    let query = if let Ok(id) = named.parse::<PublicTenantId>() {
        sqlx::query_as(select!("WHERE f.public_id = $1")).bind(id.uuid())
    } else if let Ok(number) = named.parse::<i64>() {
        sqlx::query_as(select!("WHERE t.id = $1")).bind(number)
    } else {
        sqlx::query_as(select!("WHERE t.name = $1")).bind(named)
    };
    let found = query.fetch_optional(scope.connection()).await?;
    found.ok_or_else(|| AccountError::NotFound(format!("tenant {named}")))
}

/// The transaction, for the tenant of that public id, slug or number alone.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn enter(mut scope: PlatformScope, named: &str) -> Result<Scope, AccountError> {
    let tenant = self::named(&mut scope, named).await?;
    Ok(scope.enter(tenant).await?)
}

/// The tenant of that public id, slug or number.
pub(crate) async fn named(scope: &mut PlatformScope, named: &str) -> Result<TenantId, AccountError> {
    Ok(TenantId(find(scope, named).await?.number))
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

/// The tenant with that public id, and what it is now.
pub(crate) async fn by_public_id(
    scope: &mut PlatformScope,
    id: PublicTenantId,
) -> Result<Option<(TenantId, TenantState)>, sqlx::Error> {
    let row: Option<(i64, String)> = sqlx::query_as(
        "SELECT t.id, t.status FROM tenant_profile f JOIN tenant t ON t.id = f.tenant_id WHERE f.public_id = $1",
    )
    .bind(id.uuid())
    .fetch_optional(scope.connection())
    .await?;
    Ok(row.and_then(|(tenant, state)| Some((TenantId(tenant), state.parse().ok()?))))
}

/// The scope's tenant, as its people see it.
pub(crate) async fn public_id(scope: &mut Scope) -> Result<PublicTenantId, sqlx::Error> {
    let tenant = scope.tenant();
    let query = sqlx::query_scalar("SELECT public_id FROM tenant_profile WHERE tenant_id = $1");
    let id: uuid::Uuid = query.bind(tenant.0).fetch_one(scope.connection()).await?;
    Ok(id.into())
}

/// What the tenant is now; `None`: there is none, or it is what this weir does not know.
pub(crate) async fn state(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<TenantState>, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT status FROM tenant WHERE id = $1").bind(tenant.0);
    let word: Option<String> = query.fetch_optional(connection).await?;
    Ok(word.and_then(|word| word.parse().ok()))
}

/// # Errors
/// [`AccountError::Conflict`] if the scope's tenant gets no keys or tokens in the state that it is in.
pub(crate) async fn takes_keys(scope: &mut Scope) -> Result<(), AccountError> {
    let tenant = scope.tenant();
    // One that this weir does not know gets none.
    let state = state(scope.connection(), tenant).await?.unwrap_or(TenantState::Erased);
    if state.takes_keys() {
        return Ok(());
    }
    Err(AccountError::Conflict(format!("the tenant is {state}: it gets no keys and no tokens")))
}

/// Whether `named` stands for the scope's tenant: its public id or its slug.
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
    Ok(named == row.0 || named == PublicTenantId::from(row.1).to_string())
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
    let before = lock(scope).await?;
    scope.check(&before)?;
    sqlx::query(
        "UPDATE tenant SET plan_id = coalesce($2, plan_id), quota = CASE WHEN $3 THEN $4 ELSE quota END,
                rate = CASE WHEN $5 THEN $6 ELSE rate END, client_ip = coalesce($7, client_ip)
         WHERE id = $1",
    )
    .bind(tenant.0)
    .bind(plan_id)
    .bind(change.quota.is_some())
    .bind(quota)
    .bind(change.rate.is_some())
    .bind(rate)
    .bind(change.client_ip.map(AddressPolicy::as_str))
    .execute(scope.connection())
    .await?;
    let after = show(scope).await?;
    scope.note(Note::new("tenant.change", after.id).before(&before).after(&after));
    Ok(after)
}

/// The scope's tenant, which nobody else changes until the transaction ends.
async fn lock(scope: &mut Scope) -> Result<Tenant, AccountError> {
    // Read behind the lock: a join that waits for one looks at the new tenant and the old plan, and finds neither.
    let lock = "SELECT FROM tenant t JOIN tenant_profile f ON f.tenant_id = t.id WHERE t.id = $1
                FOR NO KEY UPDATE OF t, f";
    sqlx::query(lock).bind(scope.tenant().0).execute(scope.connection()).await?;
    show(scope).await
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
