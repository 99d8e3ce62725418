//! Projects: the streams of a tenant.

use schemas::id::{ProjectId, TenantId};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};

use super::tenant::check_name;
use crate::error::AdminError;

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

/// Makes a project.
///
/// # Errors
/// [`AdminError`].
pub async fn create(pool: &PgPool, tenant: TenantId, name: &str) -> Result<Project, AdminError> {
    check_name(name)?;
    let mut connection = pool.acquire().await?;
    let id = insert(&mut connection, tenant, name).await?;
    Ok(Project { id: id.0, name: name.to_owned() })
}

pub(super) async fn insert(
    connection: &mut PgConnection,
    tenant: TenantId,
    name: &str,
) -> Result<ProjectId, AdminError> {
    sqlx::query_scalar("INSERT INTO project (tenant_id, name) VALUES ($1, $2) RETURNING id")
        .bind(tenant.0)
        .bind(name)
        .fetch_one(connection)
        .await
        .map(ProjectId)
        .map_err(AdminError::of_insert(|| format!("project {name}")))
}

/// The tenant's projects by id.
///
/// # Errors
/// If Postgres fails.
pub async fn list(pool: &PgPool, tenant: TenantId) -> Result<Vec<Project>, AdminError> {
    Ok(sqlx::query_as("SELECT id, name FROM project WHERE tenant_id = $1 ORDER BY id")
        .bind(tenant.0)
        .fetch_all(pool)
        .await?)
}

/// The tenant's project of that name.
///
/// # Errors
/// [`AdminError::NotFound`].
pub async fn find(pool: &PgPool, tenant: TenantId, name: &str) -> Result<ProjectId, AdminError> {
    sqlx::query_scalar("SELECT id FROM project WHERE tenant_id = $1 AND name = $2")
        .bind(tenant.0)
        .bind(name)
        .fetch_optional(pool)
        .await?
        .map(ProjectId)
        .ok_or_else(|| AdminError::NotFound(format!("project {name}")))
}
