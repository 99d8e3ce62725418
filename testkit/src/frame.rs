//! Frames as ingest writes them, of events that are little more than their ids.

use bytes::Bytes;
use schemas::event::{Event, EventFlags, EventKind};
use schemas::frame::{Envelope, FrameWriter};
use schemas::id::{EventHash, KeyId, LeaseId, ProjectId, TenantId};
use schemas::time::Micros;
use uuid::Uuid;

/// What a request of that project brings, received a second after 1970 began, in a period that began with it: a test
/// changes what it is about. What is received before its period can't be read.
#[must_use]
pub fn envelope(tenant: TenantId, project: ProjectId) -> Envelope<'static> {
    Envelope {
        tenant,
        project,
        key: KeyId::from_number(1).unwrap(),
        lease: LeaseId::NONE,
        period_start: 0,
        received_at: Micros(Micros::SECOND),
        request_id: Uuid::nil(),
        client_ip: None,
        user_agent: "",
    }
}

/// An event of that id, and of that hash.
#[must_use]
pub fn event(hash: EventHash, id: &str) -> Event<'_> {
    Event {
        hash,
        kind: EventKind::Track,
        flags: EventFlags::default(),
        timestamp: Micros(1),
        id,
        name: "tested",
        user_id: "",
        anonymous_id: "",
        properties: "",
        context: "",
        extra: "",
    }
}

/// A frame of events with these ids, each with the hash that ingest gives it.
pub fn frame(envelope: &Envelope<'_>, ids: impl IntoIterator<Item = impl AsRef<str>>) -> Bytes {
    let ids: Vec<_> = ids.into_iter().collect();
    let ids = ids.iter().map(AsRef::as_ref);
    frame_of(envelope, ids.map(|id| event(EventHash::of(envelope.project, id), id)))
}

/// A frame of these events.
pub fn frame_of<'e>(envelope: &Envelope<'_>, events: impl IntoIterator<Item = Event<'e>>) -> Bytes {
    let mut writer = FrameWriter::new(envelope, 0);
    for event in events {
        assert_eq!(writer.push(&event), Ok(()));
    }
    writer.finish()
}
