//! What every request is held to, whatever it asks for.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemas::problem::{Code, Problem};
use service::host;

use crate::rate::{self, Rates};
use crate::reply::Refused;
use crate::request;

/// Holds an address to its limits.
pub(crate) async fn limited(State(rates): State<Arc<Rates>>, request: Request, next: Next) -> Response {
    let left = request::address().map(|address| rates.of_address(address, request.uri().path()));
    let left = left.unwrap_or_default();
    let mut reply = match rate::passes(&left) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    rate::say(&left, reply.headers_mut());
    reply
}

/// Refuses a request of which a proxy on the way may have thought that another host was asked.
///
/// # Errors
/// 400.
pub(crate) async fn hosted(request: Request, next: Next) -> Result<Response, Refused> {
    match host::check(request.version(), request.uri(), request.headers()) {
        Ok(()) => Ok(next.run(request).await),
        Err(rule) => Err(Refused::new(Problem::new(Code::InvalidArgument, rule).at("host"))),
    }
}
