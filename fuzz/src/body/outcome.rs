//! What holds for whatever comes out of a parser, and for what becomes of it on its way to the log.

use std::collections::HashSet;

use decode::{Batch, DEPTH_MAX, EVENTS_MAX, Incoming, Rejection};
use ingest::append::frames;
use ingest::validate::identify;
use schemas::event::{Event, EventFlags, EventKind};
use schemas::frame::{Envelope, Frame};
use schemas::id::{EventHash, KeyId, LeaseId, ProjectId, TenantId};
use schemas::limit::{EVENT_BYTES_MAX, EVENT_ID_BYTES_MAX, EVENT_NAME_BYTES_MAX, FRAME_BYTES_MAX};
use schemas::problem::Problem;
use schemas::time::Micros;
use serde_json::Value;
use uuid::Uuid;

use super::RECEIVED_AT;

const PROJECT: ProjectId = ProjectId(2);
const PARTITIONS: u32 = 3;

/// A whole body is refused: with a status that says that the client is to blame, and a document.
///
/// # Panics
/// Where that is not so.
pub(super) fn refusal(problem: &Problem) {
    assert!(matches!(problem.code.status(), 400 | 413), "{problem:?}");
    let document: Value = serde_json::from_slice(&problem.document("r")).expect("a document is JSON");
    assert_eq!(document["code"], problem.code.as_str());
    assert!(!problem.detail.is_empty());
}

/// Every event of the body is accepted or rejected, in order, within the limits, and is read back from its frame.
///
/// # Panics
/// Where that is not so.
pub(super) fn batch(batch: &Batch<'_>) {
    let accepted: Vec<_> = batch.events.iter().map(|event| event.index).collect();
    let rejected: Vec<_> = batch.rejected.iter().map(|rejection| rejection.index).collect();
    assert!(accepted.is_sorted() && rejected.is_sorted(), "{accepted:?} {rejected:?}");
    let mut all = [accepted, rejected].concat();
    all.sort_unstable();
    assert!((1..=EVENTS_MAX).contains(&all.len()));
    assert!(all.iter().copied().eq(0..u32::try_from(all.len()).expect("an index")), "{all:?}");
    batch.events.iter().for_each(|incoming| event(incoming, batch.write_key.as_deref()));
    batch.rejected.iter().for_each(rejection);
    to_frames_and_back(&batch.events);
}

fn event(event: &Incoming<'_>, write_key: Option<&str>) {
    assert!(event.bytes() <= EVENT_BYTES_MAX);
    let flag = |flag: EventFlags| event.flags.0 & flag.0 != 0;
    assert_eq!(flag(EventFlags::SERVER_ID), event.id.is_none());
    assert_eq!(flag(EventFlags::SERVER_TIME), event.timestamp.is_none());
    assert!(event.id.as_ref().is_none_or(|id| (1..=EVENT_ID_BYTES_MAX).contains(&id.len())));
    assert!(event.kind != EventKind::Track || !event.name.is_empty());
    for text in [&event.name, &event.user_id, &event.anonymous_id] {
        assert!(text.len() <= EVENT_NAME_BYTES_MAX && !text.contains('\0'), "{text}");
    }
    for time in [event.timestamp, event.sent_at].into_iter().flatten() {
        assert!((Micros::CLIENT_MIN..=Micros::CLIENT_MAX).contains(&time), "{time:?}");
    }
    for object in [&event.properties, &event.context, &event.extra] {
        if object.is_empty() {
            continue;
        }
        let parsed: Value = serde_json::from_str(object).unwrap_or_else(|error| panic!("{object}: {error}"));
        assert!(parsed.is_object(), "{object}");
        // An event at the limit of depth is one level shallower where its members stand alone.
        assert!(depth(&parsed) <= DEPTH_MAX, "{object}");
        // A key in a place of its own is never stored.
        for (name, value) in parsed.as_object().into_iter().flatten() {
            let places = ["writeKey", "api_key", "$token"];
            let stored =
                write_key.is_some() && places.contains(&name.as_str()) && value.as_str() == write_key;
            assert!(
                !stored || std::ptr::eq(object, &event.properties) || std::ptr::eq(object, &event.context),
                "{object}"
            );
        }
    }
}

fn depth(value: &Value) -> u32 {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn rejection(rejection: &Rejection) {
    refusal(&rejection.problem);
    assert!(rejection.id.as_ref().is_none_or(|id| id.len() <= EVENT_ID_BYTES_MAX));
    let place = rejection.index.to_string();
    let field = rejection.problem.field().unwrap_or_default();
    let inner = field.strip_prefix("/batch").unwrap_or(field).strip_prefix('/').unwrap_or_default();
    let points_at_it = inner.split('/').next() == Some(&place);
    assert!(points_at_it || rejection.index == 0, "{field} is to say what is wrong with event {place}");
}

/// What identity, clock and frames do to the events of a request.
fn to_frames_and_back(incoming: &[Incoming<'_>]) {
    let (mut known, repeated) = identify(PROJECT, incoming.to_vec());
    assert_eq!(known.len() + usize::try_from(repeated).expect("a count"), incoming.len());
    known.iter_mut().for_each(|known| known.correct_time(RECEIVED_AT));
    let mut hashes = HashSet::new();
    for known in &known {
        let sent = incoming.iter().find(|sent| sent.index == known.index()).expect("it was sent");
        assert!(sent.id.as_ref().is_none_or(|id| id == known.id()));
        assert_eq!(known.hash(), EventHash::of(PROJECT, known.id()));
        assert!(hashes.insert(known.hash()), "an id stands there twice");
        assert!(known.is_within_limits(), "the correction of a time makes {} bytes", known.bytes());
        let time = known.event(RECEIVED_AT).timestamp;
        assert!(time.0 <= RECEIVED_AT.0 + 24 * Micros::HOUR, "{time:?} is more than a day ahead");
        let extra = known.event(RECEIVED_AT).extra;
        let is_object = |text| serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object());
        assert!(extra.is_empty() || is_object(extra), "the correction of a time leaves {extra}");
    }
    let expected: Vec<Event<'_>> = known.iter().map(|known| known.event(RECEIVED_AT)).collect();
    let records = frames(&envelope(), &known, PARTITIONS).expect("each is within its limit");
    let mut found = Vec::new();
    for record in &records {
        assert!(record.payload.len() <= FRAME_BYTES_MAX);
        let frame = Frame::parse(&record.payload).expect("what is written is read");
        assert_eq!(frame.envelope, envelope());
        for event in frame.events() {
            let event = event.expect("what is written is read");
            assert_eq!(event.hash.partition(PARTITIONS), record.partition);
            found.push((record.partition, event));
        }
    }
    for partition in 0..PARTITIONS {
        let of_it = |event: &&Event<'_>| event.hash.partition(PARTITIONS) == partition;
        let found = found.iter().filter(|(place, _)| *place == partition).map(|(_, event)| event);
        assert!(
            expected.iter().filter(of_it).eq(found),
            "an event is another, or elsewhere, once it is in a frame"
        );
    }
}

fn envelope() -> Envelope<'static> {
    Envelope {
        tenant: TenantId(1),
        project: PROJECT,
        key: KeyId::from_number(3).expect("an id"),
        lease: LeaseId(4),
        period_start: RECEIVED_AT.seconds(),
        received_at: RECEIVED_AT,
        request_id: Uuid::nil(),
        client_ip: None,
        user_agent: "",
    }
}
