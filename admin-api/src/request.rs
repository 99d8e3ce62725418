//! What every request has: an id, which its reply and each of its lines in the log carry, an address that it came from,
//! and a place in a trace.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use accounts::{Expected, NotClaimed, Once, Reach, Scope};
use axum::extract::{Request, State};
use axum::http::header::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use schemas::public_id::PersonId;
use service::client_address::TrustedProxies;
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

/// What a request makes its answer depend on.
#[derive(Clone, Default)]
pub(crate) struct Conditions {
    /// What the resource that is to be changed has to be like.
    pub(crate) expected: Option<Expected>,
    /// It is carried out once.
    pub(crate) once: Option<Once>,
}

impl Conditions {
    /// Holds a scope, in which nothing was done yet, to them.
    pub(crate) async fn hold<Of: Reach>(self, scope: &mut Scope<Of>) -> Result<(), NotClaimed> {
        if let Some(expected) = self.expected {
            scope.hold_if_match(expected);
        }
        match self.once {
            Some(once) => scope.claim(&once).await,
            None => Ok(()),
        }
    }
}

tokio::task_local! {
    static ASKED: Asked;
    static CONDITIONS: Conditions;
}

/// Answers a request under the conditions that its handler's scope is to be held to.
pub(crate) async fn under<T>(conditions: Conditions, answer: impl Future<Output = T>) -> T {
    CONDITIONS.scope(conditions, answer).await
}

/// What the scope that a handler opens is to be held to.
pub(crate) fn conditions() -> Conditions {
    CONDITIONS.try_with(Clone::clone).unwrap_or_default()
}

/// Who sent the request that is being answered, for a task of its own that goes on with it.
#[derive(Debug, Clone)]
pub(crate) struct Asker(Option<Asked>);

pub(crate) fn asker() -> Asker {
    Asker(ASKED.try_with(Clone::clone).ok())
}

impl Asker {
    /// Does that as a part of the request.
    pub(crate) async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        match self.0 {
            Some(asked) => ASKED.scope(asked, work).await,
            None => work.await,
        }
    }
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
pub(crate) async fn identified(
    State(proxies): State<Arc<TrustedProxies>>,
    request: Request,
    next: Next,
) -> Response {
    let request_id = Uuid::now_v7();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let address = peer.map(|peer| proxies.client(peer, request.headers()));
    let impersonator = Arc::default();
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
