//! Replies, and what is wrong with a request.

use accounts::{AccountError, AuthError};
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use schemas::problem::{Code, Problem};
use serde::Serialize;
use service::error::Chain;
use service::store::StoreError;

use crate::request;

/// A problem as a reply.
#[derive(Debug)]
pub struct Refused {
    problem: Problem,
    /// Seconds, for `Retry-After`.
    retry_after: Option<i64>,
}

pub(crate) type Answer<T> = Result<Json<T>, Refused>;
pub(crate) type Created<T> = Result<(StatusCode, Json<T>), Refused>;

pub(crate) fn created<T>(made: T) -> Created<T> {
    Ok((StatusCode::CREATED, Json(made)))
}

/// What was asked for is under way, or was done.
#[derive(Serialize)]
pub(crate) struct Taken {
    pub(crate) status: &'static str,
}

pub(crate) type Accepted = Result<(StatusCode, Json<Taken>), Refused>;

/// The same reply always, whether or not an address is known.
pub(crate) fn taken() -> Accepted {
    Ok((StatusCode::ACCEPTED, Json(Taken { status: "accepted" })))
}

/// A JSON body; what is wrong with it becomes a problem document.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Refused))]
pub(crate) struct Body<T>(pub(crate) T);

/// Parameters of the URL; what is wrong with them becomes a problem document.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Refused))]
pub(crate) struct Parameters<T>(pub(crate) T);

impl Refused {
    pub(crate) fn new(problem: Problem) -> Self {
        Self { problem, retry_after: None }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Problem::new(Code::InvalidArgument, detail.into()))
    }

    fn unavailable(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %Chain(cause), "the admin API could not do what was asked");
        Self::new(Problem::new(Code::Unavailable, "the database did not answer: try again soon"))
    }
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Self {
        let detail = error.to_string();
        match error {
            AuthError::Refused(_) => Self::new(Problem::new(Code::Unauthorized, detail)),
            AuthError::Invalid(_) => Self::invalid(detail),
            AuthError::Wait { seconds } => {
                Self { problem: Problem::new(Code::TooManyAttempts, detail), retry_after: Some(seconds) }
            }
            AuthError::Busy => Self { problem: Problem::new(Code::Overloaded, detail), retry_after: Some(1) },
            AuthError::Store(cause) => cause.into(),
            AuthError::Sealed(_) | AuthError::Keys => Self::unavailable(&error),
        }
    }
}

impl From<AccountError> for Refused {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        match error {
            AccountError::Invalid(_) => Self::invalid(detail),
            AccountError::NotFound(_) => Self::new(Problem::new(Code::NotFound, detail)),
            AccountError::Exists(_) => Self::new(Problem::new(Code::Conflict, detail)),
            AccountError::Store(cause) => cause.into(),
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::unavailable(&error)
    }
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

impl From<QueryRejection> for Refused {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let request_id = request::id().to_string();
        let status =
            StatusCode::from_u16(self.problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut reply = (status, self.problem.document(&request_id)).into_response();
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        reply
    }
}
