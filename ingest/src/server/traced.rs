//! What a trace shows of a request.

use hyper::Method;
use hyper::http::request::Parts;
use service::trace::Span;
use uuid::Uuid;

use crate::reply::Refusal;
use crate::routes::{Route, SettingsDialect};
use crate::tenant::Tenant;

/// The methods that a trace names.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Describes a request to its span: nothing that could be a secret, so a path only where it is one of weir's own, and
/// without the key that some have; and nothing that a client could make long.
pub(super) fn describe(
    span: &mut Span,
    request_id: Uuid,
    parts: &Parts,
    route: Option<Route>,
    tenant: Option<&Tenant>,
    refusal: Option<&Refusal>,
) {
    let path = match route {
        None => "",
        Some(Route::Settings(SettingsDialect::Segment)) => "/v1/projects/{key}/settings",
        Some(Route::Settings(SettingsDialect::RudderStack) | Route::Events(_) | Route::ErrorPage(_)) => {
            parts.uri.path()
        }
    };
    let method = METHODS.iter().find(|method| **method == parts.method);
    let method = method.map_or("_OTHER", Method::as_str);
    span.rename(|| format!("{method} {path}").trim_end().to_owned());
    span.set("http.request.method", || method);
    span.set("http.route", || path.to_owned());
    span.set("weir.request_id", || request_id.to_string());
    if let Some(tenant) = tenant {
        span.set("weir.tenant", || tenant.id.0);
    }
    if let Some(Refusal { problem, .. }) = refusal {
        span.set("error.type", || problem.code.as_str());
        span.set("http.response.status_code", || u32::from(problem.code.status()));
        if problem.code.status() >= 500 {
            span.fail(|| problem.code.as_str());
        }
    }
}
