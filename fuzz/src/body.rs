//! Bodies, in every dialect.
//!
//! The first byte, a letter from `a` on, chooses the dialect; the rest is the body. In CloudEvents' binary mode it
//! begins with a content type, then header lines, then a blank line.
//!
//! `n` in front of that makes a small input a large body, so that the limits are within the fuzzer's reach: there,
//! byte 1 and the three bytes behind it, a number, stand for so many letters.

mod json;
mod kept;
mod outcome;

use bytes::Bytes;
use decode::room::Room;
use decode::{
    Batch, NativeShape, binary_cloudevent, cloudevents, is_binary_cloudevent, json_of_form, native, posthog,
    segment,
};
use schemas::event::EventKind;
use schemas::limit::EVENT_BYTES_MAX;
use schemas::problem::{Code, Problem};
use schemas::time::Micros;

/// When the bodies are received: 2026-11-23 12:00 UTC.
const RECEIVED_AT: Micros = Micros(1_795_435_200 * Micros::SECOND);
/// No byte of JSON.
const FILL: u8 = 1;
/// Bytes of an inflated body: as many as an event and two halves of one.
const INFLATED_BYTES_MAX: usize = 2 * EVENT_BYTES_MAX;
/// Bytes of a form's content once it is decompressed.
const FORM_BYTES_MAX: usize = 1 << 16;

/// See the module.
///
/// # Panics
/// Where a promise is broken.
pub fn check(data: &[u8]) {
    match data.split_first() {
        Some((b'n', small)) => decoded(&inflated(small)),
        Some(_) | None => decoded(data),
    }
}

/// The body that a small input stands for.
fn inflated(mut small: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(at) = small.iter().position(|byte| *byte == FILL) {
        let (before, rest) = small.split_at(at);
        body.extend_from_slice(before);
        let Some(([_, number @ ..], rest)) = rest.split_first_chunk::<4>() else { break };
        let [low, middle, high] = number.map(usize::from);
        let letters = (low | middle << 8 | high << 16) % (EVENT_BYTES_MAX + 256);
        body.resize((body.len() + letters).min(INFLATED_BYTES_MAX.max(body.len())), b'x');
        small = rest;
    }
    body.extend_from_slice(small);
    body
}

fn decoded(data: &[u8]) {
    let Some((dialect, body)) = data.split_first() else { return };
    match dialect.wrapping_sub(b'a') % 13 {
        0 => {
            let batch = whole(native(body, NativeShape::Json, &mut Room::unlimited()), body);
            kept::native(batch.as_ref(), body);
        }
        1 => lines(body),
        2 => drop(whole(segment(body, None, &mut Room::unlimited()), body)),
        3 => drop(whole(segment(body, Some(EventKind::Track), &mut Room::unlimited()), body)),
        4 => drop(whole(segment(body, Some(EventKind::Identify), &mut Room::unlimited()), body)),
        5 => drop(whole(segment(body, Some(EventKind::Page), &mut Room::unlimited()), body)),
        6 => drop(whole(segment(body, Some(EventKind::Screen), &mut Room::unlimited()), body)),
        7 => drop(whole(segment(body, Some(EventKind::Group), &mut Room::unlimited()), body)),
        8 => drop(whole(segment(body, Some(EventKind::Alias), &mut Room::unlimited()), body)),
        9 => drop(whole(posthog(body, RECEIVED_AT, None, &mut Room::unlimited()), body)),
        10 => form(body),
        11 => drop(whole(cloudevents(body, &mut Room::unlimited()), body)),
        _ => binary(body),
    }
}

/// A body that is one JSON value: ingest's scanner and `serde_json` agree on whether it is.
fn whole<'a>(decoded: Result<Batch<'a>, Problem>, body: &'a [u8]) -> Option<Batch<'a>> {
    let is_json = json::is_json(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
    match decoded {
        Ok(batch) => {
            assert!(is_json, "a body is accepted that is not JSON");
            outcome::batch(&batch);
            Some(batch)
        }
        Err(problem) => {
            assert!(
                !is_json || problem.code != Code::InvalidJson,
                "refused as no JSON, and is: {}",
                problem.detail
            );
            outcome::refusal(&problem);
            None
        }
    }
}

/// Each line is JSON or refused alone.
fn lines(body: &[u8]) {
    let batch = match native(body, NativeShape::Ndjson, &mut Room::unlimited()) {
        Ok(batch) => batch,
        Err(problem) => return outcome::refusal(&problem),
    };
    outcome::batch(&batch);
    let lines: Vec<_> =
        body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    assert_eq!(lines.len(), batch.events.len() + batch.rejected.len());
    let json = |index: u32| {
        let line = lines[usize::try_from(index).expect("an index")];
        json::is_json(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line))
    };
    assert!(batch.events.iter().all(|event| json(event.index)));
    for rejection in &batch.rejected {
        assert_eq!(rejection.problem.code != Code::InvalidJson, json(rejection.index), "{rejection:?}");
    }
}

/// As PostHog's SDKs in browsers send it.
fn form(body: &[u8]) {
    match json_of_form(Bytes::copy_from_slice(body), &mut Room::free(FORM_BYTES_MAX)) {
        Ok(json) => {
            assert!(json.len() <= body.len().max(FORM_BYTES_MAX));
            whole(posthog(&json, RECEIVED_AT, Some(RECEIVED_AT), &mut Room::unlimited()), &json);
        }
        Err(problem) => outcome::refusal(&problem),
    }
}

/// Whatever headers and data there are, the event that they make is JSON; and data is taken for JSON only if it is.
fn binary(request: &[u8]) {
    let (head, data) = split(request, b"\n\n");
    let mut lines = head.split(|byte| *byte == b'\n');
    let content_type = str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let headers: Vec<_> = lines
        .filter_map(|line| {
            let (name, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
            Some((str::from_utf8(name).ok()?, value.get(1..).unwrap_or_default().trim_ascii()))
        })
        .collect();
    let _ = is_binary_cloudevent(headers.iter().map(|(name, _)| *name), content_type);
    let said_json = data.is_empty() || json::is_json(data);
    match binary_cloudevent(headers.iter().copied(), content_type, data) {
        Ok(event) => {
            assert!(said_json || content_type != "application/json", "data is called JSON and isn't");
            whole(cloudevents(event.as_bytes(), &mut Room::unlimited()), event.as_bytes())
                .iter()
                .for_each(|batch| assert_eq!(batch.events.len() + batch.rejected.len(), 1));
        }
        Err(problem) => {
            assert!(problem.code != Code::InvalidJson || !said_json, "data is refused as no JSON, and is");
            outcome::refusal(&problem);
        }
    }
}

/// What stands before and behind the first `mark`; all before it if there is none.
fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = bytes.windows(mark.len()).position(|window| window == mark);
    at.map_or((bytes, &[]), |at| (&bytes[..at], &bytes[at + mark.len()..]))
}
