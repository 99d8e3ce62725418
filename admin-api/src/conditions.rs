//! What a request makes its answer depend on: `If-Match`, `If-None-Match` and `Idempotency-Key`.
//!
//! `If-Match` is compared in the transaction of the change, with the resource locked: functions of `accounts` do that,
//! and a scope that nothing was compared in does not commit. A request with an idempotency key is claimed in its
//! transaction, whose commit waits here for the reply, so that both are kept or neither is (docs/adr/0030).

use accounts::{EntityTag, Expected, KeptReply, Once, Waiting};
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{RawPathParams, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, LOCATION,
};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemas::problem::{Code, Problem};
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use crate::api::Api;
use crate::auth::{expected, sender};
use crate::input::whole;
use crate::rate::{self, Left};
use crate::reply::Refused;
use crate::request::{self, Conditions};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Letters of a key at most.
const KEY_BYTES_MAX: usize = 255;
/// Bytes of a reply that gets a tag, or is kept, at most: more than any page of a list has.
const REPLY_BYTES_MAX: usize = 4 << 20;
/// What of a reply's header is kept.
const KEPT_HEADERS: [HeaderName; 4] = [CONTENT_TYPE, ETAG, LOCATION, CACHE_CONTROL];

/// Runs a handler under the conditions of its request. `path` is that of the table of routes.
///
/// # Errors
/// 400 for a key that is none; what the scope answers to the conditions: 409, 412, 422, or the kept reply.
pub(crate) async fn held(
    State((api, path)): State<(Api, &'static str)>,
    parameters: RawPathParams,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let left: Vec<Left> = sender(&request).and_then(|actor| api.rates.of_caller(actor)).into_iter().collect();
    let mut reply = match rate::passes(&left) {
        Ok(()) => answered(api, path, &parameters, request, next).await.into_response(),
        Err(refused) => refused.into_response(),
    };
    rate::say(&left, reply.headers_mut());
    Ok(reply)
}

async fn answered(
    api: Api,
    path: &'static str,
    parameters: &RawPathParams,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let method = request.method().clone();
    let reads = method == Method::GET && is_resource(path);
    let read_again = expected(request.headers(), &IF_NONE_MATCH).filter(|_| reads);
    let (request, once) = once(&api, path, parameters, request).await?;
    let waiting = once.as_ref().map(|once| once.waiting.clone());
    let may_change = matches!(method, Method::PATCH | Method::PUT | Method::DELETE);
    let conditions =
        Conditions { expected: expected(request.headers(), &IF_MATCH).filter(|_| may_change), once };
    let reply = tagged(path, request::under(conditions, next.run(request)).await).await?;
    if is_known(&reply, read_again.as_ref()) {
        let (mut parts, _) = reply.into_parts();
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(CONTENT_TYPE);
        return Ok(Response::from_parts(parts, Body::empty()));
    }
    match waiting {
        Some(waiting) => kept(&api.pool, &waiting, reply).await,
        None => Ok(reply),
    }
}

/// The request with its key, if it has one and is of a tenant or an operator: what people do for themselves is safe to
/// repeat, or is spent by being done.
async fn once(
    api: &Api,
    path: &'static str,
    parameters: &RawPathParams,
    request: Request,
) -> Result<(Request, Option<Once>), Refused> {
    let mut keys = request.headers().get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next().filter(|_| request.method() == Method::POST) else {
        return Ok((request, None));
    };
    let is_only = keys.next().is_none();
    if path.starts_with("/v1/auth/") || path.starts_with("/v1/me/") {
        return Ok((request, None));
    }
    let key = key.to_str().ok().filter(|_| is_only);
    let key = key.filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len())).map(str::to_owned);
    let Some(key) = key else {
        let detail =
            format!("one idempotency key, of 1 to {KEY_BYTES_MAX} letters, digits and signs of ASCII");
        return Err(Refused::new(Problem::new(Code::InvalidArgument, detail).at("Idempotency-Key")));
    };
    let (parts, body) = request.into_parts();
    let body = whole(body).await?;
    let mut hash = Sha256::new();
    // A tenant's own requests are kept under the tenant, whatever name the path gives it. An operator's are the
    // platform's: there the name is a part of what is asked for.
    let is_within = path.starts_with("/v1/tenants/{tenant}");
    let named = parameters.iter().filter(|(name, _)| !is_within || *name != "tenant");
    let named = named.map(|(_, value)| value.as_bytes());
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    for part in named.chain([query, &body]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let once = Once {
        route: format!("POST {path}"),
        key,
        request_hash: hash.finalize().into(),
        seal: api.seal.clone(),
        waiting: Waiting::default(),
    };
    Ok((Request::from_parts(parts, body.into()), Some(once)))
}

/// Whether what a path of the table answers is a resource: what lets somebody in is another one each time.
pub(crate) fn is_resource(path: &str) -> bool {
    !path.starts_with("/v1/auth/") && !path.ends_with("/impersonate")
}

/// Gives a reply that shows a resource its tag, unless its handler has.
async fn tagged(path: &str, reply: Response) -> Result<Response, Refused> {
    let is_resource = matches!(reply.status(), StatusCode::OK | StatusCode::CREATED)
        && reply.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
        && !reply.headers().contains_key(ETAG)
        && is_resource(path);
    let bytes = reply.body().size_hint().exact().filter(|bytes| *bytes <= REPLY_BYTES_MAX as u64);
    if !is_resource || bytes.is_none() {
        return Ok(reply);
    }
    let (mut parts, bytes) = in_bytes(reply).await?;
    if let Ok(tag) = HeaderValue::from_str(EntityTag::of_bytes(&bytes).as_str()) {
        parts.headers.insert(ETAG, tag);
    }
    Ok(Response::from_parts(parts, bytes.into()))
}

fn is_known(reply: &Response, read_again: Option<&Expected>) -> bool {
    let tag = reply.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
    let known = read_again.zip(tag).is_some_and(|(expected, tag)| expected.matches_weakly(tag));
    known && reply.status() == StatusCode::OK
}

/// Keeps the reply and commits what it speaks of. A refusal is not kept, and what led to it changes nothing.
async fn kept(pool: &PgPool, waiting: &Waiting, reply: Response) -> Result<Response, Refused> {
    if !waiting.is_waiting() {
        waiting.released(pool).await;
        return Ok(reply);
    }
    if !reply.status().is_success() {
        waiting.give_up().await?;
        return Ok(reply);
    }
    let (parts, bytes) = in_bytes(reply).await?;
    let value = |name: &HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let headers = KEPT_HEADERS.iter().filter_map(|name| Some((name.to_string(), value(name)?.to_owned())));
    let kept = KeptReply {
        status: parts.status.as_u16(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    };
    waiting.commit(&kept).await?;
    Ok(Response::from_parts(parts, bytes.into()))
}

async fn in_bytes(reply: Response) -> Result<(axum::http::response::Parts, axum::body::Bytes), Refused> {
    let (parts, body) = reply.into_parts();
    let bytes = to_bytes(body, REPLY_BYTES_MAX).await;
    let bytes = bytes.map_err(|_| Refused::new(Problem::new(Code::Unavailable, "the reply is too large")))?;
    Ok((parts, bytes))
}
