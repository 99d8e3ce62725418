//! Replies: what each dialect takes for success, and problem documents.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use schemas::problem::{Code, Problem};
use serde::Serialize;
use uuid::Uuid;

use crate::decode::Rejection;

/// A reply with its whole body.
pub type Reply = Response<Full<Bytes>>;

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

impl From<Problem> for Refusal {
    /// A 503 says when to come back.
    fn from(problem: Problem) -> Self {
        let retry_after =
            (problem.code.status() == 503).then(|| rand::random_range(1..=RETRY_JITTER_SECONDS));
        Self { problem, retry_after }
    }
}

/// What became of a request's events.
#[derive(Debug, Default)]
pub struct Receipt {
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
        field: rejection.problem.field.as_deref(),
    });
    let body = Body {
        accepted: receipt.accepted,
        duplicate_of_request: receipt.duplicate_of_request,
        rejected: rejected.collect(),
    };
    // A struct of strings and numbers always serialises.
    json(StatusCode::ACCEPTED, "application/json", serde_json::to_vec(&body).unwrap_or_default(), request_id)
}

/// What Segment's and RudderStack's SDKs take for success: 200 and a JSON object, whatever it holds. Some take 202
/// for a failure and send again.
#[must_use]
pub fn segment(request_id: Uuid) -> Reply {
    json(StatusCode::OK, "application/json", br#"{"success":true}"#.to_vec(), request_id)
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

fn json(status: StatusCode, content_type: &'static str, body: Vec<u8>, request_id: Uuid) -> Reply {
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
    fn only_a_503_says_by_itself_when_to_come_back() {
        for code in Code::ALL {
            let refusal = Refusal::from(Problem::new(*code, "x"));
            assert_eq!(refusal.retry_after.is_some(), code.status() == 503, "{code}");
            assert!(refusal.retry_after.is_none_or(|seconds| (1..=RETRY_JITTER_SECONDS).contains(&seconds)));
        }
    }
}
