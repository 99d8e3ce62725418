//! The audit, for those who read it.

use chrono::{DateTime, Utc};
use schemas::id::TenantId;
use schemas::public_id::PublicTenantId;
use serde::Serialize;
use service::clock::Clock;
use service::store::StoreError;
use sqlx::PgPool;

use crate::caller::{Actor, Caller};
use crate::db::chain::{self, Chain, Note, Onward};
pub use crate::db::chain::{Broken, Entry, Filter, Verified};
use crate::db::scope::{PlatformScope, Scope};
use crate::db::tenant;
use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};

/// An entry of any chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PlatformEntry {
    /// The tenant; `None`: it is of the platform.
    pub tenant: Option<PublicTenantId>,
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
}

impl Listed for PlatformEntry {
    const LIST: &'static str = "platform_audit";
    type Key = (DateTime<Utc>, i64, i64);

    fn key(&self) -> Self::Key {
        (self.entry.at, self.entry.chain, self.entry.seq)
    }
}

/// A page of entries of all chains, or of one tenant's, the newest first.
///
/// # Errors
/// [`AccountError::NotFound`] if there is no such tenant.
pub async fn of_platform(
    scope: &mut PlatformScope,
    tenant: Option<&str>,
    filter: &Filter,
    asked: &PageRequest,
) -> Result<Page<PlatformEntry>, AccountError> {
    let tenant = match tenant {
        Some(named) => Some(tenant::named(scope, named).await?),
        None => None,
    };
    filter.check()?;
    let before = asked.after::<PlatformEntry>()?;
    let entries = chain::search(scope.connection(), tenant, filter, before, asked.rows()).await?;
    let tenants: Vec<i64> = entries.iter().map(|entry| entry.chain).filter(|chain| *chain >= 0).collect();
    let ids = tenant::public_ids(scope, &tenants).await?;
    let seen = |entry: Entry| PlatformEntry { tenant: ids.get(&entry.chain).copied(), entry };
    Ok(asked.page(entries.into_iter().map(seen).collect()))
}

/// Entries that an export reads at once.
const EXPORT_ROWS: i64 = 1_000;

impl Listed for Entry {
    const LIST: &'static str = "audit";
    type Key = i64;

    fn key(&self) -> Self::Key {
        self.seq
    }
}

/// A page of the tenant's entries, the newest first.
///
/// # Errors
/// [`AccountError`].
pub async fn list(
    scope: &mut Scope,
    filter: &Filter,
    asked: &PageRequest,
) -> Result<Page<Entry>, AccountError> {
    filter.check()?;
    let onward = Onward::Before(asked.after::<Entry>()?.unwrap_or(i64::MAX));
    let chain = Chain::Tenant(scope.tenant());
    Ok(asked.page(chain::page(scope.connection(), chain, filter, onward, asked.rows()).await?))
}

/// Notes that somebody exports the tenant's audit. Gives the number of the last entry that the export is to hold.
///
/// # Errors
/// If Postgres fails.
pub async fn begin_export(scope: &mut Scope, filter: &Filter) -> Result<i64, AccountError> {
    filter.check()?;
    let chain = Chain::Tenant(scope.tenant());
    let last = chain::head(scope.connection(), chain).await?.seq;
    scope.note(Note::new("audit.export", "audit").after(filter));
    Ok(last)
}

/// Some entries of an export after number `after`, the oldest first; none: that was all.
///
/// # Errors
/// If Postgres fails.
pub async fn export_page(
    scope: &mut Scope,
    filter: &Filter,
    after: i64,
    last: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    let chain = Chain::Tenant(scope.tenant());
    let mut page = chain::page(scope.connection(), chain, filter, Onward::After(after), EXPORT_ROWS).await?;
    page.retain(|entry| entry.seq <= last);
    Ok(page)
}

/// Notes where every chain stands: what was written until then can be neither changed nor cut off unseen. How many have
/// grown since.
///
/// # Errors
/// If Postgres fails.
pub async fn anchor(pool: &PgPool, clock: &Clock) -> Result<u64, StoreError> {
    let mut scope = PlatformScope::open_platform(pool, clock, Caller::local(Actor::System)).await?;
    let now = scope.now();
    let anchored = chain::anchor(scope.connection(), now).await?;
    scope.commit().await?;
    Ok(anchored)
}

/// Reads the tenant's chain from its beginning and computes every hash again.
///
/// # Errors
/// If Postgres fails.
pub async fn verify(scope: &mut Scope) -> Result<Verified, sqlx::Error> {
    let chain = Chain::Tenant(scope.tenant());
    chain::verify(scope.connection(), chain).await
}

/// What was found in one of all chains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedChain {
    /// Whose it is; `None`: the platform's.
    pub tenant: Option<TenantId>,
    /// As the database has it: the tenant's id, or a negative number.
    pub chain: i64,
    /// What was found.
    #[serde(flatten)]
    pub verified: Verified,
}

/// Chains after `after` in the order of their numbers, each as by [`verify`]; none: that was all.
///
/// # Errors
/// If Postgres fails.
pub async fn verify_after(
    scope: &mut PlatformScope,
    after: Option<i64>,
) -> Result<Vec<VerifiedChain>, sqlx::Error> {
    let mut found = Vec::new();
    for chain in chain::after(scope.connection(), after.unwrap_or(i64::MIN)).await? {
        let verified = chain::verify(scope.connection(), chain).await?;
        found.push(VerifiedChain { tenant: chain.tenant(), chain: chain.number(), verified });
    }
    Ok(found)
}
