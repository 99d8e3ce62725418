use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const JSON: &str = r#"{"event":"ü?>","distinct_id":"~~~"}"#;

fn json_of(body: impl Into<Bytes>) -> Bytes {
    json_of_form(body.into(), &mut Room::free(1_000)).unwrap()
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn json_is_found_however_a_browser_wraps_it() {
    let base64 = STANDARD.encode(JSON);
    assert!(base64.contains('+') || base64.contains('/'), "{base64}");
    for body in [
        JSON.to_owned(),
        base64.clone(),
        STANDARD_NO_PAD.encode(JSON),
        format!("data={base64}"),
        format!("data={}", percent_encoded(&base64)),
        format!("data={}", base64.replace('+', " ")),
        format!("ip=1&data={}&compression=base64", percent_encoded(&base64)),
        format!("data={}\r\n", percent_encoded(JSON)),
    ] {
        assert_eq!(json_of(body.clone()).trim_ascii(), JSON.as_bytes(), "{body}");
    }
}

#[test]
fn compressed_bytes_within_a_form_are_held_to_the_limit() {
    let gzip = |bytes: usize| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        std::io::Write::write_all(&mut encoder, "[".repeat(bytes).as_bytes()).unwrap();
        format!("data={}", STANDARD.encode(encoder.finish().unwrap()))
    };
    assert_eq!(json_of(gzip(1_000)).len(), 1_000);
    assert_eq!(
        json_of_form(gzip(1_001).into(), &mut Room::free(1_000)).unwrap_err().code,
        Code::BodyTooLarge
    );
}

#[test]
fn what_is_neither_is_left_to_the_parser() {
    for body in ["", "hello world!", "data=%%%", "data=!", "<xml/>"] {
        assert_eq!(json_of(body), body);
    }
}
