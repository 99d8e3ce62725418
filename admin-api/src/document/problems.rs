//! What operations answer when they refuse.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use schemas::problem::{Code, Problem};
use serde_json::{Map, Value, json};

use super::components::reference;
use super::{is_kept, names};
use crate::auth::Access;
use crate::routes::Route;

/// The codes that operations answer with.
const CODES: [Code; 18] = [
    Code::InvalidArgument,
    Code::InvalidJson,
    Code::Unauthorized,
    Code::Forbidden,
    Code::TenantFrozen,
    Code::NotFound,
    Code::RequestTimeout,
    Code::Conflict,
    Code::StillRunning,
    Code::InvitationVoid,
    Code::PreconditionFailed,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::KeyReused,
    Code::TooManyRequests,
    Code::TooManyAttempts,
    Code::Unavailable,
    Code::Overloaded,
];

/// Statuses of a route's problems.
pub(super) fn of(route: &Route, has_body: bool) -> BTreeSet<u16> {
    let has_names = names(route.path).next().is_some();
    if route.id.starts_with("contract.") {
        return [400, 429].into_iter().chain(has_names.then_some(404)).collect();
    }
    let reads = route.method == Method::GET;
    let may_change = [Method::PATCH, Method::PUT, Method::DELETE].contains(&route.method);
    let of_scope = !matches!(route.access, Access::Anyone | Access::Session);
    let all: [(bool, &[u16]); 9] = [
        (true, &[400, 429, 503]),
        (route.id != "auth.jwks", &[401]),
        // What is of all tenants can be asked for one of them.
        (
            has_names || ["operator.audit.list", "operator.dead_letters.list"].contains(&route.id.as_str()),
            &[404],
        ),
        (of_scope || route.access == Access::Anyone && !reads, &[403]),
        // A body is read, whether or not it is asked for.
        (!reads, &[408, 413]),
        (has_body, &[415]),
        (["auth.register", "invitations.accept"].contains(&route.id.as_str()), &[403, 410]),
        (of_scope && !reads, &[404, 409]),
        (may_change, &[412]),
    ];
    let mut statuses: BTreeSet<u16> =
        all.iter().filter(|(holds, _)| *holds).flat_map(|(_, statuses)| *statuses).copied().collect();
    if is_kept(route) {
        statuses.insert(422);
    }
    statuses
}

/// What the reply with that status is called.
pub(super) fn name(status: u16) -> String {
    format!("Problem{status}")
}

/// Replies by their names, for all operations.
pub(super) fn replies() -> Value {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in CODES {
        by_status.entry(code.status()).or_default().push(code);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (name(status), reply(status, &codes)))
        .collect::<Map<_, _>>()
        .into()
}

fn reply(status: u16, codes: &[Code]) -> Value {
    let words: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let titles: Vec<&str> = codes.iter().map(|code| code.title()).collect();
    let closed = json!({
        "type": "object",
        "properties": {"status": {"const": status}, "code": {"enum": words}},
    });
    let headers: Map<String, Value> = ["X-Request-Id", "RateLimit", "RateLimit-Policy"]
        .into_iter()
        .chain([429, 503].contains(&status).then_some("Retry-After"))
        .map(|name| (name.to_owned(), reference("headers", name)))
        .collect();
    let examples: Map<String, Value> =
        codes.iter().map(|code| (code.to_string(), json!({"value": example(*code)}))).collect();
    json!({
        "description": titles.join(". ") + ".",
        "headers": headers,
        "content": {"application/problem+json": {
            "schema": {"allOf": [reference("schemas", "Problem"), closed]},
            "examples": examples,
        }},
    })
}

fn example(code: Code) -> Value {
    let document = Problem::new(code, code.title()).document("019ab1c4-7d52-7e01-9c3a-5f0c2b8e4a17");
    serde_json::from_slice(&document).unwrap_or_default()
}

/// The document of RFC 9457.
pub(super) fn schema() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "required": ["type", "title", "status", "code", "detail", "message", "request_id"],
        "properties": {
            "type": text("The path of the page that explains the code, on each listener."),
            "title": text("One line, the same for each occurrence."),
            "status": {"type": "integer", "description": "The status of the reply."},
            "code": text("One of a closed set; see docs/errors."),
            "detail": text("What was wrong in this request, and what to do."),
            "message": text("The same as `detail`."),
            "request_id": text("Stands in `X-Request-Id`, the log and the audit."),
            "errors": {
                "type": "array",
                "description": "What is to blame, where that is known.",
                "items": {
                    "type": "object",
                    "required": ["detail"],
                    "properties": {
                        "pointer": text("A member of the body (RFC 6901)."),
                        "parameter": text("A parameter of the path or the query."),
                        "header": text("A header."),
                        "detail": text("What is wrong there."),
                    },
                },
            },
        },
    })
}
