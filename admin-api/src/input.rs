//! What a request brings: bodies and parameters. Whatever is wrong with one becomes a problem that names the place.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use accounts::PageRequest;
use axum::body::{Body as Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use chrono::{DateTime, Datelike, Utc};
use schemas::problem::{Code, Fault, Place, Problem};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::reply::Refused;

/// Bytes of a body at most.
pub(crate) const BODY_BYTES_MAX: usize = 256 * 1024;
/// From the end of the header to the end of the body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of a parameter of the query at most: OpenID providers send some hundred, and cursors fewer.
const PARAMETER_BYTES_MAX: usize = 8 * 1024;
/// Parameters that are times. Others may look like one.
const TIMES: [&str; 2] = ["from", "to"];
/// Unknown members that one reply names at most.
const UNKNOWN_MAX: usize = 16;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

/// Parameters of the query.
pub(crate) struct Parameters<T>(pub(crate) T);

/// Which page of a list is asked for, by the parameters `limit` and `cursor`.
pub(crate) struct Paging(pub(crate) PageRequest);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedPage {
    limit: Option<i64>,
    cursor: Option<String>,
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        if !is_json(request.headers()) {
            let detail = "send `Content-Type: application/json`, and a body of JSON in UTF-8";
            return Err(Refused::new(Problem::new(Code::UnsupportedMediaType, detail).at("content-type")));
        }
        let (_, body) = request.into_parts();
        read(&whole(body).await?).map(Body)
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let query = parts.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).try_for_each(|(name, value)| readable(&name, &value))?;
        let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(pairs).map(Parameters).map_err(|error| {
            let (path, why) = (error.path().to_string(), error.inner().to_string());
            // What stands there twice, or is missing, has no path.
            let quoted = why.split('`').nth(1).filter(|_| path == ".");
            let name = quoted.map_or(path.clone(), str::to_owned);
            let detail = format!("{name}: {why}");
            Refused::new(Problem::new(Code::InvalidArgument, detail).in_place(Place::Parameter(name)))
        })
    }
}

/// Whether a parameter can be compared with what is stored. What is not UTF-8 was decoded to U+FFFD.
fn readable(name: &str, value: &str) -> Result<(), Refused> {
    let rule = match [name, value] {
        texts if texts.iter().any(|text| text.len() > PARAMETER_BYTES_MAX) => "it is too long",
        texts if texts.iter().any(|text| text.contains('\0')) => "it holds the character U+0000",
        texts if texts.iter().any(|text| text.contains('\u{fffd}')) => "it is not UTF-8",
        [name, value] if TIMES.contains(&name) && is_unheard_of(value) => "times lie between 1970 and 2200",
        _ => return Ok(()),
    };
    let name: String = name.chars().filter(|c| *c != '\0').take(100).collect();
    Err(Refused::invalid_at(Place::Parameter(name.clone()), format!("{name}: {rule}")))
}

/// Whether it is a time at which nothing of weir's was or will be.
fn is_unheard_of(value: &str) -> bool {
    value.parse::<DateTime<Utc>>().is_ok_and(|at| !(1970..2200).contains(&at.year()))
}

impl<S: Sync> FromRequestParts<S> for Paging {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let Parameters(AskedPage { limit, cursor }) = Parameters::from_request_parts(parts, state).await?;
        Ok(Self(PageRequest::new(limit, cursor)?))
    }
}

/// `application/json`: other types whose suffix says JSON mean something by it that no operation takes. JSON has one
/// charset, UTF-8 (RFC 8259); other parameters are not looked at.
fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = said.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let mut charsets = parts
        .filter_map(|part| part.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let is_utf8 = charsets.all(|(_, of)| of.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"));
    essence == "application/json" && is_utf8
}

/// A body, up to its limits in size and time.
///
/// # Errors
/// 408, 413, or 400 if the connection broke off.
pub(crate) async fn whole(body: Bytes) -> Result<axum::body::Bytes, Refused> {
    let Ok(read) = tokio::time::timeout(BODY_DEADLINE, to_bytes(body, BODY_BYTES_MAX)).await else {
        let detail = "the body did not arrive in time: send it at once";
        return Err(Refused::new(Problem::new(Code::RequestTimeout, detail)));
    };
    read.map_err(|error| {
        let is_large = std::error::Error::source(&error)
            .is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>());
        Refused::new(if is_large {
            Problem::new(Code::BodyTooLarge, format!("the body is larger than {BODY_BYTES_MAX} bytes"))
        } else {
            Problem::new(Code::InvalidJson, "the body broke off")
        })
    })
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    if let Some(pointer) = nul(bytes) {
        let rule = format!("{pointer} holds the character U+0000, which can't be stored: leave it out");
        return Err(Refused::invalid_at(Place::Pointer(pointer), rule));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json);
    let Object(value) = read.map_err(|error| {
        if error.inner().is_data() { invalid::<T>(bytes, &error) } else { malformed(error.inner()) }
    })?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

/// Where in a body a text holds the character U+0000.
fn nul(bytes: &[u8]) -> Option<String> {
    const WRITTEN: &[u8] = br"\u0000";
    if !bytes.windows(WRITTEN.len()).any(|part| part == WRITTEN) {
        return None;
    }
    nul_in(&serde_json::from_slice(bytes).ok()?)
}

fn nul_in(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(values) => {
            let mut found = values.iter().enumerate();
            found.find_map(|(index, value)| nul_in(value).map(|rest| format!("/{index}{rest}")))
        }
        Value::Object(members) => members
            .iter()
            .find_map(|(name, value)| nul_in(value).map(|rest| format!("/{}{rest}", escaped(name)))),
    }
}

/// What is read from an object: for serde an array of the members in their order would do as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(deserializer).map(Self)
    }
}

/// For a member that is an object, and no array.
pub(crate) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Members(PhantomData))
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

fn malformed(error: &serde_json::Error) -> Refused {
    Refused::new(Problem::new(Code::InvalidJson, format!("the body is not JSON: {error}")))
}

type Misread = serde_path_to_error::Error<serde_json::Error>;

/// Names all members that are not known, and what else is wrong first.
fn invalid<T: DeserializeOwned>(bytes: &[u8], first: &Misread) -> Refused {
    let mut faults = vec![fault(first)];
    let mut rest: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let mut unknown = unknown_member(first);
    while let Some(pointer) = unknown.take().filter(|_| faults.len() < UNKNOWN_MAX) {
        if !remove(&mut rest, &pointer) {
            break;
        }
        if let Err(next) = serde_path_to_error::deserialize::<_, Object<T>>(&rest) {
            faults.push(fault(&next));
            unknown = unknown_member(&next);
        }
    }
    let all: Vec<&str> = faults.iter().map(|fault| fault.detail.as_ref()).collect();
    Refused::new(Problem::new(Code::InvalidArgument, all.join("; ")).of(faults))
}

fn fault(error: &Misread) -> Fault {
    let text = error.inner().to_string();
    // Where it stands in the text helps with JSON that is malformed, and with nothing else.
    let detail = text.split_once(" at line ").map_or(text.as_str(), |(detail, _)| detail).to_owned();
    let missing = detail.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let place =
        pointer(error.path()) + &missing.map(|name| format!("/{}", escaped(name))).unwrap_or_default();
    Fault { place: Place::Pointer(place), detail: detail.into() }
}

fn unknown_member(error: &Misread) -> Option<String> {
    error.inner().to_string().starts_with("unknown field `").then(|| pointer(error.path()))
}

fn pointer(path: &Path) -> String {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escaped(key)),
        Segment::Enum { variant } => format!("/{}", escaped(variant)),
        Segment::Unknown => String::new(),
    };
    path.iter().map(step).collect()
}

/// As RFC 6901 writes a name.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn remove(value: &mut Value, pointer: &str) -> bool {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return false };
    let name = name.replace("~1", "/").replace("~0", "~");
    let parent = value.pointer_mut(parent).and_then(Value::as_object_mut);
    parent.is_some_and(|members| members.remove(&name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read is not looked at")]
    struct Outer {
        name: String,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read is not looked at")]
    struct Inner {
        count: u8,
    }

    fn problem(body: &str) -> serde_json::Value {
        let refused = read::<Outer>(body.as_bytes()).unwrap_err();
        serde_json::from_slice(&refused.problem().document("r")).unwrap()
    }

    #[test]
    fn all_members_that_are_not_known_are_named_with_what_else_is_wrong() {
        let shown = problem(r#"{"a/b":1,"inner":{"count":1,"more":2},"also":{}}"#);
        let places: Vec<_> =
            shown["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
        assert_eq!(places, ["/a~1b", "/also", "/inner/more", "/name"]);
        assert_eq!(shown["code"], "invalid_argument");
        assert!(shown["detail"].as_str().unwrap().contains("unknown field `also`"), "{shown}");
        let many: Vec<String> = (0..100).map(|number| format!(r#""x{number}":0"#)).collect();
        let shown = problem(&format!("{{{}}}", many.join(",")));
        assert_eq!(shown["errors"].as_array().unwrap().len(), UNKNOWN_MAX);
    }

    #[test]
    fn a_member_of_another_type_is_pointed_at_and_what_is_no_json_is_said() {
        let shown = problem(r#"{"name":"x","inner":{"count":300}}"#);
        assert_eq!(shown["errors"][0]["pointer"], "/inner/count");
        for body in ["[]", r#"["x",null]"#, r#""x""#, "1", "null"] {
            assert_eq!(
                (&problem(body)["errors"][0]["pointer"], &problem(body)["code"]),
                (&"".into(), &"invalid_argument".into()),
                "{body}"
            );
        }
        let shown = problem(r#"{"name":"a","inner":{"count":1,"x\u0000":"\\u0000\u0000"}}"#);
        assert_eq!(shown["errors"][0]["pointer"], "/inner/x\0");
        assert!(read::<Outer>(br#"{"name":"\\u0000","inner":null}"#).is_ok(), "no more than six signs");
        for body in ["", "{", r#"{"name":"x"} {}"#, "\u{feff}{}"] {
            assert_eq!(problem(body)["code"], "invalid_json", "{body}");
        }
    }

    #[test]
    fn the_media_type_of_json_is_taken_and_no_other() {
        let is = |said: &'static str| {
            let value = axum::http::HeaderValue::from_static(said);
            is_json(&HeaderMap::from_iter([(CONTENT_TYPE, value)]))
        };
        assert!(is("application/json") && is("application/json; charset=utf-8"));
        assert!(is("Application/JSON") && !is("application/merge-patch+json"));
        assert!(!is("application/problem+json"), "a problem is a reply");
        assert!(is("application/json;charset=\"UTF-8\"; q=1") && is("application/json; x=y"));
        assert!(!is("application/json; charset=utf-16") && !is("application/json;Charset=latin1"));
        assert!(!is("text/plain") && !is("application/jsonp") && !is("") && !is_json(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_and_one_byte_more_is_too_large() {
        let of = |bytes: usize| whole(Bytes::from(vec![b' '; bytes]));
        assert_eq!(of(BODY_BYTES_MAX).await.unwrap().len(), BODY_BYTES_MAX);
        assert_eq!(of(BODY_BYTES_MAX + 1).await.unwrap_err().problem().code, Code::BodyTooLarge);
    }

    #[test]
    fn a_time_lies_where_times_lie_and_a_text_may_look_like_any_time() {
        for at in ["1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z"] {
            assert!(TIMES.iter().all(|name| readable(name, at).is_err()), "{at}");
            assert!(["q", "reason"].iter().all(|name| readable(name, at).is_ok()), "{at}");
        }
        assert!(readable("from", "1970-01-01T00:00:00Z").is_ok());
    }

    #[tokio::test]
    async fn parameters_are_named_in_what_is_wrong_with_them() {
        for (query, name) in [
            ("limit=many", "limit"),
            ("page=2", "page"),
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=-1", "limit"),
            ("limit=1&limit=2", "limit"),
            ("cursor=%00", "cursor"),
            ("cursor=%ff", "cursor"),
            ("cursor=%f0%9f%92", "cursor"),
        ] {
            let request = Request::get(format!("/?{query}")).body(()).unwrap();
            let (mut parts, ()) = request.into_parts();
            let refused = Paging::from_request_parts(&mut parts, &()).await.err().unwrap();
            let place = Place::Parameter(name.to_owned());
            assert_eq!(refused.problem().errors.first().map(|fault| &fault.place), Some(&place), "{query}");
        }
    }
}
