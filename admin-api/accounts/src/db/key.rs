//! API keys.

use chrono::{DateTime, Utc};
use clap::Args;
use schemas::id::{KeyId, TenantId};
use schemas::key::{ApiKey, PresentedKey};
use serde::{Deserialize, Serialize};
use service::store::changed;

use crate::db::chain::Note;
use crate::db::scope::{PlatformScope, Scope};
use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};

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
pub async fn create(scope: &mut Scope, new: &NewKey) -> Result<MadeKey, AccountError> {
    let name = new.project.as_deref().unwrap_or(super::project::DEFAULT);
    let project = super::project::find(scope, name).await?;
    let key = ApiKey::generate();
    let presented =
        PresentedKey::parse(key.expose()).map_err(|error| AccountError::Invalid(error.to_string()))?;
    let made = sqlx::query(
        "INSERT INTO api_key (id, tenant_id, project_id, hash, expires_at)
         SELECT $1, $2, $3, $4, $5 WHERE $5 IS NULL OR $5 > now()",
    )
    .bind(presented.id.number())
    .bind(scope.tenant().0)
    .bind(project.0)
    .bind(presented.hash.0.as_slice())
    .bind(new.expires_at)
    .execute(scope.connection())
    .await
    .map_err(AccountError::of_insert(|| format!("key {}", presented.id)))?;
    if made.rows_affected() == 0 {
        return Err(AccountError::Invalid("expires_at must lie in the future".to_owned()));
    }
    let made = serde_json::json!({"project": name, "expires_at": new.expires_at});
    scope.note(Note::new("key.create", format!("key {}", presented.id)).after(&made));
    Ok(MadeKey { id: presented.id, key: key.expose().to_owned() })
}

/// Revokes a key, for good. A key that was revoked stays so, since when it was.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn revoke(scope: &mut Scope, key: KeyId) -> Result<(), AccountError> {
    let tenant = scope.tenant();
    sqlx::query("SELECT FROM api_key WHERE tenant_id = $1 AND id = $2 FOR UPDATE")
        .bind(tenant.0)
        .bind(key.number())
        .execute(scope.connection())
        .await?;
    let before = find(scope, key).await?;
    scope.check(&before)?;
    let revoked = sqlx::query(
        "UPDATE api_key SET revoked_at = coalesce(revoked_at, now()) WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(key.number())
    .execute(scope.connection())
    .await?;
    changed(&revoked, 1)?;
    scope.note(Note::new("key.revoke", format!("key {key}")));
    Ok(())
}

/// Whose key it is.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn tenant_of(scope: &mut PlatformScope, key: KeyId) -> Result<TenantId, AccountError> {
    sqlx::query_scalar("SELECT tenant_id FROM api_key WHERE id = $1")
        .bind(key.number())
        .fetch_optional(scope.connection())
        .await?
        .map(TenantId)
        .ok_or_else(|| AccountError::NotFound(format!("key {key}")))
}

type Time = Option<DateTime<Utc>>;
type Row = (i64, String, DateTime<Utc>, Time, Time, Time);

fn key((id, project, created_at, expires_at, revoked_at, last_used_at): Row) -> Option<Key> {
    Some(Key { id: KeyId::from_number(id)?, project, created_at, expires_at, revoked_at, last_used_at })
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT k.id, p.name, k.created_at, k.expires_at, k.revoked_at, k.last_used_at
             FROM api_key k JOIN project p ON p.id = k.project_id WHERE k.tenant_id = $1 AND ",
            $rest
        )
    };
}

/// One key of the tenant.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find(scope: &mut Scope, id: KeyId) -> Result<Key, AccountError> {
    let tenant = scope.tenant();
    let row: Option<Row> = sqlx::query_as(select!("k.id = $2"))
        .bind(tenant.0)
        .bind(id.number())
        .fetch_optional(scope.connection())
        .await?;
    row.and_then(key).ok_or_else(|| AccountError::NotFound(format!("key {id}")))
}

impl Listed for Key {
    const LIST: &'static str = "keys";
    type Key = (DateTime<Utc>, i64);

    fn key(&self) -> Self::Key {
        (self.created_at, self.id.number())
    }
}

/// A page of the tenant's keys, the oldest first.
///
/// # Errors
/// [`AccountError`].
pub async fn list(scope: &mut Scope, asked: &PageRequest) -> Result<Page<Key>, AccountError> {
    let (tenant, after) = (scope.tenant(), asked.after::<Key>()?);
    let rows: Vec<Row> = sqlx::query_as(select!(
        "($2::timestamptz IS NULL OR (k.created_at, k.id) > ($2, $3)) ORDER BY k.created_at, k.id LIMIT $4"
    ))
    .bind(tenant.0)
    .bind(after.map(|(at, _)| at))
    .bind(after.map(|(_, id)| id))
    .bind(asked.rows())
    .fetch_all(scope.connection())
    .await?;
    Ok(asked.page(rows.into_iter().filter_map(key).collect()))
}
