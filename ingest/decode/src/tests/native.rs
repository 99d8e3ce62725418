use super::*;

fn one(body: &str) -> Incoming<'_> {
    only(json(body))
}

fn refused(body: &str) -> (String, String) {
    refusal(json(body))
}

#[test]
fn an_event_is_split_into_its_fields() {
    let event =
        one(r#"{"id":"e1","event":"order_completed","type":"track","user_id":"u1","anonymous_id":"a1",
            "timestamp":"2026-11-05T09:30:00.123Z","sent_at":"2026-11-05T09:30:01Z",
            "properties":{"price": 12.50},"context":{"os":"Linux"},"plan":"pro","tags": [1, 2]}"#);
    assert_eq!(
        event,
        Incoming {
            index: 0,
            kind: EventKind::Track,
            flags: EventFlags::default(),
            id: Some("e1".into()),
            name: "order_completed".into(),
            user_id: "u1".into(),
            anonymous_id: "a1".into(),
            timestamp: Some(Micros(1_793_871_000_123_000)),
            sent_at: Some(Micros(1_793_871_001_000_000)),
            properties: r#"{"price": 12.50}"#.into(),
            context: r#"{"os":"Linux"}"#.into(),
            extra: r#"{"plan":"pro","tags": [1, 2],"sent_at":"2026-11-05T09:30:01Z"}"#.into(),
        }
    );
}

#[test]
fn only_a_name_is_needed_and_what_the_server_adds_is_marked() {
    let event = one(r#"{"event":"a"}"#);
    assert_eq!((event.kind, event.name.as_ref()), (EventKind::Track, "a"));
    assert_eq!((event.id, event.timestamp, event.sent_at), (None, None, None));
    assert_eq!(event.flags, EventFlags::SERVER_ID.with(EventFlags::SERVER_TIME));
    assert_eq!([event.user_id, event.anonymous_id, event.properties, event.context, event.extra], [""; 5]);
}

#[test]
fn null_stands_for_absent() {
    let all_null = r#"{"id":null,"event":"a","type":null,"user_id":null,"anonymous_id":null,"timestamp":null,
                       "sent_at":null,"properties":null,"context":null}"#;
    assert_eq!(one(all_null), one(r#"{"event":"a"}"#));
    assert_eq!(one(r#"{"event":"a","plan":null}"#).extra, r#"{"plan":null}"#);
    assert_eq!(refused(r#"{"event":null}"#).0, "/event");
}

#[test]
fn a_track_event_has_a_name_and_other_kinds_may_have_one() {
    for body in [r#"{"id":"x"}"#, r#"{"event":""}"#, r#"{"type":"track"}"#, "{}"] {
        assert_eq!(refused(body).0, "/event", "{body}");
    }
    for kind in ["identify", "page", "screen", "group", "alias"] {
        let body = format!(r#"{{"type":"{kind}"}}"#);
        let event = one(&body);
        assert_eq!((event.kind.as_str(), event.name.as_ref()), (kind, ""));
        let body = format!(r#"{{"type":"{kind}","event":"n"}}"#);
        assert_eq!(one(&body).name, "n");
        assert_eq!(refused(&format!(r#"{{"type":"{kind}","event":""}}"#)).0, "/event");
    }
    for kind in [r#""delete""#, r#""Track""#, r#""""#, "1", "{}"] {
        assert_eq!(refused(&format!(r#"{{"event":"a","type":{kind}}}"#)).0, "/type", "{kind}");
    }
}

#[test]
fn wrong_types_are_refused_and_named() {
    for (member, values) in [
        ("id", &["1", "true", "[]", "{}"][..]),
        ("event", &["1", "true", "[]", "{}"]),
        ("user_id", &["true", "[]", "{}"]),
        ("anonymous_id", &["false", "[]", "{}"]),
        (
            "timestamp",
            &["true", "[]", "{}", r#""yesterday""#, r#""""#, r#""2026-11-05""#, r#""2026-11-05T09:30:00""#],
        ),
        ("sent_at", &["true", r#""now""#, "1e9"]),
        ("properties", &["1", r#""{}""#, "[]", "true"]),
        ("context", &["1", r#""{}""#, "[]", "false"]),
    ] {
        for value in values {
            let other = if member == "event" { "" } else { r#""event":"a","# };
            let body = format!(r#"{{{other}"{member}":{value}}}"#);
            let (field, detail) = refused(&body);
            assert_eq!(field, format!("/{member}"), "{body}");
            assert!(detail.starts_with(member), "{detail}");
        }
    }
}

#[test]
fn a_number_for_a_user_keeps_its_digits() {
    let event = one(r#"{"event":"a","user_id":9007199254740993,"anonymous_id":1.50e2}"#);
    assert_eq!((event.user_id.as_ref(), event.anonymous_id.as_ref()), ("9007199254740993", "1.50e2"));
    // What pandas writes for nobody.
    let event = one(r#"{"event":"a","user_id":NaN}"#);
    assert_eq!(event.user_id, "");
    assert_eq!(event.flags.with(EventFlags::NOT_FINITE), event.flags);
}

#[test]
fn texts_are_refused_over_their_limit_and_never_cut() {
    for (member, bytes_max) in
        [("id", EVENT_ID_BYTES_MAX), ("event", 512), ("user_id", 512), ("anonymous_id", 512)]
    {
        let other = if member == "event" { "" } else { r#""event":"a","# };
        let with = |text: &str| format!(r#"{{{other}"{member}":"{text}"}}"#);
        one(&with(&"x".repeat(bytes_max)));
        assert_eq!(refused(&with(&"x".repeat(bytes_max + 1))).0, format!("/{member}"));
        // Bytes of the text count, not of what the client wrote.
        one(&with(&r"\u00e9".repeat(bytes_max / 2)));
        assert_eq!(refused(&with(&"é".repeat(bytes_max / 2 + 1))).0, format!("/{member}"));
        let digits = format!(r#"{{{other}"{member}":{}}}"#, "1".repeat(bytes_max + 1));
        assert_eq!(refused(&digits).0, format!("/{member}"));
    }
}

#[test]
fn an_id_is_a_text_that_stays_distinct_from_every_other() {
    for id in ["", r"\ud800", r"a\u0000", r"\udc00x"] {
        assert_eq!(refused(&format!(r#"{{"event":"a","id":"{id}"}}"#)).0, "/id", "{id}");
    }
    assert_eq!(one(r#"{"event":"a","id":"\u00e9\ud83d\ude00"}"#).id.unwrap(), "é😀");
    // Elsewhere such a character costs only itself.
    assert_eq!(one(r#"{"event":"a\ud800b\u0000"}"#).name, "a\u{fffd}b\u{fffd}");
}

#[test]
fn escapes_may_stand_in_keys() {
    let event = one(r#"{"\u0065vent":"a","user\u005fid":"u","\u0070lan":1}"#);
    assert_eq!((event.name.as_ref(), event.user_id.as_ref()), ("a", "u"));
    assert_eq!(event.extra, r#"{"\u0070lan":1}"#);
}

#[test]
fn of_two_members_the_later_counts_and_the_earlier_is_kept() {
    let event = one(r#"{"event":"a","id":"1","event":"b","id":null,"x":1,"x":2}"#);
    assert_eq!((event.name.as_ref(), event.id), ("b", None));
    assert_eq!(event.extra, r#"{"event":"a","id":"1","x":1,"x":2}"#);
    // The earlier may be of any type; the later may not.
    assert_eq!(one(r#"{"event":[],"event":"b"}"#).extra, r#"{"event":[]}"#);
    assert_eq!(refused(r#"{"event":"b","event":[]}"#).0, "/event");
}

#[test]
fn numbers_as_times_are_since_1970() {
    for number in ["1793871000", "1793871000000", "1793871000.0"] {
        let body = format!(r#"{{"event":"a","timestamp":{number}}}"#);
        assert_eq!(one(&body).timestamp, Some(Micros(1_793_871_000_000_000)), "{number}");
    }
}
