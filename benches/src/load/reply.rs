//! What a reply says about a batch. Strict: what is not said clearly is unknown.

use std::time::Duration;

use hyper::header::HeaderValue;
use serde::Deserialize;

use super::link::RawReply;

/// Bytes of a code that are kept.
const CODE_BYTES_MAX: usize = 40;

/// How one request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Stored, except these.
    Acknowledged(Vec<Rejected>),
    /// No event of it was taken.
    Refused {
        /// The HTTP status, 4xx.
        status: u16,
        /// The problem document's code, or `-`.
        code: String,
        /// From the reply's header.
        retry_after: Option<Duration>,
    },
    /// It may or may not be stored.
    Unknown {
        /// One or a few words for journal and report, joined by dashes.
        why: String,
        /// From the reply's header.
        retry_after: Option<Duration>,
    },
}

/// An event that a reply of status 2xx says was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// Its index in the request.
    pub(crate) index: u32,
    pub(crate) code: String,
}

impl Answer {
    pub(crate) fn unknown(why: &str) -> Self {
        Self::Unknown { why: why.to_owned(), retry_after: None }
    }

    /// What `reply` says about a request of `events` events.
    pub(crate) fn read(reply: &RawReply, events: u32) -> Self {
        let retry_after = reply.retry_after.as_ref().and_then(seconds);
        match reply.status.as_u16() {
            200..=299 => accepted(&reply.body, events)
                .map_or_else(|why| Self::Unknown { why: why.to_owned(), retry_after }, Self::Acknowledged),
            status @ 400..=499 => Self::Refused { status, code: code(&reply.body), retry_after },
            status => match code(&reply.body).as_str() {
                "-" => Self::Unknown { why: status.to_string(), retry_after },
                code => Self::Unknown { why: format!("{status}-{code}"), retry_after },
            },
        }
    }
}

#[derive(Deserialize)]
struct Acceptance {
    accepted: u64,
    #[serde(default)]
    duplicate_of_request: u64,
    #[serde(default)]
    rejected: Vec<RejectedItem>,
}

#[derive(Deserialize)]
struct RejectedItem {
    index: u32,
    code: String,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
}

/// The rejected events, in order, if the reply accounts for every event of the request.
fn accepted(body: &[u8], events: u32) -> Result<Vec<Rejected>, &'static str> {
    let reply: Acceptance = serde_json::from_slice(body).map_err(|_| "unreadable-2xx")?;
    let mut rejected: Vec<_> = reply
        .rejected
        .into_iter()
        .map(|item| Rejected { index: item.index, code: word(&item.code) })
        .collect();
    rejected.sort_unstable_by_key(|item| item.index);
    rejected.dedup_by_key(|item| item.index);
    let accounted =
        reply.accepted.saturating_add(reply.duplicate_of_request).checked_add(rejected.len() as u64);
    if accounted != Some(events.into()) || rejected.last().is_some_and(|last| last.index >= events) {
        return Err("miscounted-2xx");
    }
    Ok(rejected)
}

fn code(body: &[u8]) -> String {
    serde_json::from_slice::<Problem>(body).map_or_else(|_| "-".to_owned(), |problem| word(&problem.code))
}

/// `text` as one word that a line of the journal can hold.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let word: String = text.chars().take(CODE_BYTES_MAX).map(|c| if is_plain(c) { c } else { '?' }).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

fn seconds(header: &HeaderValue) -> Option<Duration> {
    header.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, retry_after: Option<&'static str>, body: &str) -> Answer {
        let reply = RawReply {
            status: hyper::StatusCode::from_u16(status).unwrap(),
            retry_after: retry_after.map(HeaderValue::from_static),
            body: body.to_owned().into(),
        };
        Answer::read(&reply, 3)
    }

    #[test]
    fn a_2xx_that_accounts_for_every_event_is_an_acknowledgement() {
        assert_eq!(
            read(202, None, r#"{"accepted":3,"duplicate_of_request":0,"rejected":[]}"#),
            Answer::Acknowledged(vec![])
        );
        let one = Rejected { index: 1, code: "invalid_event".to_owned() };
        let reply =
            r#"{"accepted":2,"rejected":[{"index":1,"id":"x","code":"invalid_event","detail":"no name"}]}"#;
        assert_eq!(read(202, None, reply), Answer::Acknowledged(vec![one]));
    }

    #[test]
    fn a_2xx_that_does_not_add_up_promises_nothing() {
        for body in [
            r#"{"accepted":2}"#,
            r#"{"accepted":4}"#,
            r#"{"accepted":18446744073709551615,"rejected":[{"index":0,"code":"a"}]}"#,
            r#"{"accepted":2,"rejected":[{"index":3,"code":"a"}]}"#,
            r#"{"accepted":1,"rejected":[{"index":0,"code":"a"},{"index":0,"code":"a"}]}"#,
        ] {
            assert_eq!(read(202, None, body), Answer::unknown("miscounted-2xx"), "{body}");
        }
        for body in ["", "ok", r#"{"success":true}"#] {
            assert_eq!(read(200, None, body), Answer::unknown("unreadable-2xx"), "{body}");
        }
    }

    #[test]
    fn a_4xx_is_a_refusal_and_all_else_unknown() {
        let refused =
            |status, code: &str| Answer::Refused { status, code: code.to_owned(), retry_after: None };
        assert_eq!(read(402, None, r#"{"code":"quota_exceeded"}"#), refused(402, "quota_exceeded"));
        assert_eq!(read(404, None, "<html>"), refused(404, "-"));
        assert_eq!(read(400, None, r#"{"code":"two words\n"}"#), refused(400, "two?words?"));
        assert_eq!(read(302, None, ""), Answer::unknown("302"));
        assert_eq!(
            read(503, Some("2"), r#"{"code":"not_durable"}"#),
            Answer::Unknown { why: "503-not_durable".to_owned(), retry_after: Some(Duration::from_secs(2)) }
        );
    }
}
