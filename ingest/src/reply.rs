//! Replies: what each dialect takes for success, and problem documents.

use std::collections::BTreeMap;

use std::time::Duration;

use bytes::Bytes;
use decode::Rejection;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use schemas::problem::{Code, Problem};
use schemas::time::Micros;
use serde::Serialize;
use uuid::Uuid;

use crate::routes::Dialect;
use crate::validate::Known;

/// A reply with its whole body.
pub type Reply = Response<Full<Bytes>>;

/// A request that has it, with whatever value, asks for a signed receipt, which its reply has under the same name.
pub(crate) const RECEIPT: HeaderName = HeaderName::from_static("weir-receipt");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A client that is turned away while the node has trouble waits so many seconds at most, by chance, so that not
/// all come back at once.
const RETRY_JITTER_SECONDS: u32 = 5;

/// Why a whole request is refused.
#[derive(Debug)]
pub struct Refusal {
    /// For the client.
    pub problem: Problem,
    /// Whole seconds; never on 400, 402 or 413, which one SDK would retry if they carried it.
    pub retry_after: Option<u32>,
}

impl Refusal {
    /// Of an address that sends too much that fails.
    #[must_use]
    pub fn too_often(wait: Duration) -> Self {
        let seconds = whole_seconds(wait);
        let detail = format!(
            "this address sends too many requests without a good key: wait {seconds} s, and check the key"
        );
        Self { problem: Problem::new(Code::AddressLimited, detail), retry_after: Some(seconds) }
    }
}

/// Seconds to wait, so that as many have certainly passed.
#[must_use]
pub fn whole_seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
}

impl From<Problem> for Refusal {
    /// A 503 says when to come back, and so does a 429 of which nobody knows for how long it holds.
    fn from(problem: Problem) -> Self {
        let retry_after =
            matches!(problem.code.status(), 429 | 503).then(|| rand::random_range(1..=RETRY_JITTER_SECONDS));
        Self { problem, retry_after }
    }
}

/// What became of a request's events.
#[derive(Debug)]
pub struct Receipt {
    /// By the records of its events.
    pub received_at: Micros,
    /// Durable in the log.
    pub accepted: u32,
    /// Repeated an id of this very request.
    pub duplicate_of_request: u32,
    /// Refused, in the request's order.
    pub rejected: Vec<Rejection>,
}

/// The native reply: 202 with one entry for each event that was refused.
#[must_use]
pub fn native(request_id: Uuid, receipt: &Receipt) -> Reply {
    #[derive(Serialize)]
    struct Body<'a> {
        accepted: u32,
        duplicate_of_request: u32,
        rejected: Vec<Entry<'a>>,
    }
    #[derive(Serialize)]
    struct Entry<'a> {
        index: u32,
        id: Option<&'a str>,
        code: Code,
        detail: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<&'a str>,
    }
    let rejected = receipt.rejected.iter().map(|rejection| Entry {
        index: rejection.index,
        id: rejection.id.as_deref(),
        code: rejection.problem.code,
        detail: &rejection.problem.detail,
        field: rejection.problem.field(),
    });
    let body = Body {
        accepted: receipt.accepted,
        duplicate_of_request: receipt.duplicate_of_request,
        rejected: rejected.collect(),
    };
    // A struct of strings and numbers always serialises.
    json(StatusCode::ACCEPTED, "application/json", serde_json::to_vec(&body).unwrap_or_default(), request_id)
}

/// What the SDKs of a foreign dialect take for success, whatever became of single events: some take 202 for a
/// failure and send again, and so with an empty or text 200.
#[must_use]
pub fn foreign(request_id: Uuid, dialect: Dialect, receipt: &Receipt, accepted: &[Known<'_>]) -> Reply {
    let body = match dialect {
        Dialect::Native => return native(request_id, receipt),
        Dialect::CloudEvents => return no_content(request_id),
        Dialect::Segment(_) => br#"{"success":true}"#.to_vec(),
        Dialect::PostHog | Dialect::PostHogEngage => br#"{"status":1}"#.to_vec(),
        Dialect::PostHogV1 => results(&receipt.rejected, accepted),
    };
    json(StatusCode::OK, "application/json", body, request_id)
}

/// The result of each event by its id. `drop` is final for SDKs, which report it to the application; an event without a
/// readable id can't stand there.
fn results(rejected: &[Rejection], accepted: &[Known<'_>]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        results: BTreeMap<&'a str, EventResult<'a>>,
    }
    #[derive(Serialize)]
    struct EventResult<'a> {
        result: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        details: Option<&'a str>,
    }
    let dropped = rejected.iter().filter_map(|rejection| {
        let result = EventResult { result: "drop", details: Some(&rejection.problem.detail) };
        rejection.id.as_deref().map(|id| (id, result))
    });
    let kept = accepted.iter().map(|known| (known.id(), EventResult { result: "ok", details: None }));
    // Of two events with one id, one is kept: that is what its sender must know.
    let body = Body { results: dropped.chain(kept).collect() };
    // A struct of strings always serialises.
    serde_json::to_vec(&body).unwrap_or_default()
}

/// 204 without a body: what CloudEvents' clients take for success, and preflights.
#[must_use]
pub fn no_content(request_id: Uuid) -> Reply {
    let mut reply = json(StatusCode::NO_CONTENT, "application/json", Vec::new(), request_id);
    reply.headers_mut().remove(CONTENT_TYPE);
    reply
}

/// A problem document.
#[must_use]
pub fn refusal(request_id: Uuid, refusal: &Refusal) -> Reply {
    let status =
        StatusCode::from_u16(refusal.problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let document = refusal.problem.document(&request_id.to_string());
    let mut reply = json(status, "application/problem+json", document, request_id);
    if let Some(seconds) = refusal.retry_after {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}

/// A page of `docs/errors`.
#[must_use]
pub fn page(request_id: Uuid, code: Code) -> Reply {
    json(StatusCode::OK, "text/markdown; charset=utf-8", code.page().as_bytes().to_vec(), request_id)
}

/// A reply with a whole document.
#[must_use]
pub fn json(status: StatusCode, content_type: &'static str, body: Vec<u8>, request_id: Uuid) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let mut text = Uuid::encode_buffer();
    if let Ok(value) = HeaderValue::from_str(request_id.as_hyphenated().encode_lower(&mut text)) {
        reply.headers_mut().insert(REQUEST_ID, value);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_429_and_503_say_when_to_come_back() {
        for code in Code::ALL {
            let refusal = Refusal::from(Problem::new(*code, "x"));
            assert_eq!(refusal.retry_after.is_some(), [429, 503].contains(&code.status()), "{code}");
            assert!(refusal.retry_after.is_none_or(|seconds| (1..=RETRY_JITTER_SECONDS).contains(&seconds)));
        }
    }
}
