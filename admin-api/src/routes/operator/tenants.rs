use accounts::tenant::{self, NewTenant, Tenant, TenantChange};
use accounts::{Impersonation, Page};
use axum::Json;
use axum::extract::{Path, State};

use crate::api::Api;
use crate::auth::{OnPlatform, PlatformPerson, authenticator};
use crate::input::{Body, Paging};
use crate::reply::{Answer, Created, created};

pub(in crate::routes) async fn list(
    OnPlatform(mut scope): OnPlatform,
    Paging(asked): Paging,
) -> Answer<Page<Tenant>> {
    Ok(Json(tenant::list(&mut scope, &asked).await?))
}

pub(in crate::routes) async fn create(
    OnPlatform(mut scope): OnPlatform,
    Body(new): Body<NewTenant>,
) -> Created<Tenant> {
    let tenant = tenant::create(&mut scope, &new).await?;
    scope.commit().await?;
    created(tenant)
}

pub(in crate::routes) async fn change(
    OnPlatform(scope): OnPlatform,
    Path(tenant): Path<String>,
    Body(change): Body<TenantChange>,
) -> Answer<Tenant> {
    let mut scope = tenant::enter(scope, &tenant).await?;
    let tenant = tenant::change(&mut scope, &change).await?;
    scope.commit().await?;
    Ok(Json(tenant))
}

pub(in crate::routes) async fn impersonate(
    State(api): State<Api>,
    PlatformPerson(person): PlatformPerson,
    Path(tenant): Path<String>,
) -> Answer<Impersonation> {
    Ok(Json(authenticator(&api)?.impersonate(person, &tenant).await?))
}
