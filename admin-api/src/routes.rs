//! The URL table. The handlers of a resource are in the module of its name.

mod plans;
mod tenants;
mod usage;
mod outcomes;
mod projects;
mod keys;
mod erasures;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, put};
use schemas::problem::{Code, Problem};

use crate::api::Api;
use crate::auth::operators_only;
use crate::reply::Refused;
use crate::request;

/// The routes. `{tenant}` is an id or a name.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/plans", get(plans::list))
        .route("/v1/plans/{plan}", put(plans::put))
        .route("/v1/tenants", get(tenants::list).post(tenants::create))
        .route("/v1/tenants/{tenant}", get(tenants::show).patch(tenants::change))
        .route("/v1/tenants/{tenant}/usage", get(usage::show))
        .route("/v1/tenants/{tenant}/outcomes", get(outcomes::show))
        .route("/v1/tenants/{tenant}/projects", get(projects::list).post(projects::create))
        .route("/v1/tenants/{tenant}/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{key}", delete(keys::revoke))
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
