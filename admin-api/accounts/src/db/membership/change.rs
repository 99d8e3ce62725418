use schemas::permission::BuiltInRole;
use schemas::public_id::{MembershipId, PersonId, PublicProjectId};

use super::{Member, Role, find};
use crate::db::chain::Note;
use crate::db::member_role;
use crate::db::scope::Scope;
use crate::error::AccountError;
use crate::grants::Grants;

/// Makes the person a member of the scope's tenant.
///
/// # Errors
/// [`AccountError::Exists`] if it is one.
pub(crate) async fn insert(
    scope: &mut Scope,
    id: MembershipId,
    person: PersonId,
    role: Role,
) -> Result<(), AccountError> {
    let (tenant, now, (built_in, custom)) = (scope.tenant(), scope.now(), role.columns());
    sqlx::query(
        "INSERT INTO membership (tenant_id, id, person_id, built_in, custom, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(tenant.0)
    .bind(id.uuid())
    .bind(person.uuid())
    .bind(built_in)
    .bind(custom)
    .bind(now)
    .execute(scope.connection())
    .await
    .map_err(AccountError::of_insert(|| format!("the membership of {person}")))?;
    let after = serde_json::json!({"person": person, "role": role});
    scope.note(Note::new("membership.create", id).after(&after));
    Ok(())
}

/// Gives a member another role, and other projects.
///
/// # Errors
/// [`AccountError::NotFound`] for a member, role or project that the tenant does not have; [`AccountError::Invalid`]
/// if it is the last owner, an owner of some projects only, or if `by` has less than the member has or is to have.
pub async fn change(
    scope: &mut Scope,
    by: &Grants,
    id: MembershipId,
    role: Role,
    projects: Option<&[PublicProjectId]>,
) -> Result<Member, AccountError> {
    let is_owner = role == Role::BuiltIn(BuiltInRole::Owner);
    if is_owner && projects.is_some() {
        return Err(AccountError::Invalid("an owner is one of all projects".to_owned()));
    }
    if !is_owner {
        keep_an_owner(scope, id).await?;
    }
    let before = locked(scope, id).await?;
    hold_within(scope, by, before.role).await?;
    hold_within(scope, by, role).await?;
    let (tenant, (built_in, custom)) = (scope.tenant(), role.columns());
    sqlx::query(
        "UPDATE membership SET built_in = $3, custom = $4, limited = $5 WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(id.uuid())
    .bind(built_in)
    .bind(custom)
    .bind(projects.is_some())
    .execute(scope.connection())
    .await
    .map_err(AccountError::of_reference(|| "such role".to_owned()))?;
    sqlx::query("DELETE FROM membership_project WHERE tenant_id = $1 AND membership_id = $2")
        .bind(tenant.0)
        .bind(id.uuid())
        .execute(scope.connection())
        .await?;
    limit(scope, id, projects.unwrap_or_default()).await?;
    let after = find(scope, id).await?;
    scope.note(Note::new("membership.change", id).before(&before).after(&after));
    Ok(after)
}

/// Writes down the projects that a membership is limited to.
async fn limit(scope: &mut Scope, id: MembershipId, to: &[PublicProjectId]) -> Result<(), AccountError> {
    let tenant = scope.tenant();
    let mut projects: Vec<uuid::Uuid> = to.iter().map(|project| project.uuid()).collect();
    projects.sort_unstable();
    projects.dedup();
    let written = sqlx::query(
        "INSERT INTO membership_project (tenant_id, membership_id, project_id)
         SELECT tenant_id, $2, project_id FROM project_profile
         WHERE tenant_id = $1 AND public_id = ANY($3) AND deleted_at IS NULL",
    )
    .bind(tenant.0)
    .bind(id.uuid())
    .bind(&projects)
    .execute(scope.connection())
    .await?;
    if usize::try_from(written.rows_affected()) == Ok(projects.len()) {
        return Ok(());
    }
    Err(AccountError::NotFound("such project".to_owned()))
}

/// Ends a membership.
///
/// # Errors
/// [`AccountError::NotFound`]; [`AccountError::Invalid`] if it is the last owner's, or has more than `by`.
pub async fn remove(scope: &mut Scope, by: &Grants, id: MembershipId) -> Result<(), AccountError> {
    keep_an_owner(scope, id).await?;
    let before = locked(scope, id).await?;
    hold_within(scope, by, before.role).await?;
    let tenant = scope.tenant();
    sqlx::query("DELETE FROM membership WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.0)
        .bind(id.uuid())
        .execute(scope.connection())
        .await?;
    scope.note(Note::new("membership.remove", id).before(&before));
    Ok(())
}

/// A member whom nobody else changes before the transaction ends, and who is what the caller expects.
async fn locked(scope: &mut Scope, id: MembershipId) -> Result<Member, AccountError> {
    scope.lock("membership", id.uuid()).await?;
    let before = find(scope, id).await?;
    scope.check(&before)?;
    Ok(before)
}

async fn keep_an_owner(scope: &mut Scope, leaves: MembershipId) -> Result<(), AccountError> {
    if lock_owners(scope).await? == [leaves.uuid()] {
        let rule = "the last owner stays: make somebody else an owner first";
        return Err(AccountError::Invalid(rule.to_owned()));
    }
    Ok(())
}

/// Locks the tenant's owners, so that two of them can't make each other the last.
///
/// Asked twice: the first question waits for who is changing an owner, and sees the owners of before. The second one
/// sees who is owner now, and locks these too.
pub(super) async fn lock_owners(scope: &mut Scope) -> Result<Vec<uuid::Uuid>, AccountError> {
    owners_locked(scope).await?;
    Ok(owners_locked(scope).await?)
}

async fn owners_locked(scope: &mut Scope) -> Result<Vec<uuid::Uuid>, sqlx::Error> {
    let tenant = scope.tenant();
    sqlx::query_scalar(
        "SELECT id FROM membership WHERE tenant_id = $1 AND built_in = 'owner' ORDER BY id FOR NO KEY UPDATE",
    )
    .bind(tenant.0)
    .fetch_all(scope.connection())
    .await
}

/// Nobody gives or takes away more than they have themselves.
///
/// # Errors
/// [`AccountError::Invalid`]; [`AccountError::NotFound`] for a role that the tenant does not have.
pub(crate) async fn hold_within(scope: &mut Scope, by: &Grants, role: Role) -> Result<(), AccountError> {
    let all = match role {
        Role::BuiltIn(role) => role.permissions().collect(),
        Role::Custom(id) => member_role::find(scope, id).await?.permissions,
    };
    if let Some(more) = all.iter().find(|permission| !by.may(**permission)) {
        return Err(AccountError::Invalid(format!("that role holds {more}, which yours does not")));
    }
    Ok(())
}
