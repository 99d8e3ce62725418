//! CloudEvents' binary mode: attributes in `ce-*` headers, the data alone in the body.
//!
//! Such a request is written as the JSON that structured mode would have sent, so that there is one parser.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemas::problem::{Code, Problem};

use super::super::SENT_BYTES_MAX;
use super::super::scan::{Scanner, SyntaxError};
use super::super::text::percent_decoded;

const PREFIX: &str = "ce-";

/// Whether a request is in binary mode: it has attributes in its header, and its content type does not say that
/// the body holds the whole event.
pub fn is_binary_cloudevent<'h>(mut names: impl Iterator<Item = &'h str>, content_type: &str) -> bool {
    !essence(content_type).starts_with("application/cloudevents")
        && names.any(|name| matches!(name, "ce-specversion" | "ce-id" | "ce-source" | "ce-type"))
}

/// The event in structured mode. `headers` may hold others than CloudEvents', with names in lower case.
///
/// Data that is JSON stays as it is; text becomes a string, and anything else `data_base64`.
///
/// # Errors
/// `invalid_event` for an attribute that is not UTF-8 or whose name is none, `invalid_json` for data that is called
/// JSON and isn't, `event_too_large` for data over [`SENT_BYTES_MAX`](super::super::SENT_BYTES_MAX): each of its bytes
/// may become six.
pub fn binary_cloudevent<'h>(
    headers: impl Iterator<Item = (&'h str, &'h [u8])>,
    content_type: &str,
    body: &[u8],
) -> Result<String, Problem> {
    if body.len() > SENT_BYTES_MAX {
        let detail = format!("its data takes more than {SENT_BYTES_MAX} bytes");
        return Err(Problem::new(Code::EventTooLarge, detail));
    }
    let mut event = String::with_capacity(body.len() + 512);
    for (name, value) in headers {
        let Some(attribute) = name.strip_prefix(PREFIX) else { continue };
        if !is_attribute(attribute) {
            return Err(invalid(name, "an attribute's name holds lower-case letters and digits alone"));
        }
        push(&mut event, attribute, &quoted(&text(name, value)?));
    }
    if !content_type.is_empty() {
        push(&mut event, "datacontenttype", &quoted(content_type));
    }
    push_data(&mut event, content_type, body)?;
    event.push_str(if event.is_empty() { "{}" } else { "}" });
    Ok(event)
}

fn push(event: &mut String, member: &str, json: &str) {
    event.push(if event.is_empty() { '{' } else { ',' });
    event.push('"');
    event.push_str(member);
    event.push_str("\":");
    event.push_str(json);
}

/// `data` and what stands in for it come from the body alone.
fn is_attribute(name: &str) -> bool {
    !name.is_empty()
        && !matches!(name, "data" | "datacontenttype")
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// A header's value as a text: percent-decoded, and without quotes if it stands in some (HTTP binding, 3.1.3.2). The
/// JavaScript SDK encodes nothing, and fetch then sends Latin-1.
fn text(name: &str, value: &[u8]) -> Result<String, Problem> {
    let latin1: String;
    let value = if super::super::utf8(value).is_ok() {
        value
    } else {
        latin1 = value.iter().copied().map(char::from).collect();
        latin1.as_bytes()
    };
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    let decoded = match unquoted {
        Some(quoted) => percent_decoded(&without_backslashes(quoted)),
        None => percent_decoded(value),
    };
    String::from_utf8(decoded).map_err(|_| invalid(name, "what is percent-encoded in it is not UTF-8"))
}

fn without_backslashes(quoted: &[u8]) -> Vec<u8> {
    let mut bytes = quoted.iter();
    let mut text = Vec::with_capacity(quoted.len());
    while let Some(byte) = bytes.next() {
        text.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    text
}

fn push_data(event: &mut String, content_type: &str, body: &[u8]) -> Result<(), Problem> {
    if body.is_empty() {
        return Ok(());
    }
    let text = super::super::utf8(body);
    match text.map(|text| (text, json(text))) {
        Ok((text, Ok(()))) => push(event, "data", text),
        Ok((_, Err(error))) if is_json(content_type) => return Err(error.into()),
        Ok((text, Err(_))) => push(event, "data", &quoted(text)),
        Err(at) if is_json(content_type) => {
            return Err(Problem::new(Code::InvalidJson, format!("the body is not UTF-8 at byte {at}")));
        }
        Err(_) => push(event, "data_base64", &quoted(&STANDARD.encode(body))),
    }
    Ok(())
}

/// Whether `text` is one JSON value and nothing else.
fn json(text: &str) -> Result<(), SyntaxError> {
    let mut scanner = Scanner::new(text);
    scanner.value()?;
    scanner.end()
}

fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence.is_empty() || essence.ends_with("/json") || essence.ends_with("+json")
}

fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn quoted(text: &str) -> String {
    // A string always serialises.
    serde_json::to_string(text).unwrap_or_default()
}

fn invalid(header: &str, detail: &'static str) -> Problem {
    Problem::new(Code::InvalidEvent, detail).at(header)
}
