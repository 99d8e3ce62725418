use super::*;

fn batch(body: &str) -> Batch<'_> {
    segment(body.as_bytes(), None).unwrap_or_else(|problem| panic!("{body}: {problem:?}"))
}

fn problem(body: &str) -> Problem {
    segment(body.as_bytes(), None).unwrap_err()
}

fn call(kind: EventKind, body: &str) -> Batch<'_> {
    segment(body.as_bytes(), Some(kind)).unwrap_or_else(|problem| panic!("{body}: {problem:?}"))
}

/// One event of a batch, from its members.
fn with_one<T>(members: &str, look: impl FnOnce(Batch<'_>) -> T) -> T {
    look(batch(&format!(r#"{{"batch":[{{{members}}}]}}"#)))
}

#[test]
fn a_batch_of_segments_python_sdk_is_read() {
    let body = r#"{"batch": [{"integrations": {}, "anonymousId": null, "properties": {"price": 12.5, "r\u00e9f": NaN},
        "timestamp": "2026-11-05T09:30:00.123456+00:00", "context": {"library": {"name": "analytics-python"}},
        "userId": "u1", "type": "track", "event": "Order Completed", "messageId": "m1"}],
        "sentAt": "2026-11-05T09:30:01.5+00:00", "writeKey": "wk"}"#;
    let batch = batch(body);
    assert_eq!(batch.write_key.as_deref(), Some("wk"));
    assert_eq!(
        only(batch),
        Incoming {
            index: 0,
            kind: EventKind::Track,
            flags: EventFlags::NOT_FINITE,
            id: Some("m1".into()),
            name: "Order Completed".into(),
            user_id: "u1".into(),
            anonymous_id: "".into(),
            timestamp: Some(Micros(1_793_871_000_123_456)),
            sent_at: Some(Micros(1_793_871_001_500_000)),
            properties: r#"{"price": 12.5, "r\u00e9f": null}"#.into(),
            context: r#"{"library": {"name": "analytics-python"}}"#.into(),
            extra: r#"{"integrations": {}}"#.into(),
        }
    );
}

#[test]
fn a_call_is_of_the_kind_that_its_route_says() {
    let body = r#"{"userId":"u","event":"e","type":"track","writeKey":"wk","sentAt":"2026-11-05T09:30:00Z"}"#;
    let track = call(EventKind::Track, body);
    assert_eq!(track.write_key.as_deref(), Some("wk"));
    let event = only(track);
    assert_eq!(event.sent_at, Some(Micros(1_793_871_000_000_000)));
    assert_eq!(event.extra, r#"{"sentAt":"2026-11-05T09:30:00Z"}"#);
    // A type that contradicts the route is kept.
    let event = only(call(EventKind::Identify, r#"{"userId":"u","type":"delete"}"#));
    assert_eq!((event.kind, event.extra.as_ref()), (EventKind::Identify, r#"{"type":"delete"}"#));
    // A batch is no call.
    assert_eq!(refusal(call(EventKind::Track, r#"{"batch":[{"event":"a"}]}"#)).0, "/event");
    assert_eq!(segment(b"[]", Some(EventKind::Track)).unwrap_err().code, Code::InvalidBatch);
}

#[test]
fn the_type_must_be_one_that_is_known() {
    for (kind, word) in [
        (EventKind::Identify, "identify"),
        (EventKind::Page, "page"),
        (EventKind::Screen, "screen"),
        (EventKind::Group, "group"),
        (EventKind::Alias, "alias"),
    ] {
        assert_eq!(with_one(&format!(r#""type":"{word}""#), |batch| only(batch).kind), kind);
    }
    for members in
        [r#""event":"a""#, r#""event":"a","type":"delete""#, r#""event":"a","type":null"#, r#""type":1"#]
    {
        assert_eq!(with_one(members, refusal).0, "/batch/0/type", "{members}");
    }
}

#[test]
fn a_track_call_without_an_event_is_refused() {
    for members in [r#""type":"track""#, r#""type":"track","event":"""#, r#""type":"track","name":"n""#] {
        assert_eq!(with_one(members, refusal).0, "/batch/0/event", "{members}");
    }
}

#[test]
fn pages_and_screens_have_a_name_wherever_an_sdk_puts_it() {
    for (members, name, extra) in [
        (r#""type":"page","name":"Home","category":"c""#, "Home", r#"{"category":"c"}"#),
        (r#""type":"screen","event":"Home""#, "Home", ""),
        (r#""type":"screen","name":"N","event":"E""#, "N", r#"{"event":"E"}"#),
        (r#""type":"track","name":"N","event":"E""#, "E", r#"{"name":"N"}"#),
        (r#""type":"page","properties":{"name":"p"}"#, "", ""),
    ] {
        with_one(members, |batch| {
            let event = only(batch);
            assert_eq!((event.name.as_ref(), event.extra.as_ref()), (name, extra), "{members}");
        });
    }
}

#[test]
fn traits_are_the_properties_of_calls_that_have_no_others() {
    for (members, properties, extra) in [
        (r#""type":"identify","traits":{"a":1}"#, r#"{"a":1}"#, ""),
        (r#""type":"group","groupId":"g","traits":{"a":1}"#, r#"{"a":1}"#, r#"{"groupId":"g"}"#),
        (r#""type":"identify","traits":{"a":1},"properties":null"#, r#"{"a":1}"#, ""),
        (r#""type":"identify","traits":{"a":1},"properties":{"b":2}"#, r#"{"b":2}"#, r#"{"traits":{"a":1}}"#),
        (r#""type":"track","event":"e","traits":{"a":1}"#, "", r#"{"traits":{"a":1}}"#),
        (r#""type":"identify","context":{"traits":{"a":1}}"#, "", ""),
    ] {
        with_one(members, |batch| {
            let event = only(batch);
            assert_eq!((event.properties.as_ref(), event.extra.as_ref()), (properties, extra), "{members}");
        });
    }
}

#[test]
fn a_time_that_cannot_be_read_counts_as_absent_and_is_kept() {
    let read = Some(Micros(1_793_871_000_000_000));
    for (members, timestamp, extra) in [
        (r#""timestamp":"2026-11-05T09:30:00Z""#, read, ""),
        (r#""timestamp":"2026-11-05 09:30:00""#, read, ""),
        (r#""timestamp":1793871000000"#, read, ""),
        (r#""originalTimestamp":"2026-11-05T10:30:00+01:00""#, read, ""),
        (
            r#""timestamp":"2026-11-05T09:30:00Z","originalTimestamp":"2026-11-05T09:29:00Z""#,
            read,
            r#"{"originalTimestamp":"2026-11-05T09:29:00Z"}"#,
        ),
        (r#""timestamp":"now","originalTimestamp":"2026-11-05T09:30:00Z""#, read, r#"{"timestamp":"now"}"#),
        (r#""timestamp":"yesterday""#, None, r#"{"timestamp":"yesterday"}"#),
        (r#""timestamp":"0001-01-01T00:00:00Z""#, None, r#"{"timestamp":"0001-01-01T00:00:00Z"}"#),
        (r#""timestamp":{"a":1}"#, None, r#"{"timestamp":{"a":1}}"#),
        (r#""timestamp":null"#, None, ""),
        ("", None, ""),
    ] {
        let comma = if members.is_empty() { "" } else { "," };
        with_one(&format!(r#""type":"track","event":"e","messageId":"m"{comma}{members}"#), |batch| {
            let event = only(batch);
            assert_eq!((event.timestamp, event.extra.as_ref()), (timestamp, extra), "{members}");
            let set = |flag, is_set| if is_set { flag } else { EventFlags::default() };
            let flags = set(EventFlags::SERVER_TIME, timestamp.is_none());
            let ignored = set(EventFlags::TIME_IGNORED, extra.contains(r#""timestamp""#));
            assert_eq!(event.flags, flags.with(ignored), "{members}");
        });
    }
}

#[test]
fn numbers_stand_for_their_digits_in_ids_and_empty_ids_for_none() {
    with_one(
        r#""type":"track","event":"e","messageId":12,"userId":9007199254740993,"anonymousId":0"#,
        |batch| {
            let event = only(batch);
            assert_eq!(event.id.as_deref(), Some("12"));
            assert_eq!((event.user_id.as_ref(), event.anonymous_id.as_ref()), ("9007199254740993", "0"));
        },
    );
    with_one(r#""type":"track","event":"e","messageId":"","userId":"""#, |batch| {
        let event = only(batch);
        assert_eq!((event.id, event.user_id.as_ref()), (None, ""));
    });
}

#[test]
fn what_cannot_be_stored_is_refused_and_named() {
    for (members, field) in [
        (format!(r#""messageId":"{}""#, "x".repeat(129)), "messageId"),
        (r#""messageId":true"#.to_owned(), "messageId"),
        (r#""messageId":"\ud800""#.to_owned(), "messageId"),
        (format!(r#""userId":"{}""#, "x".repeat(513)), "userId"),
        (r#""userId":{}"#.to_owned(), "userId"),
        (r#""anonymousId":[]"#.to_owned(), "anonymousId"),
        (format!(r#""event":"{}""#, "x".repeat(513)), "event"),
        (r#""event":7"#.to_owned(), "event"),
        (r#""properties":[]"#.to_owned(), "properties"),
        (r#""context":"c""#.to_owned(), "context"),
    ] {
        let members = format!(r#""type":"track","event":"e",{members}"#);
        assert_eq!(with_one(&members, refusal).0, format!("/batch/0/{field}"), "{members}");
    }
}

#[test]
fn keys_are_never_stored_and_the_first_counts() {
    let two = batch(
        r#"{"batch":[{"type":"track","event":"a","writeKey":"k1"},{"type":"track","event":"b","writeKey":"k2"}]}"#,
    );
    assert_eq!(two.write_key.as_deref(), Some("k1"));
    assert!(two.events.iter().all(|event| event.extra.is_empty()));
    let wrong = batch(r#"{"writeKey":5,"batch":[{"type":"track","event":"a"}]}"#);
    assert_eq!((wrong.write_key.as_deref(), wrong.events[0].extra.as_ref()), (None, ""));
}

#[test]
fn what_stands_around_the_batch_holds_for_each_event_that_does_not_say_otherwise() {
    // analytics-go puts the context last.
    let batch = batch(
        r#"{"messageId":"request","sentAt":"2026-11-05T09:30:00Z","batch":[
            {"type":"track","event":"a"},
            {"type":"track","event":"b","context":{"os":"own","ip":1},"integrations":{"All":true}},
            {"type":"track","event":"c","context":{},"region":"own","sentAt":"2026-11-05T09:31:00Z"}
        ],"region":"eu","integrations":{"All":false,"X":1},"context":{"os":"shared","lib":"go"}}"#,
    );
    let kept: Vec<_> =
        batch.events.iter().map(|event| (parsed(&event.context), parsed(&event.extra))).collect();
    use serde_json::json;
    assert_eq!(
        kept,
        [
            (
                json!({"os": "shared", "lib": "go"}),
                json!({"region": "eu", "integrations": {"All": false, "X": 1}})
            ),
            (
                json!({"os": "own", "ip": 1, "lib": "go"}),
                json!({"region": "eu", "integrations": {"All": true, "X": 1}})
            ),
            (
                json!({"os": "shared", "lib": "go"}),
                json!({"region": "own", "integrations": {"All": false, "X": 1}, "sentAt": "2026-11-05T09:31:00Z"})
            ),
        ]
    );
    let sent: Vec<_> = batch.events.iter().map(|event| event.sent_at.unwrap().0 / 60_000_000).collect();
    assert_eq!(sent, [29_897_850, 29_897_850, 29_897_851]);
    assert!(batch.events.iter().all(|event| event.id.is_none()), "the request's id is not an event's");
}

#[test]
fn escaped_and_repeated_keys_are_the_same_keys_when_contexts_are_merged() {
    let batch = batch(
        r#"{"batch":[{"type":"page","context":{"\u006fs":1,"\u006fs":2}}],"context":{"os":3,"a":4,"nan":NaN}}"#,
    );
    assert_eq!(batch.events[0].context, r#"{"\u006fs":1,"\u006fs":2,"a":4,"nan":null}"#);
    assert_eq!(batch.events[0].flags.0 & EventFlags::NOT_FINITE.0, EventFlags::NOT_FINITE.0);
}

#[test]
fn of_repeated_integrations_the_last_is_merged() {
    let batch = batch(
        r#"{"batch":[{"type":"page","integrations":{"A":1},"integrations":{"A":2},"r":1}],
            "\u0072":2,"integrations":{"B":1},"integrations":{"A":3,"B":2}}"#,
    );
    assert_eq!(batch.events[0].extra, r#"{"integrations":{"A":1},"integrations":{"A":2,"B":2},"r":1}"#);
}

#[test]
fn a_context_around_the_batch_must_be_an_object() {
    let wrong = problem(r#"{"batch":[{"type":"page"}],"context":[1]}"#);
    assert_eq!((wrong.code, wrong.field()), (Code::InvalidBatch, Some("/context")));
    assert_eq!(only(batch(r#"{"batch":[{"type":"page"}],"context":null,"sentAt":"?"}"#)).sent_at, None);
}

#[test]
fn what_is_shared_cannot_make_a_small_body_large() {
    let body = |events: usize, bytes: usize| {
        let pad = "x".repeat(bytes - r#"{"p":""}"#.len());
        let events = vec![r#"{"type":"page"}"#; events].join(",");
        format!(r#"{{"batch":[{events}],"context":{{"p":"{pad}"}}}}"#)
    };
    assert_eq!(batch(&body(64, SHARED_BYTES_MAX / 64)).events.len(), 64);
    assert_eq!(problem(&body(64, SHARED_BYTES_MAX / 64 + 1)).code, Code::BodyTooLarge);
}
