//! Tokens for machines that call the admin API. A token stands for who made it, and never for more.

mod good;

use chrono::{DateTime, TimeDelta, Utc};
use schemas::permission::Permission;
use schemas::public_id::{MachineTokenId, MembershipId};
use serde::{Deserialize, Serialize};
use service::store::changed;

use crate::caller::Actor;
use crate::check;
use crate::db::chain::Note;
use crate::db::scope::Scope;
use crate::db::tenant;
use crate::error::AccountError;
use crate::grants::Grants;
use crate::page::{Listed, Page, PageRequest};
use crate::random::Random;
use crate::secret::{Purpose, SecretText};

use good::{Capacity, is_of_token};
pub(crate) use good::{find_good, grants_of_maker, note_use};

/// How long a token may be good for at most.
const LIFE_DAYS_MAX: i64 = 366;

/// A token to be made.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is called.
    pub name: String,
    /// What it permits.
    pub permissions: Vec<Permission>,
    /// From when it is refused: within a year.
    pub expires_at: DateTime<Utc>,
}

/// A token, as members see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct MachineToken {
    /// Its id.
    pub id: MachineTokenId,
    /// What it is called.
    pub name: String,
    /// What it permits.
    pub permissions: Vec<Permission>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// From when it is refused.
    pub expires_at: DateTime<Utc>,
    /// Since when it is refused, because somebody revoked it.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, a minute more or less.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A token that was just made. The only place where its text is.
#[derive(Debug)]
pub struct MadeToken {
    /// What was made.
    pub token: MachineToken,
    /// Its text.
    pub secret: SecretText,
}

/// Makes a token. What it permits at each use is what it was made for and its maker may do at that moment.
///
/// # Errors
/// [`AccountError::Invalid`] for a permission that its maker does not have, an end that is past, far away or later than
/// that of the token that asks, or if a token made the one that asks; [`AccountError::Conflict`] if the tenant is
/// closed or deleted.
pub async fn create(
    scope: &mut Scope,
    random: &Random,
    by: &Grants,
    new: &NewToken,
) -> Result<MadeToken, AccountError> {
    check::name(&new.name)?;
    let (tenant, now, created_by) = (scope.tenant(), scope.now(), scope.caller().actor.to_string());
    if new.expires_at <= now || new.expires_at > now + TimeDelta::days(LIFE_DAYS_MAX) {
        let rule = format!("expires_at lies in the future, and at most {LIFE_DAYS_MAX} days away");
        return Err(AccountError::member("expires_at", rule));
    }
    if let Some(more) = new.permissions.iter().find(|permission| !by.may(**permission)) {
        let rule = format!("a token of yours can't hold {more}, which you do not have");
        return Err(AccountError::member("permissions", rule));
    }
    if let Actor::Token(parent) = scope.caller().actor {
        hold_to_parent(&find(scope, parent).await?, new)?;
    }
    tenant::takes_keys(scope).await?;
    let (id, secret) =
        (MachineTokenId::of_random(random.bytes()), SecretText::make(Purpose::MachineToken, random));
    let mut permissions = new.permissions.clone();
    permissions.sort_unstable();
    permissions.dedup();
    let words: Vec<&str> = permissions.iter().map(|permission| permission.as_str()).collect();
    sqlx::query(
        "INSERT INTO machine_token (tenant_id, id, name, hash, permissions, created_by, created_at, expires_at,
             capacity, membership_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(tenant.0)
    .bind(id.uuid())
    .bind(&new.name)
    .bind(secret.hash().as_slice())
    .bind(words)
    .bind(&created_by)
    .bind(now)
    .bind(new.expires_at)
    .bind(Capacity::of(by).as_str())
    .bind(by.membership.map(MembershipId::uuid))
    .execute(scope.connection())
    .await
    .map_err(AccountError::of_insert(|| format!("token {}", new.name)))?;
    let token = MachineToken {
        id,
        name: new.name.clone(),
        permissions,
        created_by,
        created_at: now,
        expires_at: new.expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    scope.note(Note::new("token.create", id).after(&token));
    Ok(MadeToken { token, secret })
}

/// A token that a token makes ends with it, so that none renews itself.
fn hold_to_parent(parent: &MachineToken, new: &NewToken) -> Result<(), AccountError> {
    if is_of_token(&parent.created_by) {
        return Err(AccountError::Invalid("a token that a token made makes no other".to_owned()));
    }
    if new.expires_at > parent.expires_at {
        let rule = format!("expires_at is at most that of the token that asks, {}", parent.expires_at);
        return Err(AccountError::member("expires_at", rule));
    }
    Ok(())
}

type Row = (
    uuid::Uuid,
    String,
    Vec<String>,
    String,
    DateTime<Utc>,
    DateTime<Utc>,
    Option<DateTime<Utc>>,
    Option<DateTime<Utc>>,
);

fn token(
    (id, name, words, created_by, created_at, expires_at, revoked_at, last_used_at): Row,
) -> MachineToken {
    let (id, permissions) = (id.into(), words.iter().filter_map(|word| word.parse().ok()).collect());
    MachineToken { id, name, permissions, created_by, created_at, expires_at, revoked_at, last_used_at }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, permissions, created_by, created_at, expires_at, revoked_at, last_used_at
             FROM machine_token WHERE tenant_id = $1 AND ",
            $rest
        )
    };
}

/// One token.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find(scope: &mut Scope, id: MachineTokenId) -> Result<MachineToken, AccountError> {
    let tenant = scope.tenant();
    let row: Option<Row> = sqlx::query_as(select!("id = $2"))
        .bind(tenant.0)
        .bind(id.uuid())
        .fetch_optional(scope.connection())
        .await?;
    row.map(token).ok_or_else(|| AccountError::NotFound(format!("token {id}")))
}

impl Listed for MachineToken {
    const LIST: &'static str = "tokens";
    type Key = (DateTime<Utc>, uuid::Uuid);

    fn key(&self) -> Self::Key {
        (self.created_at, self.id.uuid())
    }
}

/// A page of the tenant's tokens, the newest first.
///
/// # Errors
/// [`AccountError`].
pub async fn list(scope: &mut Scope, asked: &PageRequest) -> Result<Page<MachineToken>, AccountError> {
    let (tenant, before) = (scope.tenant(), asked.after::<MachineToken>()?);
    let rows: Vec<Row> = sqlx::query_as(select!(
        "($2::timestamptz IS NULL OR (created_at, id) < ($2, $3)) ORDER BY created_at DESC, id DESC LIMIT $4"
    ))
    .bind(tenant.0)
    .bind(before.map(|(at, _)| at))
    .bind(before.map(|(_, id)| id))
    .bind(asked.rows())
    .fetch_all(scope.connection())
    .await?;
    Ok(asked.page(rows.into_iter().map(token).collect()))
}

/// Revokes a token. One that was revoked stays so, since when it was.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn revoke(scope: &mut Scope, id: MachineTokenId) -> Result<(), AccountError> {
    let (tenant, now) = (scope.tenant(), scope.now());
    scope.lock("machine_token", id.uuid()).await?;
    let before = find(scope, id).await?;
    scope.check(&before)?;
    let revoked = sqlx::query(
        "UPDATE machine_token SET revoked_at = coalesce(revoked_at, $3) WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(id.uuid())
    .bind(now)
    .execute(scope.connection())
    .await?;
    changed(&revoked, 1)?;
    scope.note(Note::new("token.revoke", id));
    Ok(())
}
