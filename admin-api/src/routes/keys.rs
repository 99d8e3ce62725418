use accounts::key::{self, Key, MadeKey, NewKey};
use accounts::{AccountError, Page, Scope};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemas::id::KeyId;

use crate::api::Api;
use crate::auth::InTenant;
use crate::input::{Body, Paging};
use crate::reply::{Answer, Created, Refused, created};

pub(super) async fn list(InTenant { mut scope, .. }: InTenant, Paging(asked): Paging) -> Answer<Page<Key>> {
    Ok(Json(key::list(&mut scope, &asked).await?))
}

pub(super) async fn create(
    InTenant { mut scope, .. }: InTenant,
    Body(new): Body<NewKey>,
) -> Created<MadeKey> {
    let made = key::create(&mut scope, &new).await?;
    scope.commit().await?;
    created(made)
}

pub(super) async fn revoke(
    InTenant { scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    revoke_in(scope, parsed(&id)?).await
}

/// Of whichever tenant the key is.
pub(super) async fn revoke_any(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let id = parsed(&id)?;
    let mut platform = api.platform().await?;
    let tenant = key::tenant_of(&mut platform, id).await?;
    revoke_in(platform.enter(tenant).await?, id).await
}

fn parsed(id: &str) -> Result<KeyId, AccountError> {
    id.parse().map_err(|_| AccountError::NotFound(format!("key {id}")))
}

async fn revoke_in(mut scope: Scope, id: KeyId) -> Result<StatusCode, Refused> {
    key::revoke(&mut scope, id).await?;
    scope.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
