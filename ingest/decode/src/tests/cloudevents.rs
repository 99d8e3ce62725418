use super::*;

const REQUIRED: &str = r#""id":"1","source":"s","type":"t""#;

fn read(body: &str) -> Batch<'_> {
    cloudevents(body.as_bytes()).unwrap_or_else(|problem| panic!("{body}: {problem:?}"))
}

/// The only event of a body with these members and those that are required.
fn with<T>(members: &str, look: impl FnOnce(Incoming<'_>) -> T) -> T {
    look(only(read(&format!("{{{REQUIRED}{members}}}"))))
}

#[test]
fn an_event_is_split_into_its_fields() {
    let body = r#"{"specversion":"1.0","id":"e-1","source":"/orders","type":"order.placed","subject":"acme",
        "time":"2026-11-05T09:30:00.123456789Z","datacontenttype":"application/json","data":{"total":12.50},
        "traceparent":"00-ab","sampled":true}"#;
    let event = only(read(body));
    assert_eq!(
        event,
        Incoming {
            index: 0,
            kind: EventKind::Track,
            flags: EventFlags::default(),
            id: Some("/orders e-1".into()),
            name: "order.placed".into(),
            user_id: "acme".into(),
            anonymous_id: "".into(),
            timestamp: Some(Micros(1_793_871_000_123_456)),
            sent_at: None,
            properties: r#"{"total":12.50}"#.into(),
            context: "".into(),
            extra: event.extra.clone(),
        }
    );
    let extra = serde_json::json!({"specversion": "1.0", "source": "/orders", "traceparent": "00-ab",
        "sampled": true, "datacontenttype": "application/json"});
    assert_eq!(parsed(&event.extra), extra);
}

#[test]
fn one_or_a_list_and_nothing_else() {
    assert_eq!(read(&format!("[{{{REQUIRED}}},{{{REQUIRED}}}]")).events.len(), 2);
    // A batch is no word of CloudEvents: such a member is an extension.
    with(r#","batch":[1]"#, |event| assert!(event.extra.contains("batch")));
    for body in ["[]", "7", "\"x\""] {
        assert_eq!(cloudevents(body.as_bytes()).unwrap_err().code, Code::InvalidBatch, "{body}");
    }
}

#[test]
fn what_the_specification_requires_is_required() {
    for missing in ["id", "source", "type"] {
        for value in ["null", "\"\"", "7", "{}"] {
            let others = ["id", "source", "type"].map(|name| {
                let value = if name == missing { value } else { "\"x\"" };
                format!("\"{name}\":{value}")
            });
            let body = format!("[{{{}}},{{{REQUIRED}}}]", others.join(","));
            let batch = read(&body);
            assert_eq!(indexes(&batch), (vec![1], vec![0]), "{body}");
            let expected = format!("/0/{missing}");
            assert_eq!(batch.rejected[0].problem.field(), Some(expected.as_str()), "{body}");
        }
    }
    for (version, good) in [
        ("\"1.0\"", true),
        ("\"1.1\"", true),
        ("\"0.3\"", true),
        ("null", true),
        ("\"2.0\"", false),
        ("1.0", false),
    ] {
        let body = format!(r#"{{{REQUIRED},"specversion":{version}}}"#);
        assert_eq!(read(&body).events.len(), usize::from(good), "{version}");
    }
}

#[test]
fn an_id_is_unique_only_together_with_its_source() {
    let stored = |source: &str, id: &str| {
        let body = serde_json::json!({"id": id, "source": source, "type": "t"}).to_string();
        let event = only(read(&body));
        assert_eq!(parsed(&event.extra)["source"], source);
        let id_is_kept = parsed(&event.extra).get("id").is_some_and(|kept| kept == id);
        let stored = event.id.unwrap().into_owned();
        assert_eq!(id_is_kept, stored.starts_with("sha256:"), "{stored}");
        assert!(stored.len() <= EVENT_ID_BYTES_MAX);
        stored
    };
    assert_eq!(stored("a", "b"), "a b");
    assert_eq!(stored("a", "b c"), "a b c");
    assert_eq!(stored("https://x.example/a", "b"), "https://x.example/a b");
    // Frozen: a retry may come after an upgrade.
    assert_eq!(stored("a b", "c"), "sha256:2094a43d5bd11fea6c172ae9de95219861cc95d57e2b64e77d84e8080a9e4d4f");
    assert_eq!(stored("s", &"x".repeat(126)).len(), 128);
    let long = stored("s", &"x".repeat(127));
    assert_eq!(long.len(), 71);
    let mut all = vec![
        stored("a", "b"),
        stored("b", "a"),
        stored("a", "b c"),
        stored("a b", "c"),
        long,
        stored(&"s".repeat(127), "x"),
        stored(&"s".repeat(1_024), &"i".repeat(1_023)),
        stored(&"s".repeat(1_023), &"i".repeat(1_024)),
        stored(&format!("{}i", "s".repeat(1_023)), &"i".repeat(1_023)),
    ];
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 9);
}

#[test]
fn parts_of_the_identity_have_a_limit_and_stay_distinct() {
    for member in ["id", "source"] {
        let other = if member == "id" { "source" } else { "id" };
        let body = |value: &str| format!(r#"{{"{member}":"{value}","{other}":"x","type":"t"}}"#);
        only(read(&body(&"x".repeat(ATTRIBUTE_BYTES_MAX))));
        for bad in ["x".repeat(ATTRIBUTE_BYTES_MAX + 1), r"\ud800".to_owned(), r"a\u0000".to_owned()] {
            assert_eq!(refusal(read(&body(&bad))).0, format!("/{member}"));
        }
    }
    with(&format!(r#","subject":"{}""#, "x".repeat(512)), |event| assert_eq!(event.user_id.len(), 512));
    let body = format!(r#"{{{REQUIRED},"subject":"{}"}}"#, "x".repeat(513));
    assert_eq!(refusal(read(&body)).0, "/subject");
    let body = format!(r#"{{"id":"1","source":"s","type":"{}"}}"#, "x".repeat(513));
    assert_eq!(refusal(read(&body)).0, "/type");
}

#[test]
fn data_that_is_no_object_is_kept_raw() {
    for data in ["7.0", "\"text\"", "[1, 2]", "true"] {
        with(&format!(r#","data":{data}"#), |event| {
            assert_eq!(event.properties, "");
            assert!(event.extra.contains(&format!(r#""data":{data}"#)), "{}", event.extra);
        });
    }
    with(r#","data":{"a": 1}"#, |event| assert_eq!(event.properties, r#"{"a": 1}"#));
    with(r#","data":null"#, |event| assert!(!event.extra.contains("data")));
    with(r#","data_base64":"AA==""#, |event| assert!(event.extra.contains(r#""data_base64":"AA==""#)));
}

#[test]
fn a_time_that_cannot_be_read_counts_as_absent_and_is_kept() {
    with(r#","time":"2026-11-05T09:30:00+01:00""#, |event| {
        assert_eq!(event.timestamp, Some(Micros(1_793_867_400_000_000)));
    });
    with(r#","time":"now""#, |event| {
        let flags = EventFlags::SERVER_TIME.with(EventFlags::TIME_IGNORED);
        assert_eq!((event.timestamp, event.flags), (None, flags));
        assert!(event.extra.contains(r#""time":"now""#));
    });
}

fn binary(headers: &[(&str, &[u8])], content_type: &str, body: &[u8]) -> Result<String, Problem> {
    binary_cloudevent(headers.iter().copied(), content_type, body)
}

#[test]
fn binary_mode_is_the_same_event_as_structured_mode() {
    let headers: &[(&str, &[u8])] = &[
        ("content-length", b"9"),
        ("ce-id", b"e%201"),
        ("ce-source", b"/caf%C3%A9%22"),
        ("ce-type", b"t"),
        ("ce-specversion", b"1.0"),
        ("ce-subject", "ü".as_bytes()),
        ("ce-note", b"\"quoted \\\"text\\\"\""),
        ("ce-odd", b"100%"),
        ("x-ce-id", b"other"),
    ];
    let event = binary(headers, "application/json", b"{\"a\": 1}").unwrap();
    assert_eq!(
        parsed(&event),
        serde_json::json!({"id": "e 1", "source": "/café\"", "type": "t", "specversion": "1.0", "subject": "ü",
            "note": "quoted \"text\"", "odd": "100%", "datacontenttype": "application/json", "data": {"a": 1}})
    );
    let event = only(read(&event));
    assert_eq!((event.id.as_deref(), event.properties.as_ref()), (Some("/café\" e 1"), "{\"a\": 1}"));
}

#[test]
fn content_type_and_header_decide_the_mode() {
    let ce = ["host", "ce-id", "ce-type"];
    assert!(is_binary_cloudevent(ce.into_iter(), "application/json"));
    assert!(is_binary_cloudevent(ce.into_iter(), ""));
    assert!(!is_binary_cloudevent(ce.into_iter(), "Application/CloudEvents+json; charset=utf-8"));
    assert!(!is_binary_cloudevent(ce.into_iter(), "application/cloudevents-batch+json"));
    assert!(!is_binary_cloudevent(["host", "ce-traceparent"].into_iter(), "application/json"));
}

/// As the JavaScript SDK sends it with fetch, which writes Latin-1.
#[test]
fn an_attribute_that_nobody_encoded_is_read() {
    let attribute = |value: &[u8]| binary(&[("ce-region", value)], "", b"").map(|event| parsed(&event));
    use serde_json::json;
    for (value, text) in [
        (b"z\xfcrich".as_slice(), "zürich"),
        ("zürich".as_bytes(), "zürich"),
        (b"z%C3%BCrich", "zürich"),
        (b"\"z\xfcrich %22\"", "zürich \""),
    ] {
        assert_eq!(attribute(value).unwrap(), json!({"region": text}), "{value:?}");
    }
    assert_eq!(attribute(b"z%FCrich").unwrap_err().code, Code::InvalidEvent);
}

#[test]
fn binary_data_of_any_type_is_kept() {
    let data = |content_type: &str, body: &[u8]| {
        let event = binary(&[("ce-id", b"1")], content_type, body)?;
        let event = parsed(&event);
        Ok::<_, Problem>(event.get("data").or(event.get("data_base64")).cloned())
    };
    use serde_json::json;
    assert_eq!(data("text/plain", b"hello").unwrap(), Some(json!("hello")));
    assert_eq!(data("text/plain", b"7").unwrap(), Some(json!(7)));
    assert_eq!(data("application/x-www-form-urlencoded", b"{\"a\":1}").unwrap(), Some(json!({"a": 1})));
    assert_eq!(data("application/octet-stream", b"\xff\x00").unwrap(), Some(json!("/wA=")));
    assert_eq!(data("application/json", b"").unwrap(), None);
    for content_type in ["", "application/json", "application/vnd.x+json; charset=utf-8", "text/json"] {
        for body in [b"{".as_slice(), b"1,\"id\":\"other\"", b"{}{}", b"\xff"] {
            let problem = data(content_type, body).unwrap_err();
            assert_eq!(problem.code, Code::InvalidJson, "{content_type} {body:?}");
        }
    }
}

#[test]
fn a_header_cannot_smuggle_in_what_belongs_to_the_body() {
    for name in ["ce-data", "ce-data_base64", "ce-datacontenttype", "ce-", "ce-a-b", "ce-é"] {
        let problem = binary(&[("ce-id", b"1"), (name, b"x")], "", b"").unwrap_err();
        assert_eq!((problem.code, problem.field()), (Code::InvalidEvent, Some(name)));
    }
    let problem = binary(&[("ce-id", b"%ff")], "", b"").unwrap_err();
    assert_eq!((problem.code, problem.field()), (Code::InvalidEvent, Some("ce-id")));
    let event = binary(&[("ce-id", b"1\",\"source\":\"x")], "", b"").unwrap();
    assert_eq!(parsed(&event), serde_json::json!({"id": "1\",\"source\":\"x"}));
}
