use accounts::tenant::{self, NewTenant, Tenant, TenantChange};
use accounts::{Impersonation, Limit, Page, PageRequest};
use axum::Json;
use axum::extract::{Path, State};
use schemas::lifecycle::TenantTransition;
use serde::Deserialize;

use super::Reason;
use crate::api::Api;
use crate::auth::{OnPlatform, PlatformPerson, authenticator};
use crate::input::{Body, Parameters};
use crate::reply::{Answer, Created, created};

/// Which page of which tenants.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct Asked {
    /// The beginning of a slug, of a name or of a member's address; or a public id or number.
    q: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

/// A tenant's own limits; `null`: the plan's. Both are always named, so that none is dropped by leaving it out.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantLimits)]
pub(in crate::routes) struct Limits {
    #[serde(deserialize_with = "Limit::deserialize")]
    #[schema(value_type = Option<i64>, required)]
    quota: Limit<i64>,
    #[serde(deserialize_with = "Limit::deserialize")]
    #[schema(value_type = Option<i64>, required)]
    rate: Limit<i64>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct OnPlan {
    plan: String,
}

pub(in crate::routes) async fn list(
    OnPlatform(mut scope): OnPlatform,
    Parameters(Asked { q, limit, cursor }): Parameters<Asked>,
) -> Answer<Page<Tenant>> {
    Ok(Json(tenant::list(&mut scope, q.as_deref(), &PageRequest::new(limit, cursor)?).await?))
}

pub(in crate::routes) async fn show(
    OnPlatform(scope): OnPlatform,
    Path(tenant): Path<String>,
) -> Answer<Tenant> {
    Ok(Json(tenant::show(&mut tenant::enter(scope, &tenant).await?).await?))
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

pub(in crate::routes) async fn limit(
    scope: OnPlatform,
    tenant: Path<String>,
    Body(Limits { quota, rate }): Body<Limits>,
) -> Answer<Tenant> {
    let limits = TenantChange { quota: Some(quota), rate: Some(rate), ..TenantChange::default() };
    change(scope, tenant, Body(limits)).await
}

pub(in crate::routes) async fn put_on_plan(
    scope: OnPlatform,
    tenant: Path<String>,
    Body(OnPlan { plan }): Body<OnPlan>,
) -> Answer<Tenant> {
    change(scope, tenant, Body(TenantChange { plan: Some(plan), ..TenantChange::default() })).await
}

async fn transit(
    OnPlatform(scope): OnPlatform,
    Path(tenant): Path<String>,
    transition: TenantTransition,
    Body(Reason { reason }): Body<Reason>,
) -> Answer<Tenant> {
    let mut scope = tenant::enter(scope, &tenant).await?;
    let tenant = tenant::operate(&mut scope, transition, &reason).await?;
    scope.commit().await?;
    Ok(Json(tenant))
}

macro_rules! transitions {
    ($($name:ident $transition:ident),+) => {$(
        pub(in crate::routes) async fn $name(
            scope: OnPlatform,
            tenant: Path<String>,
            reason: Body<Reason>,
        ) -> Answer<Tenant> {
            transit(scope, tenant, TenantTransition::$transition, reason).await
        }
    )+};
}

transitions!(freeze Freeze, thaw Thaw, close Close, reopen Reopen);

pub(in crate::routes) async fn impersonate(
    State(api): State<Api>,
    PlatformPerson(person): PlatformPerson,
    Path(tenant): Path<String>,
) -> Answer<Impersonation> {
    Ok(Json(authenticator(&api)?.impersonate(person, &tenant).await?))
}
