//! Request bodies: a template with the id and a few values patched in, so that the generator is cheap.

use std::io::Write;

use anyhow::Context;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::id::{SEQUENCE_DIGITS, mix};
use super::journal::IdRange;
use super::options::LoadPlan;

/// Events are made from these in turn: name, and the properties that only such an event has.
const KINDS: [(&str, &str); 4] = [
    ("order_completed", r#""currency":"EUR","coupon":null,"items":3"#),
    ("page_viewed", r#""path":"/docs/getting-started","referrer":"https://example.com/","first":false"#),
    ("api_called", r#""route":"/v1/reports/{id}","status":200,"cached":true"#),
    ("file_uploaded", r#""folder":"invoices/2026","type":"application/pdf","pages":12"#),
];
const FILLER: &str = "the river runs over the weir and every drop of it is counted once ";
const USER_DIGITS: usize = 6;
const AMOUNT_DIGITS: usize = 4;
const MILLIS_DIGITS: usize = 3;

/// One event's JSON, with the places where its own values go.
#[derive(Debug)]
struct Template {
    json: Vec<u8>,
    sequence_at: usize,
    user_at: usize,
    amount_at: usize,
    millis_at: Option<usize>,
}

/// Builds the bodies of one connection. An event's bytes depend on run, connection and sequence alone, so that a
/// re-send repeats them.
#[derive(Debug)]
pub(crate) struct Bodies {
    templates: Vec<Template>,
    salt: u64,
    gzip: bool,
}

/// A body, ready to send.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    /// Bytes before compression.
    pub(crate) plain_len: usize,
}

impl Bodies {
    pub(crate) fn new(plan: &LoadPlan, connection: u16) -> anyhow::Result<Self> {
        let templates: Option<Vec<_>> = KINDS
            .iter()
            .map(|(name, properties)| Template::new(plan, connection, name, properties))
            .collect();
        Ok(Self {
            templates: templates.context("an event's template lacks a field")?,
            salt: mix(plan.run_id.0 ^ u64::from(connection)),
            gzip: plan.gzip,
        })
    }

    /// A native batch of the events in `ranges`, in that order.
    pub(crate) fn build(&self, ranges: &[IdRange]) -> anyhow::Result<Body> {
        let events: usize = ranges.iter().map(|range| range.count as usize).sum();
        let event_len_max =
            self.templates.iter().map(|template| template.json.len() + 1).max().unwrap_or_default();
        let mut json = Vec::with_capacity(events * event_len_max + 16);
        json.extend_from_slice(br#"{"batch":["#);
        for sequence in ranges.iter().flat_map(|range| range.sequences()) {
            self.append(&mut json, sequence);
            json.push(b',');
        }
        json.pop();
        json.extend_from_slice(b"]}");
        let plain_len = json.len();
        if !self.gzip {
            return Ok(Body { bytes: json.into(), plain_len });
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(plain_len / 8), Compression::fast());
        encoder.write_all(&json)?;
        Ok(Body { bytes: encoder.finish()?.into(), plain_len })
    }

    fn append(&self, json: &mut Vec<u8>, sequence: u32) {
        let template = &self.templates[sequence as usize % self.templates.len()];
        let noise = mix(self.salt ^ u64::from(sequence));
        let start = json.len();
        json.extend_from_slice(&template.json);
        let event = &mut json[start..];
        patch::<16>(&mut event[template.sequence_at..][..SEQUENCE_DIGITS], sequence.into());
        patch::<16>(&mut event[template.user_at..][..USER_DIGITS], noise);
        patch::<10>(&mut event[template.amount_at..][..AMOUNT_DIGITS], noise >> 24);
        if let Some(at) = template.millis_at {
            patch::<10>(&mut event[at..][..MILLIS_DIGITS], sequence.into());
        }
    }
}

impl Template {
    fn new(plan: &LoadPlan, connection: u16, name: &str, properties: &str) -> Option<Self> {
        let id = plan.run_id.event(connection, 0);
        let time = plan
            .timestamp
            .and_then(|micros| DateTime::from_timestamp_micros(micros.0))
            .map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true));
        let timestamp = time.as_ref().map(|time| format!(r#""timestamp":"{time}","#)).unwrap_or_default();
        let head = format!(r#"{{"id":"{id}","event":"{name}","user_id":"u-000000",{timestamp}"properties":"#);
        let values = format!(r#"{{"amount":10000.5,{properties},"note":""#);
        let tail = r#""}}"#;
        let padding = plan.event_bytes.saturating_sub(head.len() + values.len() + tail.len());
        let note: String = FILLER.chars().cycle().take(padding).collect();
        let json = format!("{head}{values}{note}{tail}");
        Some(Self {
            sequence_at: json.find(&id)? + id.len() - SEQUENCE_DIGITS,
            user_at: json.find("u-000000")? + "u-".len(),
            // After a digit that stays, so that no number begins with a zero.
            amount_at: json.find("10000.5")? + 1,
            millis_at: time.and_then(|time| Some(json.find(&time)? + time.len() - MILLIS_DIGITS - "Z".len())),
            json: json.into_bytes(),
        })
    }
}

/// Writes the last digits of `number` in `BASE` over all of `digits`.
fn patch<const BASE: u64>(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::try_from(number % BASE).unwrap_or_default()];
        number /= BASE;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use schemas::time::Micros;
    use serde_json::Value;

    use super::*;
    use crate::load::LoadOptions;

    const MORNING: Micros = Micros(1_800_000_000_123_456);

    fn bodies(change: impl FnOnce(&mut LoadOptions)) -> Bodies {
        let mut options = LoadOptions { seed: Some(9), ..LoadOptions::to("http://a", "k") };
        change(&mut options);
        Bodies::new(&LoadPlan::new(&options).unwrap(), 3).unwrap()
    }

    fn events(body: &Body) -> Vec<Value> {
        let mut document: Value = serde_json::from_slice(&body.bytes).unwrap();
        document["batch"].as_array_mut().map(std::mem::take).unwrap()
    }

    #[test]
    fn a_body_holds_the_events_of_its_ranges_in_order() {
        let bodies = bodies(|options| options.timestamp = Some(MORNING));
        let body =
            bodies.build(&[IdRange { first: 0xfe, count: 3 }, IdRange { first: 5, count: 1 }]).unwrap();
        let ids: Vec<_> =
            events(&body).iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
        let id = |sequence: &str| format!("l-0000000000000009-0003-{sequence}");
        assert_eq!(ids, [id("000000fe"), id("000000ff"), id("00000100"), id("00000005")]);
        assert_eq!(events(&body)[2]["timestamp"], "2027-01-15T08:00:00.256Z");
        assert!(
            events(&body).iter().all(|event| event["event"].is_string() && event["properties"].is_object())
        );
    }

    #[test]
    fn an_event_is_the_same_bytes_in_every_batch() {
        let bodies = bodies(|_| ());
        let alone = events(&bodies.build(&[IdRange { first: 41, count: 1 }]).unwrap());
        let among = events(&bodies.build(&[IdRange { first: 40, count: 9 }]).unwrap());
        assert_eq!(alone[0], among[1]);
    }

    #[test]
    fn events_have_about_the_bytes_that_were_asked_for() {
        for event_bytes in [300, 1_000, 5_000] {
            let body = bodies(|options| options.event_bytes = event_bytes)
                .build(&[IdRange { first: 0, count: 100 }])
                .unwrap();
            assert!(body.plain_len.abs_diff(event_bytes * 100) < 200, "{} for {event_bytes}", body.plain_len);
        }
    }

    #[test]
    fn a_compressed_body_holds_the_same_events() {
        let range = [IdRange { first: 7, count: 50 }];
        let (plain, packed) =
            (bodies(|_| ()).build(&range).unwrap(), bodies(|o| o.gzip = true).build(&range).unwrap());
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed.bytes[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain.bytes);
        assert!(packed.bytes.len() * 4 < packed.plain_len);
    }
}
