use accounts::key::{self, Key, MadeKey, NewKey};
use accounts::{AccountError, Page};
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use schemas::id::KeyId;
use serde::Deserialize;

use crate::auth::InTenant;
use crate::input::{Body, Paging};
use crate::reply::{Answer, CreatedSecret, Refused, created_secret};

/// How a key is rotated.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// Hours for which the old key stays good, 0 to 720.
    overlap_hours: u16,
}
pub(super) async fn list(InTenant { mut scope, .. }: InTenant, Paging(asked): Paging) -> Answer<Page<Key>> {
    Ok(Json(key::list(&mut scope, &asked).await?))
}

pub(super) async fn create(
    InTenant { mut scope, .. }: InTenant,
    Body(new): Body<NewKey>,
) -> CreatedSecret<MadeKey> {
    let made = key::create(&mut scope, &new).await?;
    let shown = key::find(&mut scope, made.made.id).await?;
    scope.commit().await?;
    created_secret(made, &shown)
}

pub(super) async fn show(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Answer<Key> {
    Ok(Json(key::find(&mut scope, parsed(&id)?).await?))
}

/// The new key's text is in this reply alone.
pub(super) async fn rotate(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
    Body(Rotation { overlap_hours }): Body<Rotation>,
) -> CreatedSecret<MadeKey> {
    let made = key::rotate(&mut scope, parsed(&id)?, overlap_hours).await?;
    let shown = key::find(&mut scope, made.made.id).await?;
    scope.commit().await?;
    created_secret(made, &shown)
}

pub(super) async fn revoke(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    key::revoke(&mut scope, parsed(&id)?).await?;
    scope.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn parsed(id: &str) -> Result<KeyId, AccountError> {
    id.parse().map_err(|_| AccountError::NotFound(format!("key {id}")))
}
