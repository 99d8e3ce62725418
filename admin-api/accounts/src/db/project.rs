//! Projects: the streams of a tenant.

use chrono::{DateTime, Utc};
use clap::Args;
use schemas::id::{ProjectId, TenantId};
use schemas::public_id::PublicProjectId;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::check;
use crate::db::chain::Note;
use crate::db::keys_of_project;
use crate::db::scope::Scope;
use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};

/// The project that every tenant begins with.
pub const DEFAULT: &str = "default";

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Project {
    /// Its number, for this crate's callers.
    #[serde(skip)]
    pub number: i64,
    /// Its id.
    pub id: PublicProjectId,
    /// Its name, unique within the tenant.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Since when it takes no new keys.
    pub archived_at: Option<DateTime<Utc>>,
}

service::from_row!(Project { number, id: uuid, name, created_at, archived_at });

/// A project to be made.
#[derive(Debug, Clone, Deserialize, Args, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[group(skip)]
pub struct NewProject {
    /// Its name
    pub name: String,
}

/// What is to change of a project: `None` stays.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectChange {
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether it takes new keys no longer. It is archived only without keys that are good.
    #[serde(default)]
    pub archived: Option<bool>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT p.id AS number, f.public_id AS id, p.name, p.created_at, f.archived_at
             FROM project p JOIN project_profile f ON (f.tenant_id, f.project_id) = (p.tenant_id, p.id)
             WHERE p.tenant_id = $1 AND f.deleted_at IS NULL AND ",
            $rest
        )
    };
}

/// Makes a project.
///
/// # Errors
/// [`AccountError`]; [`AccountError::Forbidden`] in a scope of some projects.
pub async fn create(scope: &mut Scope, name: &str) -> Result<Project, AccountError> {
    check::name(name)?;
    scope.whole()?;
    let tenant = scope.tenant();
    insert(scope.connection(), tenant, name).await?;
    let project = named(scope, name).await?;
    scope.note(Note::new("project.create", project.id).after(&project));
    Ok(project)
}

pub(super) async fn insert(
    connection: &mut PgConnection,
    tenant: TenantId,
    name: &str,
) -> Result<ProjectId, AccountError> {
    let insert = "WITH made AS (INSERT INTO project (tenant_id, name) VALUES ($1, $2) RETURNING tenant_id, id)
         INSERT INTO project_profile (tenant_id, project_id) SELECT tenant_id, id FROM made RETURNING project_id";
    sqlx::query_scalar(insert)
        .bind(tenant.0)
        .bind(name)
        .fetch_one(connection)
        .await
        .map(ProjectId)
        .map_err(AccountError::of_insert(|| format!("project {name}")))
}

impl Listed for Project {
    const LIST: &'static str = "projects";
    type Key = (DateTime<Utc>, uuid::Uuid);

    fn key(&self) -> Self::Key {
        (self.created_at, self.id.uuid())
    }
}

/// A page of the scope's projects, the oldest first.
///
/// # Errors
/// [`AccountError`].
pub async fn list(scope: &mut Scope, asked: &PageRequest) -> Result<Page<Project>, AccountError> {
    let (tenant, after) = (scope.tenant(), asked.after::<Project>()?);
    let rows = sqlx::query_as(select!(
        "($2::timestamptz IS NULL OR (p.created_at, f.public_id) > ($2, $3))
         ORDER BY p.created_at, f.public_id LIMIT $4"
    ))
    .bind(tenant.0)
    .bind(after.map(|(at, _)| at))
    .bind(after.map(|(_, id)| id))
    .bind(asked.rows())
    .fetch_all(scope.connection())
    .await?;
    Ok(asked.page(rows))
}

/// The tenant's project of that name or public id.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find(scope: &mut Scope, named: &str) -> Result<ProjectId, AccountError> {
    Ok(ProjectId(self::named(scope, named).await?.number))
}

/// The same, with all that is known of it.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn named(scope: &mut Scope, named: &str) -> Result<Project, AccountError> {
    let tenant = scope.tenant();
    let query = match named.parse::<PublicProjectId>() {
        Ok(id) => sqlx::query_as(select!("f.public_id = $2")).bind(tenant.0).bind(id.uuid()),
        Err(_) => sqlx::query_as(select!("p.name = $2")).bind(tenant.0).bind(named),
    };
    let found = query.fetch_optional(scope.connection()).await?;
    found.ok_or_else(|| AccountError::NotFound(format!("project {named}")))
}

/// One project.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn show(scope: &mut Scope, id: PublicProjectId) -> Result<Project, AccountError> {
    let tenant = scope.tenant();
    sqlx::query_as(select!("f.public_id = $2"))
        .bind(tenant.0)
        .bind(id.uuid())
        .fetch_optional(scope.connection())
        .await?
        .ok_or_else(|| AccountError::NotFound(format!("project {id}")))
}

/// The same, which nobody else changes until the transaction ends; nor are keys of it made.
async fn lock(scope: &mut Scope, id: PublicProjectId) -> Result<Project, AccountError> {
    let tenant = scope.tenant();
    sqlx::query_as(select!("f.public_id = $2 FOR NO KEY UPDATE OF f"))
        .bind(tenant.0)
        .bind(id.uuid())
        .fetch_optional(scope.connection())
        .await?
        .ok_or_else(|| AccountError::NotFound(format!("project {id}")))
}

/// Renames a project, archives it, or takes it out of the archive.
///
/// # Errors
/// [`AccountError`]; [`AccountError::Conflict`] if it is to be archived and has keys that are good.
pub async fn change(
    scope: &mut Scope,
    id: PublicProjectId,
    change: &ProjectChange,
) -> Result<Project, AccountError> {
    change.name.as_deref().map_or(Ok(()), check::name)?;
    let before = lock(scope, id).await?;
    scope.check(&before)?;
    let (tenant, now) = (scope.tenant(), scope.now());
    if let Some(name) = &change.name {
        rename(scope, before.number, name).await?;
    }
    if let Some(archived) = change.archived.filter(|archived| *archived != before.archived_at.is_some()) {
        if archived && keys_of_project::live_of(scope, ProjectId(before.number)).await? > 0 {
            let rule = format!("project {} has keys that are good: revoke them first", before.name);
            return Err(AccountError::Conflict(rule));
        }
        sqlx::query("UPDATE project_profile SET archived_at = $3 WHERE tenant_id = $1 AND project_id = $2")
            .bind(tenant.0)
            .bind(before.number)
            .bind(archived.then_some(now))
            .execute(scope.connection())
            .await?;
    }
    let after = show(scope, id).await?;
    scope.note(Note::new("project.change", id).before(&before).after(&after));
    Ok(after)
}

async fn rename(scope: &mut Scope, number: i64, name: &str) -> Result<(), AccountError> {
    let tenant = scope.tenant();
    sqlx::query("UPDATE project SET name = $3 WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.0)
        .bind(number)
        .bind(name)
        .execute(scope.connection())
        .await
        .map_err(AccountError::of_insert(|| format!("project {name}")))?;
    Ok(())
}

/// Deletes a project: its keys are revoked, and its name is free. What it has stored stays, as long as the plan keeps
/// events, and so does its usage: a bill that was written can still be proved.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn delete(scope: &mut Scope, id: PublicProjectId) -> Result<(), AccountError> {
    let before = lock(scope, id).await?;
    scope.check(&before)?;
    let (tenant, now) = (scope.tenant(), scope.now());
    let revoked = keys_of_project::revoke_all_of(scope, ProjectId(before.number)).await?;
    rename(scope, before.number, &format!("deleted {id}")).await?;
    sqlx::query("UPDATE project_profile SET deleted_at = $3 WHERE tenant_id = $1 AND project_id = $2")
        .bind(tenant.0)
        .bind(before.number)
        .bind(now)
        .execute(scope.connection())
        .await?;
    let after = serde_json::json!({"revoked_keys": revoked});
    scope.note(Note::new("project.delete", id).before(&before).after(&after));
    Ok(())
}
