//! Who may call: whoever presents the operator's token.

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use schemas::problem::{Code, Problem};
use subtle::ConstantTimeEq;

use crate::api::Api;
use crate::reply::Refused;

/// Lets a request through that carries the operator's token.
///
/// # Errors
/// A 401 for every other one.
pub async fn operators_only(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let presented = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = presented.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let same: bool = token.as_bytes().ct_eq(api.token.expose().as_bytes()).into();
    if !same {
        let detail = "send the operator's token as `Authorization: Bearer <token>`";
        return Err(Refused(Problem::new(Code::Unauthorized, detail).at("authorization")));
    }
    Ok(next.run(request).await)
}
