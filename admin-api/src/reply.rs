//! Replies, and what is wrong with a request.

use std::marker::PhantomData;

use accounts::{AccountError, AuthError, EntityTag, KeptReply, NotClaimed};
use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use schemas::problem::{Code, Place, Problem};
use serde::Serialize;
use service::error::Chain;
use service::store::StoreError;

use crate::request;

const PROBLEM: &str = "application/problem+json";

/// A problem as a reply.
#[derive(Debug)]
pub struct Refused {
    problem: Problem,
    /// Seconds, for `Retry-After`.
    retry_after: Option<i64>,
    /// The request was carried out before: there is nothing to do any more, and this is its reply.
    replay: Option<Box<KeptReply>>,
    /// Postgres rolled the transaction back because of another one.
    is_rolled_back: bool,
}

/// Marks the reply to a request whose transaction Postgres has rolled back because of another one: nothing of it was
/// done, and the same may be done a moment later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RolledBack;

pub(crate) type Answer<T> = Result<Json<T>, Refused>;
pub(crate) type Created<T> = Result<Status<201, T>, Refused>;
pub(crate) type CreatedSecret<T> = Result<Secret<T>, Refused>;

/// JSON with that status.
pub(crate) struct Status<const CODE: u16, T>(pub(crate) T);

/// Something that was made, with a secret that is shown this once.
pub(crate) struct Secret<T>(HeaderValue, T);

/// `resource` is what was made, as it is shown later on: that is what the tag is of.
pub(crate) fn created_secret<T>(made: T, resource: &impl Serialize) -> CreatedSecret<T> {
    let tag = EntityTag::of(resource);
    let tag = HeaderValue::from_str(tag.as_str()).unwrap_or(HeaderValue::from_static("\"\""));
    Ok(Secret(tag, made))
}

pub(crate) fn created<T>(made: T) -> Created<T> {
    Ok(Status(made))
}

impl<const CODE: u16, T: Serialize> IntoResponse for Status<CODE, T> {
    fn into_response(self) -> Response {
        (StatusCode::from_u16(CODE).unwrap_or_default(), Json(self.0)).into_response()
    }
}

impl<T: Serialize> IntoResponse for Secret<T> {
    fn into_response(self) -> Response {
        let headers = [(ETAG, self.0), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        (StatusCode::CREATED, headers, Json(self.1)).into_response()
    }
}

/// A reply that its handler has put together. `Of` says what it is.
pub(crate) struct Holding<Of>(Response, PhantomData<Of>);

pub(crate) type Held<Of> = Result<Holding<Of>, Refused>;

impl<Of> From<Response> for Holding<Of> {
    fn from(reply: Response) -> Self {
        Self(reply, PhantomData)
    }
}

impl<Of> IntoResponse for Holding<Of> {
    fn into_response(self) -> Response {
        self.0
    }
}

/// 200 with JSON and cookies.
pub(crate) struct WithCookies<T>(PhantomData<T>);

/// 204 with a cookie that ends.
pub(crate) struct Gone;

/// 303.
pub(crate) struct Redirect;

/// 200 with a line of JSON for each item.
pub(crate) struct Lines<T>(PhantomData<T>);

/// 200 with an OpenAPI document.
pub(crate) struct Contract;

/// 200 with a page for people.
pub(crate) struct Html;

/// 200 with a text for people.
pub(crate) struct Markdown;

/// What was asked for is under way, or was done.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Taken {
    pub(crate) status: &'static str,
}

pub(crate) type Accepted = Result<Status<202, Taken>, Refused>;

/// The same reply always, whether or not an address is known.
pub(crate) fn taken() -> Accepted {
    Ok(Status(Taken { status: "accepted" }))
}

impl Refused {
    pub(crate) fn new(problem: Problem) -> Self {
        Self { problem, retry_after: None, replay: None, is_rolled_back: false }
    }

    /// The same, with a `Retry-After` of so many seconds.
    pub(crate) fn after(self, seconds: i64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    fn changed(detail: String) -> Self {
        Self::new(Problem::new(Code::PreconditionFailed, detail).at("If-Match"))
    }

    pub(crate) fn problem(&self) -> &Problem {
        &self.problem
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Problem::new(Code::InvalidArgument, detail.into()))
    }

    pub(crate) fn invalid_at(place: Place, detail: impl Into<String>) -> Self {
        Self::new(Problem::new(Code::InvalidArgument, detail.into()).in_place(place))
    }

    fn unavailable(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %Chain(cause), "the admin API could not do what was asked");
        Self::new(Problem::new(Code::Unavailable, "the database did not answer: try again soon")).after(1)
    }
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Self {
        let detail = error.to_string();
        match error {
            AuthError::Refused(_) => Self::new(Problem::new(Code::Unauthorized, detail)),
            AuthError::Invalid(_) => Self::invalid(detail),
            AuthError::InvalidAt(place, _) => Self::invalid_at(place, detail),
            AuthError::Wait { seconds } => {
                Self::new(Problem::new(Code::TooManyAttempts, detail)).after(seconds)
            }
            AuthError::Frozen => Self::new(Problem::new(Code::TenantFrozen, detail)),
            AuthError::Void => Self::new(Problem::new(Code::InvitationVoid, detail)),
            AuthError::Busy => Self::new(Problem::new(Code::Overloaded, detail)).after(1),
            AuthError::Changed => Self::changed(detail),
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
            AccountError::InvalidAt(place, _) => Self::invalid_at(place, detail),
            AccountError::NotFound(_) => Self::new(Problem::new(Code::NotFound, detail)),
            AccountError::Exists(_) | AccountError::Conflict(_) => {
                Self::new(Problem::new(Code::Conflict, detail))
            }
            AccountError::Forbidden(_) => Self::new(Problem::new(Code::Forbidden, detail)),
            AccountError::Wait { seconds } => {
                Self::new(Problem::new(Code::TooManyRequests, detail)).after(seconds)
            }
            AccountError::Changed => Self::changed(detail),
            AccountError::Store(cause) => cause.into(),
        }
    }
}

impl From<NotClaimed> for Refused {
    fn from(error: NotClaimed) -> Self {
        let detail = error.to_string();
        match error {
            NotClaimed::Done(kept) => {
                let carried_out = Self::new(Problem::new(Code::Conflict, detail));
                Self { replay: Some(Box::new(kept)), ..carried_out }
            }
            NotClaimed::Running => {
                Self::new(Problem::new(Code::StillRunning, detail).at("Idempotency-Key")).after(1)
            }
            NotClaimed::Reused => Self::new(Problem::new(Code::KeyReused, detail).at("Idempotency-Key")),
            NotClaimed::Sealed => Self::new(Problem::new(Code::Conflict, detail).at("Idempotency-Key")),
            NotClaimed::Account(error) => error.into(),
        }
    }
}

/// Of Postgres: a text, time or number is none that it has (in its manual: character not in repertoire, untranslatable
/// character, invalid datetime format, datetime field overflow, numeric value out of range). It came with the request,
/// so asking again does not help. Other errors of data are ours.
const NO_VALUE: [&str; 5] = ["22021", "22P05", "22007", "22008", "22003"];

/// Of Postgres: the transaction and another one stood in each other's way, and this one was rolled back (in its manual:
/// serialization failure, deadlock detected).
const ROLLED_BACK: [&str; 2] = ["40001", "40P01"];

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        let is_one_of =
            |codes: &[&str]| error.postgres_code().is_some_and(|code| codes.contains(&code.as_ref()));
        if is_one_of(&ROLLED_BACK) {
            tracing::warn!(error = %Chain(&error), "a transaction was rolled back because of another one");
            let detail =
                "another request changed the same at the same time, and this one was given up: try again";
            let refused = Self::new(Problem::new(Code::Unavailable, detail)).after(1);
            return Self { is_rolled_back: true, ..refused };
        }
        if is_one_of(&NO_VALUE) {
            tracing::warn!(error = %Chain(&error), "a value came as far as the database, which has none such");
            return Self::invalid("a text, number or time is none that can be stored");
        }
        Self::unavailable(&error)
    }
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

/// Makes a problem of a refusal that is none yet: what the framework itself refuses, such as a path that is not UTF-8.
pub(crate) fn as_problem(reply: Response) -> Response {
    let is_problem = reply.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM);
    let status = reply.status();
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return reply;
    }
    let (code, detail) = match status {
        StatusCode::NOT_FOUND => (Code::NotFound, "there is no such path in the admin API"),
        StatusCode::METHOD_NOT_ALLOWED => {
            (Code::MethodNotAllowed, "the path exists, but not for this method")
        }
        _ if status.is_server_error() => (Code::Unavailable, "the admin API failed: try again soon"),
        _ => (Code::InvalidArgument, "the path or a header can't be read"),
    };
    let mut problem = Refused::new(Problem::new(code, detail)).into_response();
    for (name, value) in reply.headers().iter().filter(|(name, _)| *name == ALLOW) {
        problem.headers_mut().insert(name, value.clone());
    }
    problem
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        if let Some(kept) = self.replay {
            return replayed(*kept);
        }
        let request_id = request::id().to_string();
        let status =
            StatusCode::from_u16(self.problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut reply = (status, self.problem.document(&request_id)).into_response();
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        if let Some(seconds) = self.retry_after {
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.is_rolled_back {
            reply.extensions_mut().insert(RolledBack);
        }
        reply
    }
}

/// A reply as it was kept.
fn replayed(kept: KeptReply) -> Response {
    let mut reply = Body::from(kept.body).into_response();
    *reply.status_mut() = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in kept.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            reply.headers_mut().insert(name, value);
        }
    }
    reply.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    reply
}
