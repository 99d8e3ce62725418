//! What a trace shows of a request.

use hyper::http::request::Parts;
use service::trace::Span;
use uuid::Uuid;

use crate::reply::Refusal;
use crate::tenant::Tenant;

/// Describes a request to its span: nothing that could be a secret, and a path only where it is one of weir's own.
pub(super) fn describe(
    span: &mut Span,
    request_id: Uuid,
    parts: &Parts,
    has_route: bool,
    tenant: Option<&Tenant>,
    refusal: Option<&Refusal>,
) {
    let path = if has_route { parts.uri.path() } else { "" };
    span.rename(|| format!("{} {path}", parts.method).trim_end().to_owned());
    span.set("http.request.method", || parts.method.to_string());
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
