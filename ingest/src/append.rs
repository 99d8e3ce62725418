//! Frames for the log: all events of one request for one partition travel together.

use eventlog::Append;
use schemas::frame::{Envelope, FrameWriter, PushError, Trace};

use crate::validate::Known;

/// The log records of `events`, in the order of the request within each partition.
///
/// # Errors
/// If an event is over its limit ([`Known::is_within_limits`]): all of them or none are written.
pub fn frames(
    envelope: &Envelope<'_>,
    events: &[Known<'_>],
    partitions: u32,
) -> Result<Vec<Append>, PushError> {
    traced_frames(envelope, None, events, partitions)
}

/// The same for a request that a trace may follow.
///
/// # Errors
/// As [`frames`].
pub fn traced_frames(
    envelope: &Envelope<'_>,
    trace: Option<&Trace>,
    events: &[Known<'_>],
    partitions: u32,
) -> Result<Vec<Append>, PushError> {
    let timestamp_ms = envelope.received_at.0.div_euclid(1000);
    let partitions_len = usize::try_from(partitions).unwrap_or(usize::MAX);
    let mut writers: Vec<Option<FrameWriter>> =
        std::iter::repeat_with(|| None).take(partitions_len).collect();
    let mut records = Vec::new();
    let mut finish = |partition: u32, writer: FrameWriter| {
        records.push(Append { partition, timestamp_ms, payload: writer.finish() });
    };
    // An even share of the request's bytes, so that most frames are written into one allocation.
    let bytes: usize = events.iter().map(Known::bytes).sum();
    let capacity = bytes / partitions_len.clamp(1, events.len().max(1)) + 64;
    for known in events {
        let event = known.event(envelope.received_at);
        let partition = event.hash.partition(partitions);
        let Some(place) = usize::try_from(partition).ok().and_then(|place| writers.get_mut(place)) else {
            continue;
        };
        let writer = place.get_or_insert_with(|| FrameWriter::traced(envelope, trace, capacity));
        match writer.push(&event) {
            Ok(()) => {}
            Err(PushError::Full) => {
                let mut next = FrameWriter::traced(envelope, trace, capacity);
                next.push(&event)?;
                finish(partition, std::mem::replace(writer, next));
            }
            Err(PushError::OverLimit) => return Err(PushError::OverLimit),
        }
    }
    for (partition, writer) in (0..).zip(writers) {
        if let Some(writer) = writer {
            finish(partition, writer);
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use decode::room::Room;
    use decode::{NativeShape, native};
    use proptest::prelude::*;
    use schemas::frame::Frame;
    use schemas::id::{KeyId, LeaseId, ProjectId, TenantId};
    use schemas::limit::FRAME_BYTES_MAX;
    use schemas::time::Micros;
    use uuid::Uuid;

    use super::*;
    use crate::validate::identify;

    fn envelope() -> Envelope<'static> {
        Envelope {
            tenant: TenantId(1),
            project: ProjectId(2),
            key: KeyId::from_number(3).unwrap(),
            lease: LeaseId(4),
            period_start: 0,
            received_at: Micros(5_000_000),
            request_id: Uuid::nil(),
            client_ip: None,
            user_agent: "",
        }
    }

    proptest! {
        #[test]
        fn every_event_is_in_one_frame_of_its_partition_in_the_order_of_the_request(
            sizes in proptest::collection::vec(0_usize..200_000, 1..30), partitions in 1_u32..9,
        ) {
            let events: Vec<String> = sizes.iter().enumerate()
                .map(|(i, size)| format!(r#"{{"id":"{i}","event":"e","properties":{{"x":"{}"}}}}"#, "x".repeat(*size)))
                .collect();
            let body = format!("[{}]", events.join(","));
            let batch = native(body.as_bytes(), NativeShape::Json, &mut Room::unlimited()).unwrap();
            let (known, _) = identify(ProjectId(2), batch.events);
            let records = frames(&envelope(), &known, partitions).unwrap();
            let mut found = vec![];
            for record in &records {
                prop_assert!(record.payload.len() <= FRAME_BYTES_MAX);
                let frame = Frame::parse(&record.payload).unwrap();
                prop_assert_eq!(frame.envelope, envelope());
                let mut last = None;
                for event in frame.events() {
                    let event = event.unwrap();
                    prop_assert_eq!(event.hash.partition(partitions), record.partition);
                    let place: usize = event.id.parse().unwrap();
                    prop_assert!(last < Some(place));
                    last = Some(place);
                    found.push(place);
                }
            }
            found.sort_unstable();
            prop_assert_eq!(found, (0..sizes.len()).collect::<Vec<_>>());
        }
    }
}
