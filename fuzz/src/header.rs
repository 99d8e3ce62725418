//! Texts from a request's line and header: times, encodings, paths.

use chrono::{DateTime, Timelike};
use decode::decompress::Encoding;
use decode::room::Room;
use decode::{NativeShape, instant, native};
use ingest::routes::{Route, route};
use schemas::problem::Code;
use schemas::time::Micros;

/// See the module.
///
/// # Panics
/// Where a promise is broken.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    time(text);
    if let Err(problem) = Encoding::from_header(text) {
        assert_eq!(problem.code, Code::UnsupportedEncoding);
    }
    match route(text) {
        Ok(found) => {
            assert_eq!(route(&format!("//{text}/")), Ok(found), "slashes too many are overlooked");
            assert!(matches!(found, Route::ErrorPage(_)) || found.methods().starts_with("POST"));
        }
        Err(problem) => assert_eq!(problem.code, Code::NotFound),
    }
}

fn time(text: &str) {
    let lenient = instant(text);
    if let Some(time) = lenient {
        assert!((Micros::CLIENT_MIN..=Micros::CLIENT_MAX).contains(&time), "{text}");
    }
    let strict = strict(text);
    if strict.is_some() {
        assert_eq!(strict, lenient, "the lenient reading of {text} is another than the strict one");
    }
    let Ok(theirs) = DateTime::parse_from_rfc3339(text) else {
        assert_eq!(strict, None, "{text}");
        return;
    };
    // chrono counts a leap second on; ingest holds it to the last microsecond of its minute.
    let micros = if theirs.nanosecond() >= 1_000_000_000 {
        Micros((theirs.timestamp() + 1) * Micros::SECOND - 1)
    } else {
        Micros(theirs.timestamp() * Micros::SECOND + i64::from(theirs.nanosecond() / 1_000))
    };
    let held = (Micros::CLIENT_MIN..=Micros::CLIENT_MAX).contains(&micros) && text.is_ascii();
    assert_eq!(strict, held.then_some(micros), "{text}");
}

/// As weir's own dialect reads the time of an event.
fn strict(text: &str) -> Option<Micros> {
    let body = serde_json::json!({"event": "e", "timestamp": text}).to_string();
    native(body.as_bytes(), NativeShape::Json, &mut Room::unlimited()).ok()?.events.first()?.timestamp
}
