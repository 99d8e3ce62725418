//! Tenants that were deleted so long ago that they are erased.

use chrono::TimeDelta;
use schemas::id::TenantId;
use schemas::lifecycle::TenantTransition;
use service::clock::Clock;
use service::error::Chain;
use sqlx::PgPool;

use super::erase::RESTORE_DAYS;
use super::lifecycle::transit;
use crate::caller::{Actor, Caller};
use crate::db::scope::{PlatformScope, Scope};
use crate::error::AccountError;
use crate::grants::Grants;

/// Tenants that are looked for at once.
const PAGE_TENANTS: i64 = 100;

/// Erases every tenant that was deleted [`RESTORE_DAYS`] ago: how many. Any number of processes may do so at once, and
/// do so again after a failure. One that can't be erased keeps no other from it.
///
/// # Errors
/// Those of the last tenant that could not be erased; [`AccountError::Store`]. What was erased stays so.
pub async fn erase_expired(pool: &PgPool, clock: &Clock) -> Result<u64, AccountError> {
    let nobody =
        Grants { role: "system".to_owned(), permissions: Vec::new(), projects: None, membership: None };
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
