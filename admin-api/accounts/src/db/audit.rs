//! The audit, for those who read it.

use crate::db::chain::{self, Chain};
pub use crate::db::chain::{Broken, Entry, Verified};
use crate::db::scope::Scope;

/// Entries in one page at most.
pub const PAGE_ROWS_MAX: i64 = 200;

/// Entries of the tenant before number `before`, the newest first; without it from the last on.
///
/// # Errors
/// If Postgres fails.
pub async fn list(scope: &mut Scope, before: Option<i64>, limit: i64) -> Result<Vec<Entry>, sqlx::Error> {
    let (chain, before) = (Chain::Tenant(scope.tenant()), before.unwrap_or(i64::MAX));
    chain::newest(scope.connection(), chain, before, limit.clamp(1, PAGE_ROWS_MAX)).await
}

/// Reads the tenant's chain from its beginning and computes every hash again.
///
/// # Errors
/// If Postgres fails.
pub async fn verify(scope: &mut Scope) -> Result<Verified, sqlx::Error> {
    let chain = Chain::Tenant(scope.tenant());
    chain::verify(scope.connection(), chain).await
}
