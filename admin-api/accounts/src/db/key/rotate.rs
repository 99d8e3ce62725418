use chrono::{DateTime, TimeDelta, Utc};
use schemas::id::KeyId;

use super::{MadeKey, find, hold, insert};
use crate::check::TIME_MAX;
use crate::db::chain::Note;
use crate::db::project;
use crate::db::scope::Scope;
use crate::error::AccountError;

/// Hours for which two keys may be good at the same time.
pub const OVERLAP_HOURS_MAX: u16 = 720;

/// Makes another key in the place of one, of the same project and name. The old one ends `overlap_hours` from now, or
/// when it would have ended, if that is earlier; with 0 it is revoked. A key that expires gets a successor that is good
/// for as long as it was.
///
/// # Errors
/// [`AccountError::NotFound`]; [`AccountError::Invalid`] for more than [`OVERLAP_HOURS_MAX`];
/// [`AccountError::Conflict`] for a key that is not good, or was rotated before.
pub async fn rotate(scope: &mut Scope, id: KeyId, overlap_hours: u16) -> Result<MadeKey, AccountError> {
    if overlap_hours > OVERLAP_HOURS_MAX {
        let rule = format!("overlap_hours is a number from 0 to {OVERLAP_HOURS_MAX}");
        return Err(AccountError::Invalid(rule));
    }
    let before = find(scope, id).await?;
    let project = project::show(scope, before.project).await?;
    hold(scope, &project).await?;
    let now = lock(scope, id).await?;
    let before = find(scope, id).await?;
    scope.check(&before)?;
    let is_over = before.revoked_at.is_some() || before.expires_at.is_some_and(|at| at <= now);
    if is_over || before.replaced_by.is_some() {
        let rule = format!("key {id} is not good any more, or another key has taken its place");
        return Err(AccountError::Conflict(rule));
    }
    // A key that was made by a version before may expire after all years that chrono knows when they are added.
    let expires_at = before
        .expires_at
        .map(|at| now.checked_add_signed(at - before.created_at).map_or(TIME_MAX, |at| at.min(TIME_MAX)));
    let made = insert(scope, &project, &before.name, expires_at).await?;
    end(scope, id, now + TimeDelta::hours(overlap_hours.into()), overlap_hours == 0).await?;
    let tenant = scope.tenant();
    // A key from before names were kept has no profile.
    sqlx::query(
        "INSERT INTO key_profile (tenant_id, project_id, key_id, name, created_by, replaced_by)
         VALUES ($1, $2, $3, '', '', $4) ON CONFLICT (tenant_id, key_id) DO UPDATE SET replaced_by = $4",
    )
    .bind(tenant.0)
    .bind(project.number)
    .bind(id.number())
    .bind(made.made.id.number())
    .execute(scope.connection())
    .await?;
    let note = Note::new("key.rotate", format!("key {id}"));
    let said = serde_json::json!({"overlap_hours": overlap_hours, "replaced_by": made.made});
    scope.note(note.before(&before).after(&said));
    Ok(made)
}

/// Of two who rotate a key at once, the second one finds it rotated. Postgres's time, which decides when keys end.
async fn lock(scope: &mut Scope, id: KeyId) -> Result<DateTime<Utc>, AccountError> {
    let tenant = scope.tenant();
    let query = "SELECT now() FROM api_key WHERE tenant_id = $1 AND id = $2 FOR UPDATE";
    let locked = sqlx::query_scalar(query).bind(tenant.0).bind(id.number());
    let now = locked.fetch_optional(scope.connection()).await?;
    now.ok_or_else(|| AccountError::NotFound(format!("key {id}")))
}

/// Ends the old key.
async fn end(scope: &mut Scope, id: KeyId, at: DateTime<Utc>, is_at_once: bool) -> Result<(), AccountError> {
    let tenant = scope.tenant();
    sqlx::query(
        "UPDATE api_key SET expires_at = least(expires_at, $3), revoked_at = CASE WHEN $4 THEN now() END
         WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(id.number())
    .bind(at)
    .bind(is_at_once)
    .execute(scope.connection())
    .await?;
    Ok(())
}
