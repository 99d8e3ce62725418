//! Browsers: any page may send to weir (Fetch standard, CORS protocol), but none sends cookies.
//!
//! Every reply says so, refusals as well: a browser hides the status of a reply that does not, and SDKs then send
//! the same events again and again.

use hyper::HeaderMap;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, HeaderValue,
};
use uuid::Uuid;

use crate::reply::{self, Reply};
use crate::routes::Route;

/// What SDKs send by name, for browsers that don't know `*`, which never covers `authorization`.
const HEADERS: &str = "authorization, content-type, content-encoding, x-retry-count, anonymousid, \
    posthog-sdk-info, posthog-attempt, posthog-request-id, posthog-request-timestamp, \
    ce-id, ce-source, ce-specversion, ce-type, ce-subject, ce-time, *";
/// What a page may read of a reply. `*` would not do: pages of older browsers read by name alone.
const EXPOSED: &str = "retry-after, ratelimit, ratelimit-policy, x-request-id, weir-receipt";
/// For two hours, the longest that browsers heed, no second preflight asks the same.
const MAX_AGE_SECONDS: &str = "7200";

/// The reply to `OPTIONS`, which a browser sends first where a request is not a plain one.
#[must_use]
pub fn preflight(request_id: Uuid, route: Route) -> Reply {
    let mut reply = reply::no_content(request_id);
    let headers = reply.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(route.methods()));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(route.methods()));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_SECONDS));
    reply
}

/// Lets a page of any origin read a reply.
pub fn share(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
}
