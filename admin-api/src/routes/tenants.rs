use accounts::tenant::{self, Tenant, TenantSettings};
use axum::Json;

use crate::auth::InTenant;
use crate::input::Body;
use crate::reply::Answer;

pub(super) async fn show(InTenant { mut scope, .. }: InTenant) -> Answer<Tenant> {
    Ok(Json(tenant::show(&mut scope).await?))
}

pub(super) async fn set(
    InTenant { mut scope, .. }: InTenant,
    Body(settings): Body<TenantSettings>,
) -> Answer<Tenant> {
    let tenant = tenant::set(&mut scope, &settings).await?;
    scope.commit().await?;
    Ok(Json(tenant))
}

/// The tenant, with when it was deleted.
pub(super) async fn delete(InTenant { mut scope, grants }: InTenant) -> Answer<Tenant> {
    let tenant = tenant::delete(&mut scope, &grants).await?;
    scope.commit().await?;
    Ok(Json(tenant))
}

pub(super) async fn restore(InTenant { mut scope, grants }: InTenant) -> Answer<Tenant> {
    let tenant = tenant::restore(&mut scope, &grants).await?;
    scope.commit().await?;
    Ok(Json(tenant))
}
