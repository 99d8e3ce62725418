//! API keys.

use chrono::{DateTime, Utc};
use clap::Args;
use schemas::id::{KeyId, TenantId};
use schemas::key::{ApiKey, PresentedKey};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::error::AccountError;

/// A key to be made.
#[derive(Debug, Clone, Default, Deserialize, Args)]
#[serde(deny_unknown_fields)]
#[group(skip)]
pub struct NewKey {
    /// The project that its events belong to; `default` without it
    #[arg(long)]
    pub project: Option<String>,
    /// From when it is refused, as in 2027-01-31T00:00:00Z; never without it
    #[arg(long, value_name = "TIME")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key that was just made. The only place where its text is.
#[derive(Debug, Serialize)]
pub struct MadeKey {
    /// Its public part.
    pub id: KeyId,
    /// Its whole text.
    pub key: String,
}

/// A key as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Its public part.
    pub id: KeyId,
    /// Its project's name.
    pub project: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when it is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since when it is refused.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, half a minute more or less.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Makes a key.
///
/// # Errors
/// [`AccountError`].
pub async fn create(pool: &PgPool, tenant: TenantId, new: &NewKey) -> Result<MadeKey, AccountError> {
    let name = new.project.as_deref().unwrap_or(super::project::DEFAULT);
    let project = super::project::find(pool, tenant, name).await?;
    let key = ApiKey::generate();
    let presented =
        PresentedKey::parse(key.expose()).map_err(|error| AccountError::Invalid(error.to_string()))?;
    let made = sqlx::query(
        "INSERT INTO api_key (id, tenant_id, project_id, hash, expires_at)
         SELECT $1, $2, $3, $4, $5 WHERE $5 IS NULL OR $5 > now()",
    )
    .bind(presented.id.number())
    .bind(tenant.0)
    .bind(project.0)
    .bind(presented.hash.0.as_slice())
    .bind(new.expires_at)
    .execute(pool)
    .await
    .map_err(AccountError::of_insert(|| format!("key {}", presented.id)))?;
    if made.rows_affected() == 0 {
        return Err(AccountError::Invalid("expires_at must lie in the future".to_owned()));
    }
    Ok(MadeKey { id: presented.id, key: key.expose().to_owned() })
}

/// Revokes a key, for ever. A key that was revoked stays so, since when it was.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn revoke(pool: &PgPool, key: KeyId) -> Result<(), AccountError> {
    let revoked = sqlx::query("UPDATE api_key SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1")
        .bind(key.number())
        .execute(pool)
        .await?;
    if revoked.rows_affected() == 0 {
        return Err(AccountError::NotFound(format!("key {key}")));
    }
    Ok(())
}

/// The tenant's keys, the oldest first.
///
/// # Errors
/// If Postgres fails.
pub async fn list(pool: &PgPool, tenant: TenantId) -> Result<Vec<Key>, AccountError> {
    type Time = Option<DateTime<Utc>>;
    type Row = (i64, String, DateTime<Utc>, Time, Time, Time);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT k.id, p.name, k.created_at, k.expires_at, k.revoked_at, k.last_used_at
         FROM api_key k JOIN project p ON p.id = k.project_id WHERE k.tenant_id = $1 ORDER BY k.created_at, k.id",
    )
    .bind(tenant.0)
    .fetch_all(pool)
    .await?;
    let key = |(id, project, created_at, expires_at, revoked_at, last_used_at): Row| {
        Some(Key { id: KeyId::from_number(id)?, project, created_at, expires_at, revoked_at, last_used_at })
    };
    Ok(rows.into_iter().filter_map(key).collect())
}
