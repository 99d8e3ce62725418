use schemas::limit::EVENT_BYTES_MAX;

use super::*;

fn lines(body: &[u8]) -> Batch<'_> {
    native(body, NativeShape::Ndjson).unwrap()
}

#[test]
fn an_event_may_stand_alone_in_a_batch_in_an_array_or_on_a_line() {
    for body in [
        r#"{"event":"a"}"#,
        " \r\n\t{ \"event\" : \"a\" } \n",
        "\u{feff}{\"event\":\"a\"}",
        r#"[{"event":"a"}]"#,
        r#"{"batch":[{"event":"a"}]}"#,
        r#"{"\u0062atch":[{"event":"a"}]}"#,
    ] {
        assert_eq!(only(json(body)).name, "a", "{body}");
    }
    for body in [
        "{\"event\":\"a\"}",
        "{\"event\":\"a\"}\n",
        "\n \r\n{\"event\":\"a\"}\r\n\r\n",
        "\u{feff}{\"event\":\"a\"}\n",
    ] {
        assert_eq!(only(lines(body.as_bytes())).name, "a", "{body:?}");
    }
}

#[test]
fn a_bad_event_does_not_cost_its_neighbours() {
    let bad = [
        "1",
        "null",
        r#""text""#,
        "[]",
        "[{}]",
        "{}",
        r#"{"event":5}"#,
        r#"{"event":"a","id":""}"#,
        r#"{"event":"a","timestamp":"?"}"#,
        r#"{"event":"a","properties":[{"deep":{}}]}"#,
    ];
    for bad in bad {
        let events = format!(r#"[{{"event":"first"}},{bad},{{"event":"last"}}]"#);
        let batch = json(&events);
        assert_eq!(indexes(&batch), (vec![0, 2], vec![1]), "{bad}");
        assert_eq!(
            batch.events.iter().map(|event| event.name.as_ref()).collect::<Vec<_>>(),
            ["first", "last"]
        );
        let body = format!(r#"{{"batch":{events}}}"#);
        assert_eq!(indexes(&json(&body)), (vec![0, 2], vec![1]), "{bad}");
        let body = format!("{{\"event\":\"first\"}}\n{bad}\n{{\"event\":\"last\"}}");
        assert_eq!(indexes(&lines(body.as_bytes())), (vec![0, 2], vec![1]), "{bad}");
    }
}

#[test]
fn a_rejection_points_at_the_member_and_names_the_event() {
    let field = |batch: Batch<'_>| batch.rejected[0].problem.field().map(str::to_owned);
    assert_eq!(field(json(r#"{"event":5}"#)).as_deref(), Some("/event"));
    assert_eq!(field(json(r#"[{"event":"a"},{"event":5}]"#)).as_deref(), Some("/1/event"));
    assert_eq!(field(json(r#"{"batch":[{"event":"a"},{"event":5}]}"#)).as_deref(), Some("/batch/1/event"));
    assert_eq!(field(json(r#"{"batch":[7]}"#)).as_deref(), Some("/batch/0"));
    assert_eq!(field(lines(b"{\"event\":5}")).as_deref(), Some("/0/event"));

    let id = |body: &str| json(body).rejected[0].id.clone();
    assert_eq!(id(r#"{"event":5,"id":"\u0061b"}"#).as_deref(), Some("ab"));
    assert_eq!(id(r#"{"event":5,"id":7}"#), None);
    let long = format!(r#"{{"event":"a","id":"{}"}}"#, "é".repeat(100));
    assert_eq!(id(&long).unwrap(), "é".repeat(64));
}

#[test]
fn what_is_not_json_refuses_the_whole_body() {
    for (body, what) in [
        ("", "the body is empty"),
        (" \n", "the body is empty"),
        ("event", "a value was expected at byte 0"),
        (r#"[{"event":"a"},{"event":}]"#, "a value was expected at byte 24"),
        (r#"[{"event":"a"}"#, "it ends in the middle of a value at byte 14"),
        (r#"{"batch":[{"event":"a"}]"#, "it ends in the middle of a value at byte 24"),
        (r#"{"event":"a"}{"event":"b"}"#, "something follows the end of the JSON value at byte 13"),
        ("\u{feff}[{]", "a key in quotes was expected at byte 5"),
    ] {
        let problem = json_problem(body);
        assert_eq!((problem.code, problem.detail.as_ref()), (Code::InvalidJson, what), "{body}");
    }
    let problem = native(b"[{\"event\":\"a\xff\"}]", NativeShape::Json).unwrap_err();
    assert_eq!(
        (problem.code, problem.detail.as_ref()),
        (Code::InvalidJson, "the body is not UTF-8 at byte 12")
    );
    assert_eq!(segment(b"\xff", None).unwrap_err().code, Code::InvalidJson);
}

#[test]
fn a_line_that_is_not_json_is_refused_alone() {
    let batch = lines(b"{\"event\":\"a\"}\n{\"event\":\n\n\xff\n{\"event\":\"b\"} x\n[]\n{\"event\":\"c\"}");
    assert_eq!(indexes(&batch), (vec![0, 5], vec![1, 2, 3, 4]));
    let problems: Vec<_> = batch.rejected.iter().map(|rejection| &rejection.problem).collect();
    assert_eq!(
        problems.iter().map(|problem| (problem.code, problem.detail.as_ref())).collect::<Vec<_>>(),
        [
            (Code::InvalidJson, "it ends in the middle of a value at byte 9 of its line"),
            (Code::InvalidJson, "it is not UTF-8 at byte 0 of its line"),
            (Code::InvalidJson, "something follows the end of the JSON value at byte 14 of its line"),
            (Code::InvalidEvent, "an event must be an object"),
        ]
    );
    assert_eq!(problems[0].field(), Some("/1"));
}

#[test]
fn what_is_neither_event_nor_batch_is_refused() {
    for body in ["1", "null", r#""a""#, "[]", r#"{"batch":[]}"#, r#"{"batch":{}}"#, r#"{"batch":null}"#] {
        assert_eq!(json_problem(body).code, Code::InvalidBatch, "{body}");
    }
    let twice = r#"{"batch":[{"event":"a"}],"batch":[{"event":"b"}]}"#;
    assert_eq!(json_problem(twice).code, Code::InvalidBatch);
    assert_eq!(native(b"\n", NativeShape::Ndjson).unwrap_err().code, Code::InvalidBatch);
    for body in ["{}", r#"{"type":"track","event":"a"}"#, r#"{"batch":5}"#, "[]"] {
        assert_eq!(segment(body.as_bytes(), None).unwrap_err().code, Code::InvalidBatch, "{body}");
    }
}

#[test]
fn a_request_holds_up_to_so_many_events() {
    for (bad, good) in [(0, EVENTS_MAX), (1, EVENTS_MAX - 1)] {
        let mut events = vec!["7"; bad];
        events.extend(vec![r#"{"event":"a"}"#; good]);
        let body = format!("[{}]", events.join(","));
        let batch = json(&body);
        assert_eq!((batch.events.len(), batch.rejected.len()), (good, bad));
        assert_eq!(lines(events.join("\n").as_bytes()).events.len(), good);

        events.push("7");
        assert_eq!(json_problem(&format!("[{}]", events.join(","))).code, Code::InvalidBatch);
        let over = native(events.join("\n").as_bytes(), NativeShape::Ndjson).map(|_| ());
        assert_eq!(over.unwrap_err().code, Code::InvalidBatch);
    }
}

#[test]
fn an_event_is_nested_up_to_so_deep() {
    let deep = |levels: u32| {
        let inner = usize::try_from(levels).unwrap() - 1;
        format!(r#"{{"event":"a","p":{}{}}}"#, "[".repeat(inner), "]".repeat(inner))
    };
    let (fits, over) = (deep(DEPTH_MAX), deep(DEPTH_MAX + 1));
    let body = format!("[{fits},{over},{fits}]");
    assert_eq!(indexes(&json(&body)), (vec![0, 2], vec![1]));
    assert_eq!(indexes(&json(&fits)), (vec![0], vec![]));
    assert_eq!(indexes(&json(&over)), (vec![], vec![0]));
    let body = format!("[{fits},{}]", deep(100_000));
    assert_eq!(indexes(&json(&body)), (vec![0], vec![1]));
    let envelope = |levels: u32| {
        let context = "{\"c\":".repeat(usize::try_from(levels).unwrap() - 1);
        format!(
            r#"{{"batch":[{fits}],"context":{context}1{}}}"#,
            "}".repeat(usize::try_from(levels).unwrap() - 1)
        )
    };
    assert_eq!(json(&envelope(DEPTH_MAX)).events.len(), 1);
    assert_eq!(json_problem(&envelope(DEPTH_MAX + 1)).code, Code::InvalidBatch);
}

#[test]
fn an_event_has_up_to_so_many_members() {
    let body = |members: usize| {
        let rest: Vec<_> = (1..members).map(|n| format!(r#""m{n}":{n}"#)).collect();
        format!(r#"[{{"event":"a",{}}},{{"event":"b"}}]"#, rest.join(","))
    };
    let fits = body(MEMBERS_MAX);
    let batch = json(&fits);
    assert_eq!(indexes(&batch), (vec![0, 1], vec![]));
    assert_eq!(parsed(&batch.events[0].extra).as_object().unwrap().len(), MEMBERS_MAX - 1);
    assert_eq!(indexes(&json(&body(MEMBERS_MAX + 1))), (vec![1], vec![0]));
}

#[test]
fn an_event_takes_up_to_so_many_bytes_in_its_frame() {
    for member in ["properties", "context", "other"] {
        for id in [r#""id":"i","#, ""] {
            let body = |pad: usize| {
                let pad = "x".repeat(pad);
                format!(r#"[{{{id}"event":"a","{member}":{{"p":"{pad}"}}}},{{"event":"b"}}]"#)
            };
            let (small, room) = (body(0), EVENT_BYTES_MAX - json(&body(0)).events[0].bytes());
            drop(small);
            let fits = body(room);
            let batch = json(&fits);
            assert_eq!(batch.events[0].bytes(), EVENT_BYTES_MAX);
            assert_eq!(indexes(&batch), (vec![0, 1], vec![]));
            let over = body(room + 1);
            let batch = json(&over);
            assert_eq!(indexes(&batch), (vec![1], vec![0]));
            assert_eq!(batch.rejected[0].problem.code, Code::EventTooLarge);
        }
    }
}

#[test]
fn what_the_envelope_adds_counts_and_rejections_stay_in_order() {
    let pad = "x".repeat(EVENT_BYTES_MAX - 1_000);
    let body = format!(
        r#"{{"batch":[{{"event":"a"}},{{"event":"b","properties":{{"p":"{pad}"}}}},5],"context":{{"c":"{}"}}}}"#,
        "y".repeat(2_000)
    );
    assert_eq!(indexes(&json(&body)), (vec![0], vec![1, 2]));
}

#[test]
fn every_event_that_is_let_through_fits_into_a_frame() {
    let body = format!(
        r#"{{"id":"{}","event":"{}","user_id":"{}","anonymous_id":"{}"}}"#,
        "i".repeat(EVENT_ID_BYTES_MAX),
        "n".repeat(512),
        "u".repeat(512),
        "a".repeat(512)
    );
    let incoming = only(json(&body));
    let id = incoming.id.clone().unwrap();
    let event = incoming.event(EventHash(1), &id, Micros(2));
    assert_eq!(schemas::frame::encoded_len(&event), incoming.bytes());
}
