//! What the API says of itself: made when it is first asked for.

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::IntoResponse;

use schemas::problem::{Code, Problem};

use crate::api::Api;
use crate::reply::{Contract, Held, Html, Markdown, Refused};

pub(super) async fn openapi(State(api): State<Api>) -> Held<Contract> {
    Ok(([(CONTENT_TYPE, "application/json")], api.contract.json.clone()).into_response().into())
}

pub(super) async fn reader(State(api): State<Api>) -> Held<Html> {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, api.contract.policy.as_str()),
    ];
    Ok((headers, api.contract.page.clone()).into_response().into())
}

/// What the `type` of a problem leads to.
pub(super) async fn error(Path(code): Path<String>) -> Held<Markdown> {
    let Some(code) = Code::ALL.iter().find(|of| of.as_str() == code) else {
        return Err(Refused::new(Problem::new(Code::NotFound, format!("there is no error {code}"))));
    };
    let headers = [(CONTENT_TYPE, "text/markdown; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, code.page()).into_response().into())
}
