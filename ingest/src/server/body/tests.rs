//! Bodies as foreign suites wrap them; `ingest/golden/foreign/README.md` names the sources.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use serde_json::{Value, json};

use super::*;

const NOW: Micros = Micros(1_793_871_010_000_000);
const EVENT: &str = include_str!("../../../golden/foreign/posthog_event.json");
const ENGAGE: &str = include_str!("../../../golden/foreign/posthog_engage.json");
const FORM: &str = "application/x-www-form-urlencoded";
/// 2025-07-01T11:00:00Z.
const SENT_AT: Micros = Micros(1_751_367_600_000_000);

/// What a body's parser has made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    key: Option<String>,
    names: Vec<String>,
    users: Vec<String>,
    sent_at: Vec<Option<Micros>>,
    properties: Vec<Value>,
    extra: Vec<String>,
}

fn read(
    dialect: Dialect,
    query: &str,
    headers: &[(&'static str, &str)],
    body: &[u8],
) -> Result<Seen, Problem> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    let form = Form::of(dialect, &headers, Some(query))?;
    let mut room = Room::unlimited();
    let body = form.json(Bytes::copy_from_slice(body), &headers, &mut room)?;
    let batch = form.decode(&body, NOW, &mut room)?;
    let key = batch.key()?.map(str::to_owned);
    if let Some(rejection) = batch.rejected.first() {
        return Err(rejection.problem.clone());
    }
    let events = batch.events.iter();
    Ok(Seen {
        key,
        names: events.clone().map(|event| event.name.to_string()).collect(),
        users: events.clone().map(|event| event.user_id.to_string()).collect(),
        sent_at: events.clone().map(|event| event.sent_at).collect(),
        properties: events
            .clone()
            .map(|event| serde_json::from_str(&event.properties).unwrap_or_default())
            .collect(),
        extra: events.map(|event| event.extra.to_string()).collect(),
    })
}

fn posthog(query: &str, content_type: &str, body: &[u8]) -> Result<Seen, Problem> {
    read(Dialect::PostHog, query, &[("content-type", content_type)], body)
}

/// As `application/x-www-form-urlencoded` has it: blanks are pluses.
fn form_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The ways in which PostHog's own tests wrap a body: query, content type, body.
fn wrapped(json: &str) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let base64 = STANDARD.encode(json);
    vec![
        ("_=1751367600000", "application/json", json.as_bytes().to_vec()),
        ("_=1751367600000&compression=base64", "application/json", base64.clone().into_bytes()),
        ("_=1751367600000", "text/plain", base64.into_bytes()),
        ("_=1751367600000&compression=gzip", "application/json", gzip(json)),
        ("_=1751367600000", "text/plain", gzip(json)),
        ("_=1751367600000", FORM, format!("data={}&ver=1.2.3", form_encoded(json)).into_bytes()),
    ]
}

#[test]
fn posthogs_own_cases_are_read_however_they_are_wrapped() {
    let batch =
        format!(r#"{{"api_key":"phc_batch","historical_migration":false,"batch":[{EVENT},{EVENT}]}}"#);
    let sent: Value = serde_json::from_str(EVENT).unwrap();
    for (json, key, events) in [(EVENT, sent["api_key"].as_str().unwrap(), 1), (&batch, "phc_batch", 2)] {
        for (query, content_type, body) in wrapped(json) {
            let seen = posthog(query, content_type, &body).unwrap_or_else(|problem| {
                panic!("{query} {content_type}: {problem:?}");
            });
            let same = |text: &str| vec![text.to_owned(); events];
            assert_eq!(seen.key.as_deref(), Some(key), "{query} {content_type}");
            assert_eq!(seen.names, same("$autocapture"), "{query} {content_type}");
            assert_eq!(seen.users, same("019833ae-4913-7179-b6bc-019570abb1c9"), "{query} {content_type}");
            assert_eq!(seen.sent_at, vec![Some(SENT_AT); events], "{query} {content_type}");
            assert_eq!(seen.properties, vec![sent["properties"].clone(); events], "{query} {content_type}");
        }
    }
}

#[test]
fn posthogs_engage_cases_are_identify_calls() {
    for (query, content_type, body) in wrapped(ENGAGE) {
        let seen = read(Dialect::PostHogEngage, query, &[("content-type", content_type)], &body).unwrap();
        assert_eq!(
            (seen.names, seen.users),
            (vec!["$identify".into()], vec!["known_user@example.com".into()])
        );
        let set = json!({"foo": "bar", "baz": 42});
        let properties = json!({"$anon_distinct_id": "01983d85-e613-7067-a70e-21bb63f8b8ee", "$set": set});
        assert_eq!(seen.properties, [properties], "{query} {content_type}");
    }
    // On other routes an event needs a name.
    assert_eq!(posthog("", "application/json", ENGAGE.as_bytes()).unwrap_err().code, Code::InvalidEvent);
}

#[test]
fn what_is_set_is_kept_and_the_user_may_have_a_dollar() {
    let body = br#"[{"$token":"k","$distinct_id":"u","$set":{"a":1}},
        {"$token":"k","$distinct_id":2,"$set_once":{"b":"c"}}]"#;
    let seen = read(Dialect::PostHogEngage, "", &[], body).unwrap();
    assert_eq!((seen.key.as_deref(), seen.users), (Some("k"), vec!["u".to_owned(), "2".to_owned()]));
    assert_eq!(seen.extra, [r#"{"$set":{"a":1}}"#, r#"{"$set_once":{"b":"c"}}"#]);
}

#[test]
fn a_plus_in_a_form_is_a_blank_and_in_base64_a_plus() {
    let json = r#"{"api_key":"k","event":"a b+c","distinct_id":"~~~?>?>?>"}"#;
    let base64 = STANDARD.encode(json);
    assert!(base64.contains('+'), "{base64}");
    for data in [form_encoded(json), base64.clone(), base64.replace('+', " "), base64.replace('+', "%2B")] {
        let seen = posthog("", FORM, format!("data={data}").as_bytes()).unwrap();
        assert_eq!(
            (seen.names, seen.users),
            (vec!["a b+c".to_owned()], vec!["~~~?>?>?>".to_owned()]),
            "{data}"
        );
    }
}

#[test]
fn a_forms_other_fields_hold_for_the_request() {
    let event = form_encoded(r#"[{"event":"e","token":"a"},{"event":"e","token":"b"}]"#);
    for (fields, key, sent_at) in [
        ("api_key=form&", "form", None),
        ("token=form%2B&ver=1&", "form+", None),
        ("token=t&api_key=form&sent_at=2025-07-01T11%3A00%3A00Z&", "form", Some(SENT_AT)),
        ("api_key=form&sent_at=1751367600000&", "form", Some(SENT_AT)),
        ("_=1751367600000&api_key=form&", "form", Some(SENT_AT)),
    ] {
        let seen = posthog("", FORM, format!("{fields}data={event}").as_bytes()).unwrap();
        assert_eq!((seen.key.as_deref(), seen.sent_at[0]), (Some(key), sent_at), "{fields}");
    }
    for (body, code) in [
        (format!("data={event}"), Code::InvalidBatch),
        ("compression=lz64&data=N4Ig".to_owned(), Code::UnsupportedEncoding),
        ("data=N4Ig".to_owned(), Code::InvalidJson),
    ] {
        assert_eq!(posthog("", FORM, body.as_bytes()).unwrap_err().code, code, "{body}");
    }
    // What it says of its compression counts only where nothing can be read without.
    let seen =
        posthog("", FORM, b"compression=lz64&data=%7B%22api_key%22%3A%22k%22%2C%22event%22%3A%22e%22%7D");
    assert_eq!(seen.unwrap().key.as_deref(), Some("k"));
}

#[test]
fn the_requests_own_key_counts_before_its_events() {
    for (body, key) in [
        (r#"{"batch":[{"event":"e","token":"a"}],"api_key":"own"}"#, Ok(Some("own"))),
        (
            r#"{"api_key":"own","batch":[{"event":"e","token":"a"},{"event":"e","token":"b"}]}"#,
            Ok(Some("own")),
        ),
        (
            r#"{"batch":[{"event":"e","token":"a"},{"event":"e","token":"b"}],"api_key":"own"}"#,
            Ok(Some("own")),
        ),
        (r#"{"batch":[{"event":"e","properties":{"token":"wk_a"}}],"api_key":"own"}"#, Ok(Some("own"))),
        (r#"[{"event":"e","token":"a"},{"event":"e"},{"event":"e","api_key":"a"}]"#, Ok(Some("a"))),
        (r#"[{"event":"e","token":"a"},{"event":"e","token":"b"}]"#, Err(Code::InvalidBatch)),
        (
            r#"[{"event":"e","token":"a"},{"event":"e","properties":{"token":"wk_b"}}]"#,
            Err(Code::InvalidBatch),
        ),
        (r#"{"batch":[{"event":"e","token":"a"},{"event":"e","token":"b"}]}"#, Err(Code::InvalidBatch)),
    ] {
        let seen = posthog("", "application/json", body.as_bytes());
        let seen = seen.as_ref().map(|seen| seen.key.as_deref()).map_err(|problem| problem.code);
        assert_eq!(seen, key, "{body}");
    }
}

const CE: [(&str, &str); 4] = [
    ("ce-specversion", "1.0"),
    ("ce-type", "com.example.someevent"),
    ("ce-id", "1234-1234-1234"),
    ("ce-source", "/mycontext/subcontext"),
];

#[test]
fn cloudevents_own_cases_of_the_http_binding_are_read() {
    let time = ("ce-time", "2018-04-05T03:56:24Z");
    let data = json!({"message": "Hello World!"});
    let structured = json!({"specversion": "1.0", "type": "com.example.someevent", "id": "1234-1234-1234",
        "time": "2018-04-05T03:56:24Z", "source": "/mycontext/subcontext",
        "datacontenttype": "application/json", "data": data});
    for (content_type, headers, body) in [
        ("application/json", [&CE[..], &[time]].concat(), &data),
        ("application/json; charset=utf-8", [&CE[..], &[time]].concat(), &data),
        ("application/cloudevents+json", vec![], &structured),
        ("application/cloudevents+json; charset=utf-8", vec![], &structured),
    ] {
        let headers = [&[("content-type", content_type)], &headers[..]].concat();
        let seen = read(Dialect::CloudEvents, "", &headers, body.to_string().as_bytes()).unwrap();
        assert_eq!(seen.names, ["com.example.someevent"], "{content_type}");
        assert_eq!(seen.properties, std::slice::from_ref(&data), "{content_type}");
        let extra: Value = serde_json::from_str(&seen.extra[0]).unwrap();
        assert_eq!(
            (&extra["specversion"], &extra["source"]),
            (&json!("1.0"), &json!("/mycontext/subcontext"))
        );
    }
}

#[test]
fn cloudevents_own_minimal_cases_are_read_whatever_their_data_is() {
    for (content_type, data) in [
        ("text/plain; charset=us-ascii", "Hello, World!\n"),
        ("text/plain; charset=utf-8", "Hello, \u{1f30e}!\n"),
        ("application/json; charset=utf-8", "\"Hello, \u{1f30e}!\"\n"),
        ("application/json; charset=utf-8", "{\"msg\":\"Hello, \u{1f30e}!\"}\n"),
        ("application/json; charset=utf-8", "[\"Hello\",\"\u{1f30e}!\"]\n"),
        ("application/xml; charset=utf-8", "<msg>Hello, \u{1f30e}!</msg>\n"),
    ] {
        let headers = [&[("content-type", content_type)], &CE[..]].concat();
        let seen = read(Dialect::CloudEvents, "", &headers, data.as_bytes()).unwrap();
        assert_eq!(seen.names, ["com.example.someevent"], "{content_type} {data}");
        let kept = format!("{} {}", seen.properties[0], seen.extra[0]);
        assert!(kept.contains("Hello"), "{kept}");
    }
}
