//! Roles of a tenant's own.

use schemas::permission::{BuiltInRole, Permission};
use schemas::public_id::RoleId;
use serde::{Deserialize, Serialize};

use crate::check;
use crate::db::chain::Note;
use crate::db::scope::Scope;
use crate::error::AccountError;
use crate::grants::Grants;
use crate::page::{Listed, Page, PageRequest};
use crate::random::Random;

/// A role of a tenant's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct MemberRole {
    /// Its id.
    pub id: RoleId,
    /// Its name, unique within the tenant.
    pub name: String,
    /// What it permits.
    pub permissions: Vec<Permission>,
}

/// A role to be made, or what it is to be from now on.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// Its name.
    pub name: String,
    /// What it permits.
    pub permissions: Vec<Permission>,
}

impl NewRole {
    /// A role holds only what its maker has, and never what belongs to owners alone.
    fn check(&self, maker: &Grants) -> Result<(), AccountError> {
        check::name(&self.name)?;
        if self.name.parse::<BuiltInRole>().is_ok() {
            return Err(AccountError::Exists(format!("role {}", self.name)));
        }
        for permission in &self.permissions {
            if !maker.may(*permission) || !BuiltInRole::Admin.may(*permission) {
                let rule = format!(
                    "a role of yours can't hold {permission}, which you do not have or owners alone have"
                );
                return Err(AccountError::Invalid(rule));
            }
        }
        Ok(())
    }

    fn words(&self) -> Vec<&'static str> {
        let mut permissions = self.permissions.clone();
        permissions.sort_unstable();
        permissions.dedup();
        permissions.into_iter().map(Permission::as_str).collect()
    }
}

/// Makes a role.
///
/// # Errors
/// [`AccountError::Invalid`] for a permission that its maker does not have; [`AccountError::Exists`].
pub async fn create(
    scope: &mut Scope,
    random: &Random,
    maker: &Grants,
    new: &NewRole,
) -> Result<MemberRole, AccountError> {
    new.check(maker)?;
    let (tenant, id) = (scope.tenant(), RoleId::of_random(random.bytes()));
    sqlx::query("INSERT INTO member_role (tenant_id, id, name, permissions) VALUES ($1, $2, $3, $4)")
        .bind(tenant.0)
        .bind(id.uuid())
        .bind(&new.name)
        .bind(new.words())
        .execute(scope.connection())
        .await
        .map_err(AccountError::of_insert(|| format!("role {}", new.name)))?;
    let role = find(scope, id).await?;
    scope.note(Note::new("role.create", id).after(&role));
    Ok(role)
}

/// Changes a role, for all its members at once.
///
/// # Errors
/// As [`create`]; [`AccountError::NotFound`].
pub async fn change(
    scope: &mut Scope,
    maker: &Grants,
    id: RoleId,
    new: &NewRole,
) -> Result<MemberRole, AccountError> {
    new.check(maker)?;
    let before = locked(scope, id).await?;
    let tenant = scope.tenant();
    sqlx::query("UPDATE member_role SET name = $3, permissions = $4 WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.0)
        .bind(id.uuid())
        .bind(&new.name)
        .bind(new.words())
        .execute(scope.connection())
        .await
        .map_err(AccountError::of_insert(|| format!("role {}", new.name)))?;
    let after = find(scope, id).await?;
    scope.note(Note::new("role.change", id).before(&before).after(&after));
    Ok(after)
}

/// A role that nobody else changes before the transaction ends, and that is what the caller expects.
async fn locked(scope: &mut Scope, id: RoleId) -> Result<MemberRole, AccountError> {
    scope.lock("member_role", id.uuid()).await?;
    let before = find(scope, id).await?;
    scope.check(&before)?;
    Ok(before)
}

/// Deletes a role, with the closed invitations that name it.
///
/// # Errors
/// [`AccountError::NotFound`]; [`AccountError::Conflict`] while a member or a pending invitation holds it;
/// [`AccountError::Invalid`] if it holds what `by` does not.
pub async fn delete(scope: &mut Scope, by: &Grants, id: RoleId) -> Result<(), AccountError> {
    let before = locked(scope, id).await?;
    if let Some(more) = before.permissions.iter().find(|permission| !by.may(**permission)) {
        return Err(AccountError::Invalid(format!("that role holds {more}, which yours does not")));
    }
    let (tenant, now) = (scope.tenant(), scope.now());
    sqlx::query(
        "DELETE FROM invitation WHERE tenant_id = $1 AND custom = $2
         AND (accepted_at IS NOT NULL OR revoked_at IS NOT NULL OR expires_at <= $3)",
    )
    .bind(tenant.0)
    .bind(id.uuid())
    .bind(now)
    .execute(scope.connection())
    .await?;
    // Members and pending invitations refer to it: Postgres looks, so that none comes in between.
    let deleted = sqlx::query("DELETE FROM member_role WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.0)
        .bind(id.uuid())
        .execute(scope.connection())
        .await;
    let held = |error: sqlx::Error| match error.as_database_error() {
        Some(database) if database.is_foreign_key_violation() => {
            let rule =
                format!("members or pending invitations hold the role {}: give them another", before.name);
            AccountError::Conflict(rule)
        }
        _ => error.into(),
    };
    if deleted.map_err(held)?.rows_affected() == 0 {
        return Err(AccountError::NotFound(format!("role {id}")));
    }
    scope.note(Note::new("role.delete", id).before(&before));
    Ok(())
}

type Row = (uuid::Uuid, String, Vec<String>);

/// Permissions that this weir does not know are left out: they permit nothing here.
fn role((id, name, words): Row) -> MemberRole {
    let permissions = words.iter().filter_map(|word| word.parse().ok()).collect();
    MemberRole { id: id.into(), name, permissions }
}

/// A role that a member may have: one that every tenant has, or one of the tenant's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AnyRole {
    /// What a member's `role` says: a built-in one's word, or the id of the tenant's own.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it permits.
    pub permissions: Vec<Permission>,
    /// Whether every tenant has it: then nobody can change it.
    pub built_in: bool,
}

impl From<BuiltInRole> for AnyRole {
    fn from(role: BuiltInRole) -> Self {
        let (name, permissions) = (role.as_str().to_owned(), role.permissions().collect());
        Self { id: name.clone(), name, permissions, built_in: true }
    }
}

impl From<MemberRole> for AnyRole {
    fn from(MemberRole { id, name, permissions }: MemberRole) -> Self {
        Self { id: id.to_string(), name, permissions, built_in: false }
    }
}

impl Listed for AnyRole {
    const LIST: &'static str = "roles";
    /// The place among the built-in roles; behind them the tenant's own by name.
    type Key = (usize, String);

    fn key(&self) -> Self::Key {
        let place = BuiltInRole::ALL.iter().position(|role| self.built_in && self.id == role.as_str());
        (place.unwrap_or(BuiltInRole::ALL.len()), self.name.clone())
    }
}

/// A page of the roles that a member may have: those that every tenant has, and the tenant's own by name.
///
/// # Errors
/// [`AccountError`].
pub async fn list(scope: &mut Scope, asked: &PageRequest) -> Result<Page<AnyRole>, AccountError> {
    let (tenant, after) = (scope.tenant(), asked.after::<AnyRole>()?);
    let is_after = |role: &AnyRole| after.as_ref().is_none_or(|after| role.key().0 > after.0);
    let built_in = BuiltInRole::ALL.into_iter().map(AnyRole::from).filter(is_after);
    let own = after.as_ref().filter(|(place, _)| *place >= BuiltInRole::ALL.len()).map(|(_, name)| name);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, permissions FROM member_role
         WHERE tenant_id = $1 AND ($2::text IS NULL OR name > $2) ORDER BY name LIMIT $3",
    )
    .bind(tenant.0)
    .bind(own)
    .bind(asked.rows())
    .fetch_all(scope.connection())
    .await?;
    Ok(asked.page(built_in.chain(rows.into_iter().map(role).map(AnyRole::from)).collect()))
}

/// One role.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find(scope: &mut Scope, id: RoleId) -> Result<MemberRole, AccountError> {
    let tenant = scope.tenant();
    let row: Option<Row> =
        sqlx::query_as("SELECT id, name, permissions FROM member_role WHERE tenant_id = $1 AND id = $2")
            .bind(tenant.0)
            .bind(id.uuid())
            .fetch_optional(scope.connection())
            .await?;
    row.map(role).ok_or_else(|| AccountError::NotFound(format!("role {id}")))
}
