//! Spans as OTLP has them: protobuf, by hand, since one message needs five of its fields' kinds.
//!
//! Numbers are those of `opentelemetry/proto/{collector/trace,trace,common,resource}/v1` (1.x, stable).

use super::{Context, Kind, Record, Value};

/// What is sent as the name of the library that made the spans.
const SCOPE: &str = "weir";
/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;

/// An `ExportTraceServiceRequest`: what the process says of itself, and its spans.
pub(super) fn request(resource: &[(&'static str, Value)], spans: &[Record]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |resource_spans| {
        resource_spans.message(1, |message| attributes(message, 1, resource));
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| scope.text(1, SCOPE));
            for record in spans {
                scope_spans.message(2, |message| span(message, record));
            }
        });
    });
    request.0
}

fn span(message: &mut Message, record: &Record) {
    message.bytes(1, &record.context.trace_id);
    message.bytes(2, &record.context.span_id);
    if let Some(parent) = &record.parent {
        message.bytes(4, parent);
    }
    message.text(5, &record.name);
    message.number(6, kind(record.kind));
    message.fixed64(7, record.begun_ns);
    message.fixed64(8, record.ended_ns);
    attributes(message, 9, &record.attributes);
    for link in &record.links {
        message.message(13, |message| {
            let Context { trace_id, span_id, flags } = link;
            message.bytes(1, trace_id);
            message.bytes(2, span_id);
            message.fixed32(6, (*flags).into());
        });
    }
    if let Some(why) = &record.failure {
        message.message(15, |status| {
            status.text(2, why);
            status.number(3, ERROR);
        });
    }
    message.fixed32(16, record.context.flags.into());
}

/// `SpanKind`.
fn kind(kind: Kind) -> u64 {
    match kind {
        Kind::Internal => 1,
        Kind::Server => 2,
        Kind::Client => 3,
        Kind::Producer => 4,
        Kind::Consumer => 5,
    }
}

fn attributes(message: &mut Message, field: u32, attributes: &[(&'static str, Value)]) {
    for (key, value) in attributes {
        message.message(field, |pair| {
            pair.text(1, key);
            pair.message(2, |any| match value {
                Value::Text(text) => any.text(1, text),
                // Two's complement in 64 bits, as protobuf has its int64.
                Value::Number(number) => any.number(3, u64::from_le_bytes(number.to_le_bytes())),
            });
        });
    }
}

/// A protobuf message as it is written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, field: u32, number: u64) {
        self.key(field, 0);
        self.varint(number);
    }

    fn fixed64(&mut self, field: u32, number: u64) {
        self.key(field, 1);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn fixed32(&mut self, field: u32, number: u32) {
        self.key(field, 5);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint((field << 3 | wire_type).into());
    }

    fn varint(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                self.0.push(low & 0x7f);
                return;
            }
            self.0.push(low | 0x80);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    /// What OpenTelemetry's own protobuf classes (Python, opentelemetry-proto 1.x) write for the same span.
    const GOLDEN: &[u8] = include_bytes!("../../golden/otlp-trace.bin");

    #[test]
    fn a_request_is_byte_for_byte_what_opentelemetrys_own_classes_write() {
        let context = Context { trace_id: [0xab; 16], span_id: [0xcd; 8], flags: 3 };
        let span = Record {
            name: Cow::Borrowed("POST /v1/events"),
            kind: Kind::Server,
            context,
            parent: Some([0xef; 8]),
            begun_ns: 1_795_000_000_123_456_789,
            ended_ns: 1_795_000_000_223_456_789,
            attributes: vec![
                ("events", Value::Number(300)),
                ("below", Value::Number(-1)),
                ("text", "ß".into()),
            ],
            links: vec![Context { trace_id: [1; 16], span_id: [2; 8], flags: 1 }],
            failure: Some(Cow::Borrowed("not_durable")),
        };
        let written = request(&[("service.name", "weir-ingest".into())], &[span]);
        assert_eq!(written, GOLDEN);
    }
}
