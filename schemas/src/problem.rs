//! The reply to a client when something is refused: problem documents (RFC 9457).

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::ser::SerializeMap;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// The closed set of codes. Each has a page in `docs/errors`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word in replies, metrics and page names.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The HTTP status of a reply that carries this code.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// One line for people, the same for every occurrence.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// The page of `docs/errors` that explains it.
            #[must_use]
            pub fn page(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("../../docs/errors/", $code, ".md")),)* }
            }
        }
    };
}

codes! {
    /// The body, or one event of it, is not JSON.
    InvalidJson = "invalid_json", 400, "The body is not valid JSON";
    /// A field is missing, or has the wrong type or an impossible value.
    InvalidEvent = "invalid_event", 400, "An event is not valid";
    /// The body has the wrong shape, or holds no event, or too many.
    InvalidBatch = "invalid_batch", 400, "The batch is not valid";
    /// Compressed bytes that can't be decompressed.
    InvalidEncoding = "invalid_encoding", 400, "The body could not be decompressed";
    /// A parameter or body of the admin API that is not valid.
    InvalidArgument = "invalid_argument", 400, "The request is not valid";
    /// No API key.
    MissingKey = "missing_key", 401, "No API key was presented";
    /// Not the form of a key, or a typo.
    MalformedKey = "malformed_key", 401, "The API key is malformed";
    /// No such key.
    UnknownKey = "unknown_key", 401, "The API key is not known";
    /// Revoked.
    RevokedKey = "revoked_key", 401, "The API key was revoked";
    /// Past its expiry.
    ExpiredKey = "expired_key", 401, "The API key has expired";
    /// A token, password, code or link of the admin API is missing or wrong.
    Unauthorized = "unauthorized", 401, "No valid credential was presented";
    /// The tenant's plan is used up for this period.
    QuotaExceeded = "quota_exceeded", 402, "The plan's quota is used up";
    /// An operator froze or closed the tenant, or its owner deleted it.
    TenantFrozen = "tenant_frozen", 403, "The tenant is frozen";
    /// The role or token lacks a permission, or another site's page asks.
    Forbidden = "forbidden", 403, "The permission is missing";
    /// No such route or resource.
    NotFound = "not_found", 404, "Not found";
    /// The route exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed";
    /// The body came too slowly.
    RequestTimeout = "request_timeout", 408, "The request took too long to arrive";
    /// A resource with this name exists, or the state of one does not allow it.
    Conflict = "conflict", 409, "What is there does not allow it";
    /// A request with the same idempotency key has not ended.
    StillRunning = "still_running", 409, "The same request is still running";
    /// Who sent an invitation may not invite any more.
    InvitationVoid = "invitation_void", 410, "The invitation is void";
    /// The resource is not what `If-Match` says.
    PreconditionFailed = "precondition_failed", 412, "The resource has changed";
    /// The body, as sent or decompressed, is over the limit.
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    /// One event is over the limit.
    EventTooLarge = "event_too_large", 413, "An event is too large";
    /// Not a content type that holds events.
    UnsupportedMediaType = "unsupported_media_type", 415, "The content type is not supported";
    /// Not a content encoding that can be read.
    UnsupportedEncoding = "unsupported_encoding", 415, "The content encoding is not supported";
    /// The idempotency key was used for another request.
    KeyReused = "key_reused", 422, "The idempotency key belongs to another request";
    /// Faster than the tenant's rate.
    RateLimited = "rate_limited", 429, "The tenant's rate limit is exceeded";
    /// Before a key is known: more requests of one address that fail than it may send.
    AddressLimited = "address_limited", 429, "Too many requests of this address fail";
    /// More requests to the admin API than an address, a person or a token may send.
    TooManyRequests = "too_many_requests", 429, "Too many requests";
    /// A password, code or link was tried too often.
    TooManyAttempts = "too_many_attempts", 429, "Too many attempts";
    /// The log did not confirm in time: the events may or may not be stored.
    NotDurable = "not_durable", 503, "The events are not known to be stored";
    /// More work than this node takes at once.
    Overloaded = "overloaded", 503, "The node is overloaded";
    /// A store that the answer depends on does not answer, or two requests stood in each other's way there.
    Unavailable = "unavailable", 503, "A store that is needed has no answer now";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A part of a request that is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A member of the body, as a JSON pointer (RFC 6901). The empty one is the whole body.
    Pointer(String),
    /// A parameter of the path or the query, by its name.
    Parameter(String),
    /// A header, by its name.
    Header(String),
}

impl Place {
    /// The pointer or the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pointer(text) | Self::Parameter(text) | Self::Header(text) => text,
        }
    }

    /// What a document calls this kind of place.
    fn member(&self) -> &'static str {
        match self {
            Self::Pointer(_) => "pointer",
            Self::Parameter(_) => "parameter",
            Self::Header(_) => "header",
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What is wrong there.
    pub detail: Cow<'static, str>,
}

impl Serialize for Fault {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(2))?;
        members.serialize_entry(self.place.member(), self.place.as_str())?;
        members.serialize_entry("detail", &self.detail)?;
        members.end()
    }
}

/// A refusal: the code decides status and title, the detail says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which of the closed set.
    pub code: Code,
    /// For a person: what was wrong in this request, and what to do. Never another tenant's data, never a secret.
    pub detail: Cow<'static, str>,
    /// What is to blame, if it is known.
    pub errors: Vec<Fault>,
}

impl Problem {
    /// A problem that no single field is to blame for.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new() }
    }

    /// The same problem, with what is to blame: a member of the body by its JSON pointer, which begins with a slash,
    /// or a header by its name.
    #[must_use]
    pub fn at(self, place: impl Into<String>) -> Self {
        let place = place.into();
        if place.starts_with('/') {
            self.in_place(Place::Pointer(place))
        } else {
            self.in_place(Place::Header(place))
        }
    }

    /// The same problem, with the one place that is to blame.
    #[must_use]
    pub fn in_place(self, place: Place) -> Self {
        let errors = vec![Fault { place, detail: self.detail.clone() }];
        Self { errors, ..self }
    }

    /// The same problem, with all that is wrong.
    #[must_use]
    pub fn of(self, errors: Vec<Fault>) -> Self {
        Self { errors, ..self }
    }

    /// Pointer or name of the first place that is to blame.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.errors.first().map(|fault| fault.place.as_str())
    }

    /// The document of RFC 9457, with `code`, `errors` as in its section 3 (RFC 9457 knows pointers alone; `parameter`
    /// and `header` are JSON:API's words), and `message` = `detail`, which one SDK insists on.
    ///
    /// `type` is a path that the same host answers with the page of `docs/errors`.
    #[must_use]
    pub fn document(&self, request_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Document<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            code: Code,
            detail: &'a str,
            message: &'a str,
            #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
            errors: &'a [Fault],
            request_id: &'a str,
        }
        let document = Document {
            r#type: format!("/errors/{}", self.code),
            title: self.code.title(),
            status: self.code.status(),
            code: self.code,
            detail: &self.detail,
            message: &self.detail,
            errors: &self.errors,
            request_id,
        };
        // A struct of strings and numbers always serialises.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_headed_by_its_code_and_says_what_to_do() {
        for code in Code::ALL {
            let page = code.page();
            assert!(page.starts_with(&format!("# {code}\n")), "{code}");
            assert!(page.contains("**What to do.**"), "{code}");
            assert!(page.contains(&code.status().to_string()), "{code}");
        }
    }

    fn faults(shown: &serde_json::Value) -> Vec<Fault> {
        let fault = |fault: &serde_json::Value| {
            let text = |name: &str| fault[name].as_str().map(str::to_owned);
            let pointer = text("pointer").map(Place::Pointer);
            let place = pointer.or_else(|| text("parameter").map(Place::Parameter));
            let place = place.or_else(|| text("header").map(Place::Header)).unwrap();
            Fault { place, detail: text("detail").unwrap().into() }
        };
        shown.as_array().into_iter().flatten().map(fault).collect()
    }

    #[test]
    fn the_example_on_each_page_is_a_document_of_its_code() {
        for code in Code::ALL {
            let (_, rest) = code.page().split_once("```json\n").unwrap();
            let (example, _) = rest.split_once("\n```").unwrap();
            let shown: serde_json::Value = serde_json::from_str(example).unwrap();
            let text = |name: &str| shown[name].as_str().map(str::to_owned);
            let problem = Problem::new(*code, text("detail").unwrap()).of(faults(&shown["errors"]));
            let document: serde_json::Value =
                serde_json::from_slice(&problem.document(&text("request_id").unwrap())).unwrap();
            assert_eq!(document, shown);
        }
    }

    #[test]
    fn a_document_has_the_members_of_rfc_9457_and_those_that_sdks_read() {
        let problem = Problem::new(Code::InvalidEvent, "event 3 has no name").at("/batch/3/event");
        let document: serde_json::Value = serde_json::from_slice(&problem.document("r1")).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "type": "/errors/invalid_event", "title": "An event is not valid", "status": 400,
                "code": "invalid_event", "detail": "event 3 has no name", "message": "event 3 has no name",
                "errors": [{"pointer": "/batch/3/event", "detail": "event 3 has no name"}], "request_id": "r1"
            })
        );
        let header = Problem::new(Code::MissingKey, "no key").at("authorization");
        let document: serde_json::Value = serde_json::from_slice(&header.document("r2")).unwrap();
        assert_eq!(document["errors"], serde_json::json!([{"header": "authorization", "detail": "no key"}]));
    }
}
