//! Frames, as the processor reads them from the log.
//!
//! A first byte `S` makes the rest an envelope and events that are written and read again; without it, the bytes are
//! a record as it stands.

use std::net::Ipv6Addr;

use arbitrary::{Arbitrary, Unstructured};
use schemas::event::{Event, EventFlags, EventKind};
use schemas::frame::{BundleWriter, Envelope, Frame, FrameError, FrameWriter, Trace, encoded_len, frames};
use schemas::id::{EventHash, KeyId, LeaseId, ProjectId, TenantId};
use schemas::limit::{EVENT_BYTES_MAX, FRAME_BYTES_MAX, USER_AGENT_BYTES_MAX};
use schemas::time::Micros;
use uuid::Uuid;

/// The byte of a frame without a trace that is always zero, and that readers pass over.
const RESERVED_AT: usize = 1;

/// See the module.
///
/// # Panics
/// Where a promise is broken.
pub fn check(data: &[u8]) {
    match data.split_first() {
        Some((b'S', rest)) => {
            if let Ok(written) = Written::arbitrary(&mut Unstructured::new(rest)) {
                written_is_read(&written);
            }
        }
        _ => any_record(data),
    }
}

/// The events of a record, or the first thing that is wrong with it.
fn read(record: &[u8]) -> Result<(Envelope<'_>, Vec<Event<'_>>), FrameError> {
    let frame = Frame::parse(record)?;
    let walked = frame.events().count();
    assert!(walked <= usize::from(frame.len()) + 1, "{walked} of {} events", frame.len());
    let events = frame.events().collect::<Result<Vec<_>, _>>()?;
    assert_eq!((events.len(), events.is_empty()), (usize::from(frame.len()), frame.is_empty()));
    Ok((frame.envelope, events))
}

/// Every byte of a record belongs to one of its frames, or to their lengths.
fn any_record(record: &[u8]) {
    let (mut again, mut split) = (BundleWriter::default(), true);
    for (raw, frame) in frames(record) {
        any_frame(raw);
        split &= !matches!(frame, Err(FrameError::Short));
        again.push(raw);
    }
    if split && record.len() > raw_len(record) {
        assert!(again.record() == record || frames(record).count() == 1);
    }
}

/// Bytes of a record's frames.
fn raw_len(record: &[u8]) -> usize {
    frames(record).map(|(raw, _)| raw.len()).sum()
}

/// What can be read is, written again, the same frame: no byte of it is passed over, and none is read twice.
fn any_frame(record: &[u8]) {
    let Ok((envelope, events)) = read(record) else { return };
    let trace = Frame::parse(record).ok().and_then(|frame| frame.trace);
    for event in &events {
        assert!((Micros::CLIENT_MIN..=Micros::CLIENT_MAX).contains(&event.timestamp));
    }
    assert!((Micros(0)..Micros::RECEIVED_END).contains(&envelope.received_at));
    let writable = envelope.user_agent.len() <= USER_AGENT_BYTES_MAX
        && record.len() <= FRAME_BYTES_MAX
        && events.iter().all(|event| encoded_len(event) <= EVENT_BYTES_MAX);
    if writable {
        let mut expected = record.to_vec();
        if trace.is_none() {
            expected[RESERVED_AT] = 0;
        }
        assert_eq!(written(&envelope, trace.as_ref(), &events), expected);
    }
}

fn written(envelope: &Envelope<'_>, trace: Option<&Trace>, events: &[Event<'_>]) -> bytes::Bytes {
    let mut writer = FrameWriter::traced(envelope, trace, 0);
    for event in events {
        assert_eq!(writer.push(event), Ok(()));
    }
    assert_eq!(usize::from(writer.events()), events.len());
    writer.finish()
}

/// An envelope and events within the limits that ingest holds them to.
#[derive(Debug, Arbitrary)]
struct Written<'a> {
    numbers: [i64; 4],
    received_at: i64,
    request_id: u128,
    client_ip: Option<u128>,
    user_agent: &'a str,
    events: Vec<WrittenEvent<'a>>,
    damage: Vec<(u16, u8)>,
    trace: Option<(u8, [u8; 16], [u8; 8])>,
}

#[derive(Debug, Arbitrary)]
struct WrittenEvent<'a> {
    hash: u128,
    kind: u8,
    flags: u8,
    timestamp: i64,
    texts: [&'a str; 7],
}

const KINDS: [EventKind; 6] = [
    EventKind::Track,
    EventKind::Identify,
    EventKind::Page,
    EventKind::Screen,
    EventKind::Group,
    EventKind::Alias,
];

impl Written<'_> {
    fn envelope(&self) -> Envelope<'_> {
        let [tenant, project, key, lease] = self.numbers;
        let received_at = Micros(self.received_at.rem_euclid(Micros::RECEIVED_END.0));
        Envelope {
            tenant: TenantId(tenant),
            project: ProjectId(project),
            key: KeyId::from_number(key.rem_euclid(62_i64.pow(10))).expect("an id in its range"),
            lease: LeaseId(lease),
            period_start: received_at.seconds(),
            received_at,
            request_id: Uuid::from_u128(self.request_id),
            client_ip: self.client_ip.map(Ipv6Addr::from).filter(|ip| !ip.is_unspecified()),
            user_agent: cut(self.user_agent, USER_AGENT_BYTES_MAX),
        }
    }
}

impl WrittenEvent<'_> {
    fn event(&self) -> Event<'_> {
        let [id, name, user_id, anonymous_id, properties, context, extra] = self.texts;
        let span = Micros::CLIENT_MAX.0 - Micros::CLIENT_MIN.0 + 1;
        Event {
            hash: EventHash(self.hash),
            kind: KINDS[usize::from(self.kind) % KINDS.len()],
            flags: EventFlags(self.flags),
            timestamp: Micros(Micros::CLIENT_MIN.0 + self.timestamp.rem_euclid(span)),
            id: cut(id, u8::MAX.into()),
            name,
            user_id,
            anonymous_id,
            properties,
            context,
            extra,
        }
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// What is written is read; what is cut short is refused; what is damaged is refused or a frame, never a panic.
fn written_is_read(input: &Written<'_>) {
    let envelope = input.envelope();
    let events: Vec<_> = input.events.iter().map(WrittenEvent::event).collect();
    let trace = input.trace.map(|(flags, trace_id, span_id)| Trace { flags, trace_id, span_id });
    let record = written(&envelope, trace.as_ref(), &events);
    assert_eq!(Frame::parse(&record).map(|frame| frame.trace), Ok(trace));
    assert_eq!(read(&record), Ok((envelope, events)));
    let step = record.len() / 200 + 1;
    for end in (0..record.len()).step_by(step) {
        assert!(read(&record[..end]).is_err(), "cut at {end}");
    }
    let mut longer = record.to_vec();
    longer.push(0);
    assert_eq!(read(&longer).err(), Some(FrameError::Lengths));
    let mut bundle = BundleWriter::default();
    for _ in 0..3 {
        bundle.push(&record);
    }
    assert!(frames(bundle.record()).map(|(raw, _)| raw).eq([&record[..]; 3]));
    let mut damaged = bundle.record().to_vec();
    for (place, flip) in &input.damage {
        let place = usize::from(*place) % damaged.len();
        damaged[place] ^= flip;
        any_record(&damaged);
    }
}
