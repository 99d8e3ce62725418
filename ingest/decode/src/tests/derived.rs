//! What is made of a body, and not borrowed from it, is paid for before it can be much.

use super::*;

/// As many members as make an object of about so many bytes.
fn members(bytes: usize) -> String {
    let mut object = String::with_capacity(bytes + 16);
    for number in 0.. {
        if object.len() >= bytes {
            break;
        }
        object.push_str(&format!(r#""{number:x}":0,"#));
    }
    object
}

#[test]
fn an_event_too_large_as_sent_is_refused_and_its_key_and_neighbours_are_found() {
    let large = members(SENT_BYTES_MAX);
    let body = format!(
        r#"[{{"event":"a","properties":{{{large}"token":"wk_live_x","distinct_id":"u"}}}},{{"event":"b"}}]"#
    );
    let batch = posthog(body.as_bytes(), Micros(0), None).unwrap();
    assert_eq!(indexes(&batch), (vec![1], vec![0]));
    assert_eq!(batch.rejected[0].problem.code, Code::EventTooLarge);
    assert_eq!(batch.write_key.as_deref(), Some("wk_live_x"));
    let segment_body =
        format!(r#"{{"batch":[{{"type":"track","event":"a","properties":{{{large}"z":0}}}}]}}"#);
    let batch = segment(segment_body.as_bytes(), None).unwrap();
    assert_eq!(batch.rejected[0].problem.code, Code::EventTooLarge);
}

#[test]
fn a_key_among_many_properties_is_left_out_and_all_others_are_kept() {
    let many = members(200_000);
    let body = format!(r#"{{"event":"a","properties":{{{many}"token":"wk_live_x","distinct_id":"u"}}}}"#);
    let event = only(posthog(body.as_bytes(), Micros(0), None).unwrap());
    assert_eq!(event.properties, format!(r#"{{{many}"distinct_id":"u"}}"#));
    assert_eq!(event.user_id, "u");
    let alone = r#"{"event":"a","properties":{"token":"wk_live_x"}}"#;
    assert_eq!(only(posthog(alone.as_bytes(), Micros(0), None).unwrap()).properties, "{}");
}

#[test]
fn what_is_made_takes_room_and_what_is_borrowed_takes_none() {
    let small = || Room::bounded(256 * 1024, 512 * 1024);
    let plain = format!(r#"{{"event":"a","properties":{{{}"z":0}}}}"#, members(400_000));
    assert!(crate::native(plain.as_bytes(), NativeShape::Json, &mut small()).is_ok());
    // 300 KB of context for each of ten events; of members without a place, and of escapes, twice 300 KB.
    let context = format!(
        r#"{{"batch":[{}],"context":{{{}"z":0}}}}"#,
        [r#"{"event":"a","context":{"own":1}}"#; 10].join(","),
        members(300_000)
    );
    let event = format!(r#"{{"event":"a","x":"{}"}}"#, "x".repeat(300_000));
    let rest = format!("[{event},{event}]");
    for body in [context, rest] {
        let within = |room: &mut Room<'_>| crate::native(body.as_bytes(), NativeShape::Json, room).map(drop);
        assert_eq!(within(&mut small()).unwrap_err().code, Code::BodyTooLarge);
        let mut free = Room::unlimited();
        within(&mut free).unwrap();
        assert!(free.taken_bytes() >= 600_000, "{}", free.taken_bytes());
    }
}

#[test]
fn data_that_would_grow_sixfold_is_refused_before_it_does() {
    let headers = [("ce-id", &b"1"[..]), ("ce-source", b"s"), ("ce-type", b"t"), ("ce-specversion", b"1.0")];
    let written = |bytes| binary_cloudevent(headers.into_iter(), "text/plain", &vec![1; bytes]);
    assert!(written(SENT_BYTES_MAX).unwrap().len() > 6 * SENT_BYTES_MAX);
    assert_eq!(written(SENT_BYTES_MAX + 1).unwrap_err().code, Code::EventTooLarge);
}

#[test]
fn a_long_key_under_escapes_has_no_place_and_is_kept() {
    let key = r"\u0061".repeat(100);
    let event = format!(r#"{{"event":"a","{key}":1,"user\u005fid":"u"}}"#);
    let event = only(json(&event));
    assert_eq!((event.user_id.as_ref(), parsed(&event.extra)["a".repeat(100)].as_i64()), ("u", Some(1)));
}
