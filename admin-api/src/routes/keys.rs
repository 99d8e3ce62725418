use accounts::AccountError;
use accounts::key::{self, Key, MadeKey, NewKey};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemas::id::KeyId;

use crate::api::Api;
use crate::reply::{Answer, Body, Created, Refused, created};

pub(super) async fn list(State(api): State<Api>, Path(tenant): Path<String>) -> Answer<Vec<Key>> {
    let id = api.tenant_id(&tenant).await?;
    Ok(Json(key::list(&api.pool, id).await?))
}

pub(super) async fn create(
    State(api): State<Api>,
    Path(tenant): Path<String>,
    Body(new): Body<NewKey>,
) -> Created<MadeKey> {
    let id = api.tenant_id(&tenant).await?;
    created(key::create(&api.pool, id, &new).await?)
}

pub(super) async fn revoke(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let id: KeyId = id.parse().map_err(|_| AccountError::NotFound(format!("key {id}")))?;
    key::revoke(&api.pool, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
