//! Projects: the streams of a tenant.

use clap::Args;
use schemas::id::{ProjectId, TenantId};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::check;
use crate::db::chain::Note;
use crate::db::scope::Scope;
use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};

/// The project that every tenant begins with.
pub const DEFAULT: &str = "default";

/// A project as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Project {
    /// Its id.
    pub id: i64,
    /// Its name, unique within the tenant.
    pub name: String,
}

service::from_row!(Project { id, name });

/// A project to be made.
#[derive(Debug, Clone, Deserialize, Args)]
#[serde(deny_unknown_fields)]
#[group(skip)]
pub struct NewProject {
    /// Its name
    pub name: String,
}

/// Makes a project.
///
/// # Errors
/// [`AccountError`].
pub async fn create(scope: &mut Scope, name: &str) -> Result<Project, AccountError> {
    check::name(name)?;
    let tenant = scope.tenant();
    let id = insert(scope.connection(), tenant, name).await?;
    let project = Project { id: id.0, name: name.to_owned() };
    scope.note(Note::new("project.create", format!("project {id}")).after(&project));
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
    type Key = i64;

    fn key(&self) -> Self::Key {
        self.id
    }
}

/// A page of the tenant's projects, the oldest first.
///
/// # Errors
/// [`AccountError`].
pub async fn list(scope: &mut Scope, asked: &PageRequest) -> Result<Page<Project>, AccountError> {
    let (tenant, after) = (scope.tenant(), asked.after::<Project>()?);
    let rows = sqlx::query_as(
        "SELECT id, name FROM project WHERE tenant_id = $1 AND ($2::bigint IS NULL OR id > $2) ORDER BY id LIMIT $3",
    )
    .bind(tenant.0)
    .bind(after)
    .bind(asked.rows())
    .fetch_all(scope.connection())
    .await?;
    Ok(asked.page(rows))
}

/// The tenant's project of that name.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find(scope: &mut Scope, name: &str) -> Result<ProjectId, AccountError> {
    let tenant = scope.tenant();
    sqlx::query_scalar("SELECT id FROM project WHERE tenant_id = $1 AND name = $2")
        .bind(tenant.0)
        .bind(name)
        .fetch_optional(scope.connection())
        .await?
        .map(ProjectId)
        .ok_or_else(|| AccountError::NotFound(format!("project {name}")))
}
