//! Plans.

use serde::Serialize;
use sqlx::{FromRow, PgPool};

use crate::error::AdminError;

/// What a tenant may send, by the name under which it is sold.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Events a period; `None`: no cap.
    pub quota: Option<i64>,
    /// Events a second; `None`: no limit.
    pub rate: Option<i64>,
}

/// All plans by name.
///
/// # Errors
/// If Postgres fails.
pub async fn list(pool: &PgPool) -> Result<Vec<Plan>, AdminError> {
    Ok(sqlx::query_as("SELECT name, quota, rate FROM plan ORDER BY name").fetch_all(pool).await?)
}

/// Makes a plan, or changes the one of that name, for all its tenants at once.
///
/// # Errors
/// [`AdminError::Invalid`] for a negative quota, or a rate below 1.
pub async fn put(pool: &PgPool, plan: &Plan) -> Result<(), AdminError> {
    super::tenant::check_name(&plan.name)?;
    super::tenant::check_limits(plan.quota, plan.rate)?;
    sqlx::query(
        "INSERT INTO plan (name, quota, rate) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET quota = excluded.quota, rate = excluded.rate",
    )
    .bind(&plan.name)
    .bind(plan.quota)
    .bind(plan.rate)
    .execute(pool)
    .await?;
    Ok(())
}
