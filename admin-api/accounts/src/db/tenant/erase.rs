//! The end of a tenant that was deleted: Postgres forgets it here, and processors take its events out of ClickHouse
//! (`proof::retain`), by the way on which what a plan keeps no longer goes. Usage, quota and the sums of what was taken
//! out stay: `weir verify` proves them as before.

use chrono::TimeDelta;

use super::{Tenant, show};
use crate::db::chain::Note;
use crate::db::scope::Scope;
use crate::error::AccountError;

/// For so many days a deleted tenant can be restored.
pub const RESTORE_DAYS: i64 = 30;

/// How long one tenant may take: the audit of a large one has millions of rows.
const STATEMENT_TIMEOUT: &str = "5min";

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
