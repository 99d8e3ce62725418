use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

/// What the event holds, put together again as the client's members.
fn reassembled(event: &Incoming<'_>) -> BTreeMap<String, Value> {
    let mut members: BTreeMap<String, Value> = BTreeMap::new();
    if !event.extra.is_empty() {
        members.extend(serde_json::from_str::<BTreeMap<String, Value>>(&event.extra).unwrap());
    }
    for (key, text) in
        [("event", &event.name), ("user_id", &event.user_id), ("anonymous_id", &event.anonymous_id)]
    {
        if !text.is_empty() {
            members.insert(key.into(), Value::from(text.as_ref()));
        }
    }
    if let Some(id) = &event.id {
        members.insert("id".into(), Value::from(id.as_ref()));
    }
    for (key, object) in [("properties", &event.properties), ("context", &event.context)] {
        if !object.is_empty() {
            members.insert(key.into(), parsed(object));
        }
    }
    members
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~é😀\n]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zé\"\\\\]{0,6}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-zé\"\\\\]{0,6}", value(), 0..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn event() -> impl Strategy<Value = BTreeMap<String, Value>> {
    let text = || "[ -~é😀]{1,40}".prop_map(Value::from);
    let known = prop_oneof![
        (Just("id".to_owned()), text()),
        (Just("user_id".to_owned()), text()),
        (Just("anonymous_id".to_owned()), text()),
        (Just("properties".to_owned()), object()),
        (Just("context".to_owned()), object()),
        ("x[ -~é\"\\\\]{0,8}", value()),
    ];
    (text(), prop::collection::vec(known, 0..8)).prop_map(|(name, members)| {
        let mut event: BTreeMap<String, Value> = members.into_iter().collect();
        event.insert("event".into(), name);
        event
    })
}

/// JSON in which everything that is not ASCII is escaped, as Python writes it.
fn ascii(json: &str) -> String {
    let mut escaped = String::new();
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_kept_is_what_was_sent(events in prop::collection::vec(event(), 1..5), escape: bool, pretty: bool) {
        let body = serde_json::json!({"batch": events});
        let mut body = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
        if escape {
            body = ascii(&body);
        }
        let batch = json(&body);
        prop_assert_eq!(&batch.rejected, &[]);
        let kept: Vec<_> = batch.events.iter().map(reassembled).collect();
        prop_assert_eq!(kept, events);
    }

    #[test]
    fn pieces_are_copied_byte_for_byte(
        members in prop::collection::btree_map("x[a-z]{1,5}", value(), 1..5),
        properties in object(),
    ) {
        let properties = serde_json::to_string_pretty(&properties).unwrap();
        let raw: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\" :  {value:#}")).collect();
        let body = format!("{{\"event\":\"e\",{},\"properties\": {properties} }}", raw.join(" , "));
        let event = only(json(&body));
        prop_assert_eq!(event.properties.as_ref(), properties);
        prop_assert_eq!(event.extra.as_ref(), format!("{{{}}}", raw.join(",")));
    }

    #[test]
    fn every_truncation_is_refused(events in prop::collection::vec(event(), 1..3), list: bool) {
        let body = if list { serde_json::json!(events) } else { serde_json::json!({"batch": events}) }.to_string();
        for end in 0..body.len() {
            let problem = native(&body.as_bytes()[..end], NativeShape::Json).unwrap_err();
            prop_assert_eq!(problem.code, Code::InvalidJson);
        }
    }

    #[test]
    fn damaged_bodies_are_json_to_us_when_they_are_to_serde_json(
        events in prop::collection::vec(event(), 1..3),
        place: prop::sample::Index,
        byte in prop::sample::select(br#"[]{},:"\0 1eutn-."#.to_vec()),
    ) {
        let mut body = ascii(&serde_json::json!({"batch": events}).to_string()).into_bytes();
        let place = place.index(body.len());
        body[place] = byte;
        let text = std::str::from_utf8(&body).unwrap();
        let ours = native(&body, NativeShape::Json);
        if serde_json::from_str::<&RawValue>(text).is_ok() {
            let refused = matches!(&ours, Err(problem) if problem.code == Code::InvalidJson);
            prop_assert!(!refused, "{}", text);
        } else {
            prop_assert!(ours.is_err(), "{}", text);
        }
        for event in ours.iter().flat_map(|batch| &batch.events) {
            for kept in [&event.properties, &event.context, &event.extra] {
                prop_assert!(kept.is_empty() || parsed(kept).is_object());
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        json in r#"[\[\]{}",:\\a-z0-9 \n]{0,60}"#,
    ) {
        for body in [bytes.as_slice(), json.as_bytes()] {
            let _ = native(body, NativeShape::Json);
            let _ = native(body, NativeShape::Ndjson);
            let _ = segment(body, None);
            let _ = segment(body, Some(EventKind::Identify));
            let _ = posthog(body, Micros(0), None);
            let _ = cloudevents(body);
            let _ = json_of_form(body.to_vec().into(), &mut Room::free(100));
        }
    }

    #[test]
    fn no_values_in_known_places_make_it_panic(values in prop::collection::vec(value(), 9), batch: bool) {
        let names = ["event", "uuid", "distinct_id", "timestamp", "offset", "properties", "token", "sent_at", "$set"];
        let members = names.iter().map(|name| (*name).to_owned()).zip(values.clone());
        let event = serde_json::Value::Object(members.collect());
        let body = if batch { serde_json::json!({"batch": [event], "token": values[0]}) } else { event };
        let _ = posthog(body.to_string().as_bytes(), Micros(i64::MIN), Some(Micros(i64::MAX)));
        let names = ["id", "source", "type", "specversion", "subject", "time", "data", "data_base64", "x"];
        let event = serde_json::Value::Object(names.iter().map(|name| (*name).to_owned()).zip(values).collect());
        let body = if batch { serde_json::json!([event]) } else { event };
        let _ = cloudevents(body.to_string().as_bytes());
    }

    #[test]
    fn every_truncation_of_a_foreign_body_is_refused(events in prop::collection::vec(event(), 1..3), escape: bool) {
        let written = |body: serde_json::Value| if escape { ascii(&body.to_string()) } else { body.to_string() };
        let body = written(serde_json::json!({"api_key": "k", "batch": events}));
        for end in 0..body.len() {
            let body = json_of_form(body.as_bytes()[..end].to_vec().into(), &mut Room::free(1 << 20)).unwrap();
            prop_assert_eq!(posthog(&body, Micros(0), None).unwrap_err().code, Code::InvalidJson);
        }
        let body = written(serde_json::json!(events));
        for end in 0..body.len() {
            prop_assert_eq!(cloudevents(&body.as_bytes()[..end]).unwrap_err().code, Code::InvalidJson);
        }
    }

    #[test]
    fn any_header_and_body_make_an_event_that_is_json_or_none(
        name in "ce-[a-z0-9]{1,8}",
        value in prop::collection::vec(any::<u8>(), 0..40),
        content_type in prop::sample::select(vec!["", "application/json", "text/plain", "x"]),
        body in prop::collection::vec(any::<u8>(), 0..60),
        json in value(),
    ) {
        for body in [body, json.to_string().into_bytes()] {
            let headers = [(name.as_str(), value.as_slice()), ("ce-id", b"1")];
            if let Ok(event) = binary_cloudevent(headers.into_iter(), content_type, &body) {
                prop_assert!(parsed(&event)["id"] == "1" || name == "ce-id");
                let _ = cloudevents(event.as_bytes());
            }
        }
    }
}

#[test]
fn an_event_of_plain_json_borrows_all_that_it_keeps() {
    let event = only(json(
        r#"{"id":"i","event":"e","user_id":"u","anonymous_id":7,"properties":{"a":"\u00e9"},"context":{}}"#,
    ));
    let id = event.id.unwrap();
    for kept in
        [id, event.name, event.user_id, event.anonymous_id, event.properties, event.context, event.extra]
    {
        assert!(matches!(kept, Cow::Borrowed(_)), "{kept}");
    }
}

#[test]
fn what_readers_behind_ingest_would_refuse_is_mended_wherever_it_stands() {
    let event = only(json(
        r#"{"event":"e","properties":{"a":NaN,"b":[-Infinity,1e999]},"context":{"\ud800":"\udc00"},"x":Infinity,"\ud800":1}"#,
    ));
    assert_eq!(event.properties, r#"{"a":null,"b":[null,"1e999"]}"#);
    assert_eq!(event.context, r#"{"\ufffd":"\ufffd"}"#);
    assert_eq!(event.extra, r#"{"x":null,"\ufffd":1}"#);
    assert_eq!(event.flags.0 & EventFlags::NOT_FINITE.0, EventFlags::NOT_FINITE.0);
    let neighbour = json(r#"[{"event":"a","n":NaN},{"event":"b","n":"NaN"}]"#);
    assert_eq!(neighbour.events[1].flags.0 & EventFlags::NOT_FINITE.0, 0);
}

#[test]
fn numbers_keep_their_digits() {
    let event = only(json(r#"{"event":"e","n":9007199254740993,"properties":{"x":0.10,"y":1E+2,"z":-0}}"#));
    assert_eq!(event.extra, r#"{"n":9007199254740993}"#);
    assert_eq!(event.properties, r#"{"x":0.10,"y":1E+2,"z":-0}"#);
}
