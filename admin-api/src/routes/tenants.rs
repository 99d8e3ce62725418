use accounts::tenant::{self, NewTenant, Tenant, TenantChange};
use axum::Json;
use axum::extract::{Path, State};

use crate::api::Api;
use crate::reply::{Answer, Body, Created, created};

pub(super) async fn list(State(api): State<Api>) -> Answer<Vec<Tenant>> {
    Ok(Json(tenant::list(&api.pool).await?))
}

pub(super) async fn create(State(api): State<Api>, Body(new): Body<NewTenant>) -> Created<Tenant> {
    created(tenant::create(&api.pool, &new).await?)
}

pub(super) async fn show(State(api): State<Api>, Path(tenant): Path<String>) -> Answer<Tenant> {
    Ok(Json(tenant::find(&api.pool, &tenant).await?))
}

pub(super) async fn change(
    State(api): State<Api>,
    Path(tenant): Path<String>,
    Body(change): Body<TenantChange>,
) -> Answer<Tenant> {
    let id = api.tenant_id(&tenant).await?;
    Ok(Json(tenant::change(&api.pool, id, &change).await?))
}
