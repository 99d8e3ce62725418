use accounts::Page;
use accounts::tenant::{self, NewTenant, Tenant, TenantChange};
use axum::Json;
use axum::extract::{Path, State};

use crate::api::Api;
use crate::auth::InTenant;
use crate::input::{Body, Paging};
use crate::reply::{Answer, Created, created};

pub(super) async fn list(State(api): State<Api>, Paging(asked): Paging) -> Answer<Page<Tenant>> {
    Ok(Json(tenant::list(&mut api.platform().await?, &asked).await?))
}

pub(super) async fn create(State(api): State<Api>, Body(new): Body<NewTenant>) -> Created<Tenant> {
    let mut scope = api.platform().await?;
    let tenant = tenant::create(&mut scope, &new).await?;
    scope.commit().await?;
    created(tenant)
}

pub(super) async fn show(InTenant { mut scope, .. }: InTenant) -> Answer<Tenant> {
    Ok(Json(tenant::show(&mut scope).await?))
}

pub(super) async fn change(
    State(api): State<Api>,
    Path(tenant): Path<String>,
    Body(change): Body<TenantChange>,
) -> Answer<Tenant> {
    let mut scope = api.tenant(&tenant).await?;
    let tenant = tenant::change(&mut scope, &change).await?;
    scope.commit().await?;
    Ok(Json(tenant))
}
