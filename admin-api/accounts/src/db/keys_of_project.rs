//! What becomes of a project's keys with the project.

use schemas::id::ProjectId;

use crate::db::scope::Scope;
use crate::error::AccountError;

/// Revokes all keys of a project: how many were not revoked before.
pub(super) async fn revoke_all_of(scope: &mut Scope, project: ProjectId) -> Result<u64, AccountError> {
    let tenant = scope.tenant();
    let revoked = sqlx::query(
        "UPDATE api_key SET revoked_at = now() WHERE tenant_id = $1 AND project_id = $2 AND revoked_at IS NULL",
    )
    .bind(tenant.0)
    .bind(project.0)
    .execute(scope.connection())
    .await?;
    Ok(revoked.rows_affected())
}

/// How many keys of a project are good now.
pub(super) async fn live_of(scope: &mut Scope, project: ProjectId) -> Result<i64, AccountError> {
    let tenant = scope.tenant();
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM api_key WHERE tenant_id = $1 AND project_id = $2 AND revoked_at IS NULL
         AND (expires_at IS NULL OR expires_at > now())",
    );
    Ok(count.bind(tenant.0).bind(project.0).fetch_one(scope.connection()).await?)
}
