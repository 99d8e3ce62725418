use accounts::AccountError;
use accounts::erasure::{self, Erasure, NewErasure};
use axum::Json;
use axum::extract::{Path, State};

use crate::api::Api;
use crate::reply::{Answer, Body, Created, created};

pub(super) async fn create(
    State(api): State<Api>,
    Path(tenant): Path<String>,
    Body(new): Body<NewErasure>,
) -> Created<Erasure> {
    let tenant = api.tenant_id(&tenant).await?;
    created(erasure::create(&api.pool, tenant, &new).await?)
}

pub(super) async fn list(State(api): State<Api>, Path(tenant): Path<String>) -> Answer<Vec<Erasure>> {
    let tenant = api.tenant_id(&tenant).await?;
    Ok(Json(erasure::list(&api.pool, tenant).await?))
}

pub(super) async fn show(
    State(api): State<Api>,
    Path((tenant, id)): Path<(String, String)>,
) -> Answer<Erasure> {
    let tenant = api.tenant_id(&tenant).await?;
    let number = id.parse().map_err(|_| AccountError::NotFound(format!("erasure {id}")))?;
    Ok(Json(erasure::find(&api.pool, tenant, number).await?))
}
