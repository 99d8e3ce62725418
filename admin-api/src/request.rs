//! What every request has: an id, which its reply and each of its lines in the log carry, an address that it came from,
//! and a place in a trace.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::http::header::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use schemas::public_id::PersonId;
use service::trace::{Span, traceparent};
use tracing::Instrument;
use uuid::Uuid;

/// The other end of a connection. Each request of it carries it as an extension.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The header of each reply to somebody of the platform who acts in a tenant.
const IMPERSONATOR: HeaderName = HeaderName::from_static("weir-impersonator");

#[derive(Debug, Clone)]
struct Asked {
    id: Uuid,
    address: Option<IpAddr>,
    impersonator: Arc<OnceLock<PersonId>>,
}

tokio::task_local! {
    static ASKED: Asked;
}

/// The id of the request that is being answered.
pub(crate) fn id() -> Uuid {
    ASKED.try_with(|asked| asked.id).unwrap_or_else(|_| Uuid::now_v7())
}

/// The address that the request came from.
pub(crate) fn address() -> Option<IpAddr> {
    ASKED.try_with(|asked| asked.address).ok().flatten()
}

/// Notes who acts in the tenant: the reply says it.
pub(crate) fn impersonated_by(person: PersonId) {
    // Without a request there is no reply that could say it.
    let _ = ASKED.try_with(|asked| asked.impersonator.set(person));
}

/// Gives a request its id, and its trace a span.
pub(crate) async fn identified(request: Request, next: Next) -> Response {
    let request_id = Uuid::now_v7();
    let (address, impersonator) = (request.extensions().get::<Peer>().map(|peer| peer.0), Arc::default());
    let asked = Asked { id: request_id, address, impersonator: Arc::clone(&impersonator) };
    let mut traced = Span::request(|| traceparent(request.headers()));
    let path = request.uri().path().to_owned();
    traced.rename(|| format!("{} admin", request.method()));
    traced.set("http.request.method", || request.method().to_string());
    traced.set("url.path", || path.clone());
    traced.set("weir.request_id", || request_id.to_string());
    let logged = tracing::info_span!("request", %request_id, method = %request.method(), path);
    let mut reply = ASKED.scope(asked, next.run(request).instrument(logged)).await;
    traced.set("http.response.status_code", || u32::from(reply.status().as_u16()));
    if reply.status().is_server_error() {
        traced.fail(|| "the admin API failed");
    }
    if let Some(value) = impersonator.get().and_then(|person| HeaderValue::try_from(person.to_string()).ok())
    {
        reply.headers_mut().insert(IMPERSONATOR, value);
    }
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        reply.headers_mut().insert(HeaderName::from_static("x-request-id"), value);
    }
    reply
}
