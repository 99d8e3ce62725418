//! What a tenant's own people change of it.

use schemas::address::AddressPolicy;
use serde::Deserialize;

use super::{Tenant, lock, show, slug};
use crate::check;
use crate::db::chain::Note;
use crate::db::scope::Scope;
use crate::error::AccountError;

/// What is to change: `None` stays.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantSettings {
    /// What its people call it.
    #[serde(default)]
    pub name: Option<String>,
    /// What stands for it in paths. The old one is free at once, and leads nowhere.
    #[serde(default)]
    pub slug: Option<String>,
    /// IANA name of the time zone in which its months begin; only before the first key is made.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// How much of a client's address its events carry from now on.
    #[serde(default)]
    pub client_ip: Option<AddressPolicy>,
}

/// Changes what a tenant's people may change.
///
/// # Errors
/// [`AccountError`]; nothing is changed then. [`AccountError::Conflict`] for a time zone once there is a key: a period
/// that begins at another time would be another period, with a quota of its own.
pub async fn set(scope: &mut Scope, settings: &TenantSettings) -> Result<Tenant, AccountError> {
    let TenantSettings { name, slug, time_zone, client_ip } = settings;
    name.as_deref().map_or(Ok(()), check::name)?;
    slug.as_deref().map_or(Ok(()), slug::check)?;
    time_zone.as_deref().map_or(Ok(()), check::time_zone)?;
    let before = lock(scope).await?;
    scope.check(&before)?;
    let tenant = scope.tenant();
    if let Some(name) = name {
        let query = sqlx::query("UPDATE tenant_profile SET title = $2 WHERE tenant_id = $1");
        query.bind(tenant.0).bind(name).execute(scope.connection()).await?;
    }
    if let Some(slug) = slug {
        let query = sqlx::query("UPDATE tenant SET name = $2 WHERE id = $1");
        let renamed = query.bind(tenant.0).bind(slug).execute(scope.connection()).await;
        renamed.map_err(AccountError::of_insert(|| format!("tenant {slug}")))?;
    }
    if let Some(policy) = client_ip {
        let query = sqlx::query("UPDATE tenant SET client_ip = $2 WHERE id = $1");
        query.bind(tenant.0).bind(policy.as_str()).execute(scope.connection()).await?;
    }
    if let Some(zone) = time_zone.as_ref().filter(|zone| **zone != before.time_zone) {
        set_zone(scope, zone).await?;
    }
    let after = show(scope).await?;
    scope.note(Note::new("tenant.change", after.id).before(&before).after(&after));
    Ok(after)
}

/// The change is stamped first: who makes a key now waits for this transaction, and ingest sees the zone no later
/// than the key.
async fn set_zone(scope: &mut Scope, zone: &str) -> Result<(), AccountError> {
    let tenant = scope.tenant();
    let query = sqlx::query("UPDATE tenant SET time_zone = $2 WHERE id = $1");
    query.bind(tenant.0).bind(zone).execute(scope.connection()).await?;
    let any_key = sqlx::query_scalar("SELECT EXISTS (SELECT FROM api_key WHERE tenant_id = $1)");
    if any_key.bind(tenant.0).fetch_one(scope.connection()).await? {
        let rule = "the time zone decides when periods begin, and can't be changed once a key was made";
        return Err(AccountError::Conflict(rule.to_owned()));
    }
    Ok(())
}
