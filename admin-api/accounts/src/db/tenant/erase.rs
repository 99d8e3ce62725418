//! The end of a tenant that was deleted: Postgres forgets it here, and processors take its events out of ClickHouse
//! (`proof::retain`), by the way on which what a plan keeps no longer goes. Usage, quota and the sums of what was taken
//! out stay: `weir verify` proves them as before.

use chrono::TimeDelta;
use schemas::id::TenantId;
use schemas::lifecycle::TenantTransition;
use service::clock::Clock;
use service::error::Chain;
use sqlx::PgPool;

use super::lifecycle::{RESTORE_DAYS, transit};
use super::{Tenant, show};
use crate::caller::{Actor, Caller};
use crate::db::chain::Note;
use crate::db::scope::{PlatformScope, Scope};
use crate::error::AccountError;
use crate::grants::Grants;

/// Tenants that are looked for at once.
const PAGE_TENANTS: i64 = 100;
/// How long one tenant may take: the audit of a large one has millions of rows.
const STATEMENT_TIMEOUT: &str = "5min";

/// Erases every tenant that was deleted [`RESTORE_DAYS`] ago: how many. Any number of processes may do so at once, and
/// do so again after a failure. One that can't be erased keeps no other from it.
///
/// # Errors
/// Those of the last tenant that could not be erased; [`AccountError::Store`]. What was erased stays so.
pub async fn erase_expired(pool: &PgPool, clock: &Clock) -> Result<u64, AccountError> {
    let nobody = Grants { role: "system".to_owned(), permissions: Vec::new(), projects: None };
    let (mut erased, mut after, mut failed) = (0, 0, None);
    loop {
        let due = due(pool, clock, after).await?;
        for tenant in &due {
            match erase(pool, clock, &nobody, TenantId(*tenant)).await {
                Ok(()) => erased += 1,
                // It was restored, or another process has erased it.
                Err(AccountError::Conflict(_)) => {}
                Err(error) => {
                    tracing::error!(tenant, error = %Chain(&error), "a tenant was not erased");
                    failed = Some(error);
                }
            }
        }
        match (due.last(), failed) {
            (Some(last), error) => (after, failed) = (*last, error),
            (None, Some(error)) => return Err(error),
            (None, None) => return Ok(erased),
        }
    }
}

async fn erase(pool: &PgPool, clock: &Clock, nobody: &Grants, tenant: TenantId) -> Result<(), AccountError> {
    let mut scope = Scope::open(pool, clock, Caller::local(Actor::System), tenant).await?;
    transit(&mut scope, nobody, TenantTransition::Erase, None).await?;
    scope.commit().await
}

/// Tenants whose time is over, in the order of their numbers, from behind `after`.
async fn due(pool: &PgPool, clock: &Clock, after: i64) -> Result<Vec<i64>, AccountError> {
    let mut scope = PlatformScope::open_platform(pool, clock, Caller::local(Actor::System)).await?;
    let before = scope.now() - TimeDelta::days(RESTORE_DAYS);
    let due = sqlx::query_scalar(
        "SELECT tenant_id FROM tenant_profile
         WHERE deleted_at < $1 AND erased_at IS NULL AND tenant_id > $2 ORDER BY tenant_id LIMIT $3",
    );
    Ok(due.bind(before).bind(after).bind(PAGE_TENANTS).fetch_all(scope.connection()).await?)
}

/// Erases the scope's tenant, which is locked. Its audit begins again, with where it had ended.
pub(super) async fn now(scope: &mut Scope, before: &Tenant) -> Result<Tenant, AccountError> {
    let (tenant, deleted_before) = (scope.tenant(), scope.now() - TimeDelta::days(RESTORE_DAYS));
    let head: Option<(i64, String)> =
        sqlx::query_as("SELECT seq, encode(hash, 'hex') FROM audit_head WHERE tenant_id = $1")
            .bind(tenant.0)
            .fetch_optional(scope.connection())
            .await?;
    let timeout = sqlx::query("SELECT set_config('statement_timeout', $1, true)");
    timeout.bind(STATEMENT_TIMEOUT).execute(scope.connection()).await?;
    let erased = sqlx::query_scalar("SELECT erase_tenant($1, $2)").bind(tenant.0).bind(deleted_before);
    if !erased.fetch_one(scope.connection()).await? {
        let rule =
            format!("a deleted tenant can be restored for {RESTORE_DAYS} days, and is not erased before");
        return Err(AccountError::Conflict(rule));
    }
    let (entries, hash) = head.unwrap_or_default();
    let was = serde_json::json!({"status": before.status, "audit_entries": entries, "audit_hash": hash});
    scope.note(Note::new("tenant.erase", before.id).before(&was));
    show(scope).await
}
