use schemas::key::ApiKey;

use super::*;

const NOW: Micros = Micros(1_793_871_010_000_000);

fn read(body: &str) -> Batch<'_> {
    posthog(body.as_bytes(), NOW, None).unwrap_or_else(|problem| panic!("{body}: {problem:?}"))
}

#[test]
fn a_batch_of_posthogs_python_sdk_is_read() {
    let body = r#"{"batch": [{"properties": {"caf\u00e9": 9007199254740993, "$lib": "posthog-python"},
        "timestamp": "2026-11-05T09:30:00.123456+00:00", "distinct_id": "u1", "event": "Order Completed",
        "$set": {"plan": "pro"}, "uuid": "0199f0a2-0000-7000-8000-000000000001"}],
        "historical_migration": false, "sent_at": "2026-11-05T09:30:01.5+00:00", "api_key": "wk"}"#;
    let batch = read(body);
    assert_eq!(batch.write_key.as_deref(), Some("wk"));
    assert_eq!(
        only(batch),
        Incoming {
            index: 0,
            kind: EventKind::Track,
            flags: EventFlags::default(),
            id: Some("0199f0a2-0000-7000-8000-000000000001".into()),
            name: "Order Completed".into(),
            user_id: "u1".into(),
            anonymous_id: "".into(),
            timestamp: Some(Micros(1_793_871_000_123_456)),
            sent_at: Some(Micros(1_793_871_001_500_000)),
            properties: r#"{"caf\u00e9": 9007199254740993, "$lib": "posthog-python"}"#.into(),
            context: "".into(),
            extra: r#"{"$set": {"plan": "pro"}}"#.into(),
        }
    );
}

#[test]
fn an_event_may_stand_alone_in_a_batch_or_in_an_array() {
    for body in [
        r#"{"api_key":"wk","event":"e","distinct_id":"u","uuid":"1"}"#,
        r#"{"token":"wk","event":"e","distinct_id":"u","uuid":"1"}"#,
        r#"{"api_key":"wk","batch":[{"event":"e","distinct_id":"u","uuid":"1"}]}"#,
        r#"[{"event":"e","distinct_id":"u","uuid":"1","token":"wk"}]"#,
        r#"[{"event":"e","distinct_id":"u","uuid":"1","$token":"wk"}]"#,
    ] {
        let batch = read(body);
        assert_eq!(batch.write_key.as_deref(), Some("wk"), "{body}");
        let event = only(batch);
        assert_eq!((event.id.as_deref(), event.user_id.as_ref()), (Some("1"), "u"), "{body}");
        assert_eq!(event.extra, "", "{body}");
    }
    assert_eq!(posthog(b"5", NOW, None).unwrap_err().code, Code::InvalidBatch);
    assert_eq!(posthog(br#"{"batch":{}}"#, NOW, None).unwrap_err().code, Code::InvalidBatch);
}

#[test]
fn a_body_of_v1_keeps_what_its_sdks_lift_out_of_the_properties() {
    let body = r#"{"created_at":"2026-11-05T09:30:01Z","batch":[{"event":"e","uuid":"1","distinct_id":"u",
        "timestamp":"2026-11-05T09:30:00Z","options":{"process_person_profile":false},"properties":{},
        "session_id":"s"}],"historical_migration":true}"#;
    let event = only(read(body));
    let extra = serde_json::json!({"options": {"process_person_profile": false}, "session_id": "s",
        "historical_migration": true});
    assert_eq!(parsed(&event.extra), extra);
}

#[test]
fn the_key_among_an_events_properties_is_found_and_never_stored() {
    let (first, second) = (ApiKey::generate(), ApiKey::generate());
    let body = format!(
        r#"[{{"event":"e","properties":{{"token":"{}","distinct_id":"u","a":1}}}},
            {{"event":"e","properties":{{"a":1,"token":"{}"}}}},
            {{"event":"e","properties":{{"token":"mine","my":"token"}}}}]"#,
        first.expose(),
        second.expose()
    );
    let batch = read(&body);
    assert_eq!(batch.write_key.as_deref(), Some(first.expose()));
    let kept: Vec<_> = batch.events.iter().map(|event| event.properties.as_ref()).collect();
    assert_eq!(kept, [r#"{"distinct_id":"u","a":1}"#, r#"{"a":1}"#, r#"{"token":"mine","my":"token"}"#]);
}

#[test]
fn of_several_keys_the_first_text_counts_and_none_is_stored() {
    for (members, key) in [
        (r#""api_key":"a","token":"b""#, Some("a")),
        (r#""api_key":null,"token":"b""#, Some("b")),
        (r#""api_key":"a","api_key":7,"token":null"#, Some("a")),
        (r#""api_key":7"#, None),
    ] {
        let body = format!(r#"{{{members},"event":"e"}}"#);
        let batch = read(&body);
        assert_eq!((batch.write_key.as_deref(), batch.events[0].extra.as_ref()), (key, ""), "{members}");
    }
}

#[test]
fn the_user_is_named_by_the_event_or_else_by_its_properties() {
    for (members, user) in [
        (r#""distinct_id":"u""#, "u"),
        (r#""distinct_id":9007199254740993"#, "9007199254740993"),
        (r#""distinct_id":"u","properties":{"distinct_id":"v"}"#, "u"),
        (r#""properties":{"distinct_id":"v\u00fc"}"#, "vü"),
        (r#""distinct_id":null,"properties":{"distinct_id":12}"#, "12"),
        (r#""properties":{"distinct_id":{}}"#, ""),
        (r#""properties":{"a":{"distinct_id":"deep"}}"#, ""),
        (r#""properties":{"a":"distinct_id"}"#, ""),
        (r#""offset":0"#, ""),
    ] {
        let body = format!(r#"{{"event":"e",{members}}}"#);
        assert_eq!(only(read(&body)).user_id, user, "{members}");
    }
}

#[test]
fn an_offset_is_counted_back_from_the_receipt_where_there_is_no_time() {
    for (members, timestamp) in [
        (r#""offset":2500"#, Some(Micros(NOW.0 - 2_500_000))),
        (r#""offset":0.75"#, Some(NOW)),
        (r#""offset":2500,"timestamp":"2026-11-05T09:30:00Z""#, Some(Micros(1_793_871_000_000_000))),
        (r#""offset":2500,"timestamp":"?""#, Some(Micros(NOW.0 - 2_500_000))),
        (r#""offset":-1"#, None),
        (r#""offset":"1""#, None),
        (r#""offset":9223372036854775807"#, None),
        (r#""offset":99999999999999999999"#, None),
    ] {
        let body = format!(r#"{{"event":"e",{members}}}"#);
        let event = only(read(&body));
        assert_eq!(event.timestamp, timestamp, "{members}");
        assert!(event.extra.contains("offset"), "{members}");
    }
}

#[test]
fn posthogs_own_events_have_the_kind_that_they_mean() {
    for (name, kind) in [
        ("$identify", EventKind::Identify),
        ("$pageview", EventKind::Page),
        ("$screen", EventKind::Screen),
        ("$groupidentify", EventKind::Group),
        ("$create_alias", EventKind::Alias),
        ("$autocapture", EventKind::Track),
        ("identify", EventKind::Track),
    ] {
        let body = format!(r#"{{"event":"{name}"}}"#);
        let event = only(read(&body));
        assert_eq!((event.kind, event.name.as_ref()), (kind, name));
    }
}

#[test]
fn an_id_may_have_the_name_that_older_sdks_give_it() {
    for (members, id) in [
        (r#""uuid":"1""#, Some("1")),
        (r#""messageId":"2""#, Some("2")),
        (r#""uuid":"1","messageId":"2""#, Some("1")),
        (r#""uuid":"","messageId":"2""#, Some("2")),
        (r#""uuid":null"#, None),
        (r#""uuid":12"#, Some("12")),
    ] {
        let body = format!(r#"{{"event":"e",{members}}}"#);
        assert_eq!(only(read(&body)).id.as_deref(), id, "{members}");
    }
}

#[test]
fn what_cannot_be_stored_is_refused_and_named() {
    let long = |bytes| "x".repeat(bytes);
    for (members, field) in [
        (String::new(), "event"),
        (r#""event":"""#.to_owned(), "event"),
        (r#""event":7"#.to_owned(), "event"),
        (format!(r#""event":"{}""#, long(513)), "event"),
        (format!(r#""event":"e","uuid":"{}""#, long(129)), "uuid"),
        (r#""event":"e","uuid":"\ud800""#.to_owned(), "uuid"),
        (format!(r#""event":"e","messageId":"{}""#, long(129)), "messageId"),
        (format!(r#""event":"e","distinct_id":"{}""#, long(513)), "distinct_id"),
        (r#""event":"e","distinct_id":{}"#.to_owned(), "distinct_id"),
        (format!(r#""event":"e","properties":{{"distinct_id":"{}"}}"#, long(513)), "properties/distinct_id"),
        (r#""event":"e","properties":[]"#.to_owned(), "properties"),
    ] {
        let body = format!(r#"{{"batch":[{{{members}}},{{"event":"good"}}]}}"#);
        let batch = read(&body);
        assert_eq!(indexes(&batch), (vec![1], vec![0]), "{members}");
        let expected = format!("/batch/0/{field}");
        assert_eq!(batch.rejected[0].problem.field(), Some(expected.as_str()), "{members}");
    }
    for members in [
        format!(r#""event":"{}""#, long(512)),
        format!(r#""event":"e","uuid":"{}""#, long(128)),
        format!(r#""event":"e","distinct_id":"{}""#, long(512)),
        format!(r#""event":"e","properties":{{"distinct_id":"{}"}}"#, long(512)),
    ] {
        only(read(&format!("{{{members}}}")));
    }
}

#[test]
fn a_bare_nan_costs_nothing_but_itself() {
    let event = only(read(r#"{"event":"e","properties":{"distinct_id":"u","token":"wk_live_x","n":NaN}}"#));
    assert_eq!(event.properties, r#"{"distinct_id":"u","n":null}"#);
    assert_eq!(event.flags.0 & EventFlags::NOT_FINITE.0, EventFlags::NOT_FINITE.0);
}

#[test]
fn an_event_was_sent_when_it_says_so_or_else_its_request() {
    let header = Some(Micros(1_793_871_005_000_000));
    let sent = |body: &str| only(posthog(body.as_bytes(), NOW, header).unwrap()).sent_at;
    assert_eq!(sent(r#"[{"event":"e","timestamp":"2026-11-05T09:30:00Z"}]"#), header);
    let own = Some(Micros(1_793_871_001_000_000));
    assert_eq!(sent(r#"[{"event":"e","sent_at":"2026-11-05T09:30:01Z"}]"#), own);
    // What is counted back from the receipt needs no correction.
    assert_eq!(sent(r#"[{"event":"e","sent_at":"2026-11-05T09:30:01Z","offset":5}]"#), Some(NOW));
}

#[test]
fn an_instant_outside_of_a_body_is_a_text_or_a_number() {
    for text in ["2026-11-05T09:30:00Z", "2026-11-05T09:30:00", "1793871000000", "1793871000"] {
        assert_eq!(instant(text), Some(Micros(1_793_871_000_000_000)), "{text}");
    }
    for text in ["", "now", "1e9", "99999999999999999999"] {
        assert_eq!(instant(text), None, "{text}");
    }
}
