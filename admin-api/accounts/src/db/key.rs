//! API keys. Each permits to write events of one project, and nothing else: ingest knows no other scope.

mod rotate;

use chrono::{DateTime, Utc};
use clap::Args;
use schemas::id::{KeyId, TenantId};
use schemas::key::{ApiKey, PresentedKey};
use schemas::public_id::PublicProjectId;
use serde::{Deserialize, Serialize};
use service::store::changed;

use super::project::{self, Project};
use super::tenant;
use crate::check;
use crate::db::chain::Note;
use crate::db::scope::{PlatformScope, Scope};
use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};

pub use rotate::{OVERLAP_HOURS_MAX, rotate};

/// What a key permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum KeyScope {
    /// To write events.
    #[serde(rename = "events:write")]
    EventsWrite,
}

/// A key to be made.
#[derive(Debug, Clone, Default, Deserialize, Args, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[group(skip)]
pub struct NewKey {
    /// The project that its events belong to, by name or id; `default` without it
    #[arg(long)]
    pub project: Option<String>,
    /// From when it is refused, as in 2027-01-31T00:00:00Z, in 9999 at the latest; never without it
    #[arg(long, value_name = "TIME")]
    pub expires_at: Option<DateTime<Utc>>,
    /// What people call it
    #[serde(default)]
    #[arg(long)]
    pub name: Option<String>,
    /// What it permits.
    #[serde(default)]
    #[arg(skip)]
    pub scopes: Option<Vec<KeyScope>>,
}

/// A key that was just made. The only place where its text is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MadeKey {
    /// What was made.
    #[serde(flatten)]
    pub made: Key,
    /// Its whole text.
    pub key: String,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Key {
    /// Its public part.
    pub id: KeyId,
    /// What people call it; empty: nothing.
    pub name: String,
    /// The project that its events belong to.
    pub project: PublicProjectId,
    /// The project's name.
    pub project_name: String,
    /// What it permits.
    #[schema(value_type = Vec<KeyScope>)]
    pub scopes: [KeyScope; 1],
    /// Who made it; `None`: that was not noted then.
    pub created_by: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when it is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since when it is refused.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, half a minute more or less.
    pub last_used_at: Option<DateTime<Utc>>,
    /// The key that a rotation made in its place.
    pub replaced_by: Option<KeyId>,
}

type Time = Option<DateTime<Utc>>;
type Row =
    (i64, Option<String>, uuid::Uuid, String, Option<String>, DateTime<Utc>, Time, Time, Time, Option<i64>);

fn key(
    (
        id,
        name,
        project,
        project_name,
        created_by,
        created_at,
        expires_at,
        revoked_at,
        last_used_at,
        replaced_by,
    ): Row,
) -> Option<Key> {
    Some(Key {
        id: KeyId::from_number(id)?,
        name: name.unwrap_or_default(),
        project: project.into(),
        project_name,
        scopes: [KeyScope::EventsWrite],
        created_by,
        created_at,
        expires_at,
        revoked_at,
        last_used_at,
        replaced_by: replaced_by.and_then(KeyId::from_number),
    })
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT k.id, n.name, f.public_id, p.name, nullif(n.created_by, ''), k.created_at, k.expires_at,
                    k.revoked_at, k.last_used_at, n.replaced_by
             FROM api_key k JOIN project p ON (p.tenant_id, p.id) = (k.tenant_id, k.project_id)
             JOIN project_profile f ON (f.tenant_id, f.project_id) = (k.tenant_id, k.project_id)
             LEFT JOIN key_profile n ON (n.tenant_id, n.key_id) = (k.tenant_id, k.id)
             WHERE k.tenant_id = $1 AND ",
            $rest
        )
    };
}

/// Makes a key.
///
/// # Errors
/// [`AccountError`]; [`AccountError::Conflict`] if the project is archived, or the tenant closed or deleted.
pub async fn create(scope: &mut Scope, new: &NewKey) -> Result<MadeKey, AccountError> {
    new.name.as_deref().filter(|name| !name.is_empty()).map_or(Ok(()), check::name)?;
    if new.scopes.as_ref().is_some_and(|scopes| scopes.as_slice() != [KeyScope::EventsWrite]) {
        return Err(AccountError::Invalid("scopes of a key are events:write, and no other".to_owned()));
    }
    check::time("expires_at", new.expires_at)?;
    let project = project::named(scope, new.project.as_deref().unwrap_or(project::DEFAULT)).await?;
    let made = insert(scope, &project, new.name.as_deref().unwrap_or_default(), new.expires_at).await?;
    scope.note(Note::new("key.create", format!("key {}", made.made.id)).after(&made.made));
    Ok(made)
}

/// Writes a new key of a project, which can't be archived or deleted before the transaction ends.
async fn insert(
    scope: &mut Scope,
    project: &Project,
    name: &str,
    expires_at: Option<DateTime<Utc>>,
) -> Result<MadeKey, AccountError> {
    let (tenant, created_by) = (scope.tenant(), scope.caller().actor.to_string());
    hold(scope, project).await?;
    let key = ApiKey::generate();
    let presented =
        PresentedKey::parse(key.expose()).map_err(|error| AccountError::Invalid(error.to_string()))?;
    let made = sqlx::query(
        "INSERT INTO api_key (id, tenant_id, project_id, hash, expires_at)
         SELECT $1, $2, $3, $4, $5 WHERE $5 IS NULL OR $5 > now()",
    )
    .bind(presented.id.number())
    .bind(tenant.0)
    .bind(project.number)
    .bind(presented.hash.0.as_slice())
    .bind(expires_at)
    .execute(scope.connection())
    .await
    .map_err(AccountError::of_insert(|| format!("key {}", presented.id)))?;
    if made.rows_affected() == 0 {
        return Err(AccountError::member("expires_at", "expires_at must lie in the future"));
    }
    sqlx::query(
        "INSERT INTO key_profile (tenant_id, project_id, key_id, name, created_by) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(tenant.0)
    .bind(project.number)
    .bind(presented.id.number())
    .bind(name)
    .bind(created_by)
    .execute(scope.connection())
    .await?;
    let made = find(scope, presented.id).await?;
    Ok(MadeKey { made, key: key.expose().to_owned() })
}

/// Keeps a project from being archived or deleted until the transaction ends. Who locks keys of it does so afterwards.
///
/// # Errors
/// [`AccountError::Conflict`] if it is archived, or its tenant gets no keys.
async fn hold(scope: &mut Scope, project: &Project) -> Result<(), AccountError> {
    tenant::takes_keys(scope).await?;
    let open = sqlx::query(
        "SELECT FROM project_profile WHERE tenant_id = $1 AND project_id = $2 AND archived_at IS NULL
         AND deleted_at IS NULL FOR SHARE",
    );
    let open = open.bind(scope.tenant().0).bind(project.number);
    if open.fetch_optional(scope.connection()).await?.is_some() {
        return Ok(());
    }
    Err(AccountError::Conflict(format!("project {} takes no new keys: it is archived", project.name)))
}

/// Revokes a key, for good. A key that was revoked stays so, since when it was.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn revoke(scope: &mut Scope, key: KeyId) -> Result<(), AccountError> {
    let tenant = scope.tenant();
    scope.lock("api_key", key.number()).await?;
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

impl Listed for Key {
    const LIST: &'static str = "keys";
    type Key = (DateTime<Utc>, i64);

    fn key(&self) -> Self::Key {
        (self.created_at, self.id.number())
    }
}

/// A page of the scope's keys, the oldest first.
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

/// One key.
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
