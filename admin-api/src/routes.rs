//! The URL table, and handlers of a few lines each.

mod erasures;
mod outcomes;

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use billing::usage::{TenantUsage, of_tenant};
use schemas::id::{KeyId, TenantId};
use schemas::problem::{Code, Problem};
use schemas::time::Micros;
use serde::Deserialize;
use service::clock::Clock;
use service::config::Secret;
use sqlx::PgPool;

use crate::auth::operators_only;
use crate::db::key::{Key, MadeKey, NewKey};
use crate::db::plan::{NewPlan, Plan};
use crate::db::project::Project;
use crate::db::tenant::{NewTenant, Tenant, TenantChange, present};
use crate::db::{key, plan, project, tenant};
use crate::error::AdminError;
use crate::request;

/// What handlers share.
#[derive(Clone)]
pub struct Api {
    pub(crate) pool: PgPool,
    pub(crate) clock: Clock,
    pub(crate) token: Arc<Secret>,
}

/// The routes. `{tenant}` is an id or a name.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/plans", get(list_plans))
        .route("/v1/plans/{plan}", put(put_plan))
        .route("/v1/tenants", get(list_tenants).post(create_tenant))
        .route("/v1/tenants/{tenant}", get(show_tenant).patch(change_tenant))
        .route("/v1/tenants/{tenant}/usage", get(show_usage))
        .route("/v1/tenants/{tenant}/outcomes", get(outcomes::show))
        .route("/v1/tenants/{tenant}/projects", get(list_projects).post(create_project))
        .route("/v1/tenants/{tenant}/keys", get(list_keys).post(create_key))
        .route("/v1/keys/{key}", delete(revoke_key))
        .route("/v1/tenants/{tenant}/erasures", get(erasures::list).post(erasures::create))
        .route("/v1/tenants/{tenant}/erasures/{erasure}", get(erasures::show))
        .fallback(async || Refused(Problem::new(Code::NotFound, "there is no such path in the admin API")))
        .method_not_allowed_fallback(async || {
            Refused(Problem::new(Code::MethodNotAllowed, "the path exists, but not for this method"))
        })
        .layer(from_fn_with_state(api.clone(), operators_only))
        .layer(from_fn(request::identified))
        .with_state(api)
}

/// A problem as a reply.
#[derive(Debug)]
pub struct Refused(pub Problem);

impl From<AdminError> for Refused {
    fn from(error: AdminError) -> Self {
        if let AdminError::Store(cause) = &error {
            tracing::error!(error = %cause, "the admin API could not use Postgres");
        }
        Self(error.problem())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let request_id = request::id().to_string();
        let status = StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut reply = (status, self.0.document(&request_id)).into_response();
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        reply
    }
}

/// A JSON body; what is wrong with it is told as a problem.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Refused))]
struct Body<T>(T);

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Self {
        Self(Problem::new(Code::InvalidArgument, rejection.body_text()))
    }
}

type Answer<T> = Result<Json<T>, Refused>;
type Created<T> = Result<(StatusCode, Json<T>), Refused>;

fn created<T>(made: T) -> Created<T> {
    Ok((StatusCode::CREATED, Json(made)))
}

impl Api {
    async fn tenant_id(&self, name_or_id: &str) -> Result<TenantId, AdminError> {
        Ok(TenantId(tenant::find(&self.pool, name_or_id).await?.id))
    }
}

async fn list_plans(State(api): State<Api>) -> Answer<Vec<Plan>> {
    Ok(Json(plan::list(&api.pool).await?))
}

/// A plan's limits: both are named, a number or `null`, so that none is dropped by leaving it out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanLimits {
    #[serde(deserialize_with = "Option::deserialize")]
    quota: Option<i64>,
    #[serde(deserialize_with = "Option::deserialize")]
    rate: Option<i64>,
    /// Absent: as it is, or for ever in a new plan.
    #[serde(default, deserialize_with = "present")]
    retention_days: Option<Option<i32>>,
}

async fn put_plan(
    State(api): State<Api>,
    Path(name): Path<String>,
    Body(limits): Body<PlanLimits>,
) -> Answer<Plan> {
    let PlanLimits { quota, rate, retention_days } = limits;
    Ok(Json(plan::put(&api.pool, &NewPlan { name, quota, rate, retention_days }).await?))
}

async fn list_tenants(State(api): State<Api>) -> Answer<Vec<Tenant>> {
    Ok(Json(tenant::list(&api.pool).await?))
}

async fn create_tenant(State(api): State<Api>, Body(new): Body<NewTenant>) -> Created<Tenant> {
    created(tenant::create(&api.pool, &new).await?)
}

async fn show_tenant(State(api): State<Api>, Path(tenant): Path<String>) -> Answer<Tenant> {
    Ok(Json(tenant::find(&api.pool, &tenant).await?))
}

async fn change_tenant(
    State(api): State<Api>,
    Path(tenant): Path<String>,
    Body(change): Body<TenantChange>,
) -> Answer<Tenant> {
    let id = api.tenant_id(&tenant).await?;
    Ok(Json(tenant::change(&api.pool, id, &change).await?))
}

async fn show_usage(State(api): State<Api>, Path(tenant): Path<String>) -> Answer<TenantUsage> {
    let id = api.tenant_id(&tenant).await?;
    let usage = of_tenant(&api.pool, id, Micros(api.clock.now_micros())).await.map_err(AdminError::from)?;
    Ok(Json(usage))
}

async fn list_projects(State(api): State<Api>, Path(tenant): Path<String>) -> Answer<Vec<Project>> {
    let id = api.tenant_id(&tenant).await?;
    Ok(Json(project::list(&api.pool, id).await?))
}

/// A project to be made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProject {
    name: String,
}

async fn create_project(
    State(api): State<Api>,
    Path(tenant): Path<String>,
    Body(new): Body<NewProject>,
) -> Created<Project> {
    let id = api.tenant_id(&tenant).await?;
    created(project::create(&api.pool, id, &new.name).await?)
}

async fn list_keys(State(api): State<Api>, Path(tenant): Path<String>) -> Answer<Vec<Key>> {
    let id = api.tenant_id(&tenant).await?;
    Ok(Json(key::list(&api.pool, id).await?))
}

async fn create_key(
    State(api): State<Api>,
    Path(tenant): Path<String>,
    Body(new): Body<NewKey>,
) -> Created<MadeKey> {
    let id = api.tenant_id(&tenant).await?;
    created(key::create(&api.pool, id, &new).await?)
}

async fn revoke_key(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let id: KeyId = id.parse().map_err(|_| AdminError::NotFound(format!("key {id}")))?;
    key::revoke(&api.pool, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
