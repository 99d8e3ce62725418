//! A batch: records of one or more partitions, read into events with their positions.

use std::collections::BTreeMap;
use std::io;

use eventlog::Record;
use schemas::event::Event;
use schemas::frame::{Envelope, FrameError, Trace, frames};
use schemas::id::{Position, TenantId};
use uuid::Uuid;

use crate::letter::DeadLetter;
use crate::own::Owned;

/// The range of one partition that a batch covers, `[lo, hi)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The partition.
    pub partition: u32,
    /// Its first offset: where the cursor stands.
    pub lo: u64,
    /// One past its last: where the cursor goes.
    pub hi: u64,
    /// The epoch under which the partition is owned.
    pub epoch: i64,
}

/// What a batch needs of one partition failed: nothing is known of the batch then. Without that partition, it can be
/// begun again.
#[derive(Debug, thiserror::Error)]
#[error("the batch can't be processed with partition {partition}")]
pub struct Failed {
    /// The partition.
    pub partition: u32,
    /// How.
    #[source]
    pub cause: io::Error,
}

/// An accepted event, where it stands, and with what it came.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    /// The partition.
    pub partition: u32,
    /// Its place there.
    pub position: Position,
    /// What its frame's events share.
    pub envelope: Envelope<'a>,
    /// The event.
    pub event: Event<'a>,
}

/// A frame, or the rest of one, that can't be read.
#[derive(Debug)]
pub struct Unreadable<'a> {
    /// The partition.
    pub partition: u32,
    /// Where the unreadable part begins.
    pub position: Position,
    /// The time of its log record: milliseconds since 1970.
    pub appended_at_ms: i64,
    /// Events of the same frame that could be read, and stand before it.
    pub events_before: u16,
    /// The envelope, if at least that could be read.
    pub envelope: Option<Envelope<'a>>,
    /// How many accepted events are in it: 1 where that can't be known.
    pub events: u16,
    /// What is wrong with it.
    pub reason: FrameError,
    /// The whole frame, and nothing of the others in its record: they are other tenants'.
    pub raw: &'a [u8],
}

impl From<Unreadable<'_>> for DeadLetter {
    fn from(unreadable: Unreadable<'_>) -> Self {
        let envelope = unreadable.envelope;
        Self {
            partition: unreadable.partition,
            position: unreadable.position,
            owner: envelope.map(|envelope| (envelope.tenant, envelope.project)),
            received_at: envelope.map(|envelope| envelope.received_at),
            events: unreadable.events,
            appended_at_ms: unreadable.appended_at_ms,
            events_before: unreadable.events_before,
            reason: unreadable.reason.to_string(),
            raw: unreadable.raw.to_vec(),
        }
    }
}

/// A frame that a trace follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traced {
    /// The request's place in the trace: the span that wrote the frame.
    pub trace: Trace,
    /// The partition.
    pub partition: u32,
    /// Of its record.
    pub offset: u64,
    /// The time of its record: milliseconds since 1970.
    pub appended_at_ms: i64,
    /// Who pays.
    pub tenant: TenantId,
    /// The id that the reply carried.
    pub request_id: Uuid,
    /// Events in it.
    pub events: u16,
}

/// What the records hold.
#[derive(Debug, Default)]
pub struct Decoded<'a> {
    /// Events in the order of partition and position.
    pub events: Vec<Placed<'a>>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable<'a>>,
    /// Frames that traces follow.
    pub traced: Vec<Traced>,
    /// Dead letters that were left out, by [`decode_as_judged`].
    pub letters: Vec<(u32, Position)>,
}

/// Where dead letters stand, and how many events of their frames were read before them.
pub type Letters = BTreeMap<(u32, Position), u16>;

/// The ranges that `records` cover, given the ownership under which they were read.
#[must_use]
pub fn ranges(records: &[Record], owned: &BTreeMap<u32, Owned>) -> Vec<Range> {
    let mut ranges: BTreeMap<u32, Range> = BTreeMap::new();
    for record in records {
        let Some(own) = owned.get(&record.partition) else { continue };
        let range =
            Range { partition: own.partition, lo: own.next_offset, hi: own.next_offset, epoch: own.epoch };
        let range = ranges.entry(record.partition).or_insert(range);
        // Readers never skip: a gap here would move the cursor past records that nobody has seen.
        assert_eq!(record.offset, range.hi, "partition {} was read with a gap", record.partition);
        range.hi += 1;
    }
    ranges.into_values().collect()
}

/// Reads the records' frames.
#[must_use]
pub fn decode(records: &[Record]) -> Decoded<'_> {
    decode_some(records, usize::MAX, Vec::new()).0
}

/// Reads the frames of the first records, up to `events_max` events or one record, into the memory of `events`; also
/// returns how many records those are.
#[must_use]
pub fn decode_some<'a>(
    records: &'a [Record],
    events_max: usize,
    events: Vec<Placed<'a>>,
) -> (Decoded<'a>, usize) {
    let mut decoded = Decoded { events, ..Decoded::default() };
    for (done, record) in records.iter().enumerate() {
        let (events, unreadable) = (decoded.events.len(), decoded.unreadable.len());
        let traced = decoded.traced.len();
        decode_record(record, &Letters::new(), &mut decoded);
        if done > 0 && decoded.events.len() > events_max {
            decoded.events.truncate(events);
            decoded.unreadable.truncate(unreadable);
            decoded.traced.truncate(traced);
            return (decoded, done);
        }
    }
    (decoded, records.len())
}

/// Reads the frames of records that were processed before, with the positions that their events got then: what became
/// a dead letter is left out, even if it can be read by now, and takes up one index as it did then.
#[must_use]
pub fn decode_as_judged<'a>(records: &'a [Record], letters: &Letters) -> Decoded<'a> {
    let mut decoded = Decoded::default();
    for record in records {
        decode_record(record, letters, &mut decoded);
    }
    decoded
}

fn decode_record<'a>(record: &'a Record, letters: &Letters, decoded: &mut Decoded<'a>) {
    // Counts what was read, in all of the record's frames: less than there are bytes, whatever their numbers claim.
    let mut index = 0_u16;
    for (raw, frame) in frames(&record.payload) {
        let at = |index| Position::new(record.offset, index);
        let letter_at = |index| letters.get(&(record.partition, at(index))).copied();
        let mut unreadable = |index, events_before, envelope, events, reason| {
            let (partition, position, appended_at_ms) = (record.partition, at(index), record.timestamp_ms);
            let unreadable = Unreadable {
                partition,
                position,
                appended_at_ms,
                events_before,
                envelope,
                events,
                reason,
                raw,
            };
            decoded.unreadable.push(unreadable);
        };
        let frame = match frame {
            _ if letter_at(index) == Some(0) => {
                decoded.letters.push((record.partition, at(index)));
                index = index.saturating_add(1);
                continue;
            }
            Ok(frame) => frame,
            Err(reason) => {
                unreadable(index, 0, None, 1, reason);
                index = index.saturating_add(1);
                continue;
            }
        };
        if let Some(trace) = frame.trace {
            let Envelope { tenant, request_id, .. } = frame.envelope;
            let (partition, offset) = (record.partition, record.offset);
            let (appended_at_ms, events) = (record.timestamp_ms, frame.len());
            decoded.traced.push(Traced {
                trace,
                partition,
                offset,
                appended_at_ms,
                tenant,
                request_id,
                events,
            });
        }
        let mut read = 0_u16;
        for event in frame.events() {
            if read > 0 && letter_at(index) == Some(read) {
                break;
            }
            match event {
                Ok(event) => decoded.events.push(Placed {
                    partition: record.partition,
                    position: at(index),
                    envelope: frame.envelope,
                    event,
                }),
                Err(reason) => {
                    let rest = frame.len().saturating_sub(read).max(1);
                    unreadable(index, read, Some(frame.envelope), rest, reason);
                }
            }
            (index, read) = (index.saturating_add(1), read.saturating_add(1));
        }
        // A letter after `read` events: the rest of this frame, or what was behind its last event.
        if read > 0 && letter_at(index) == Some(read) {
            decoded.letters.push((record.partition, at(index)));
            index = index.saturating_add(1);
        }
    }
}

/// The same memory for events of other records: empty, and as large as it was.
#[must_use]
pub fn emptied<'a>(mut events: Vec<Placed<'_>>) -> Vec<Placed<'a>> {
    events.clear();
    // Collected in place, since source and target have the same size.
    events.into_iter().map(|_| unreachable!("there are none")).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use schemas::event::{EventFlags, EventKind};
    use schemas::frame::{BundleWriter, FrameWriter};
    use schemas::id::{EventHash, KeyId, LeaseId, ProjectId, TenantId};
    use schemas::time::Micros;
    use uuid::Uuid;

    use super::*;

    fn frame(tenant: i64, ids: &[&str]) -> Vec<u8> {
        let project = ProjectId(tenant);
        let envelope = Envelope {
            tenant: TenantId(tenant),
            project,
            key: KeyId::from_number(1).unwrap(),
            lease: LeaseId::NONE,
            period_start: 0,
            received_at: Micros(5_000_000),
            request_id: Uuid::nil(),
            client_ip: None,
            user_agent: "",
        };
        let mut writer = FrameWriter::new(&envelope, 0);
        for id in ids {
            assert_eq!(
                writer.push(&Event {
                    hash: EventHash::of(project, id),
                    kind: EventKind::Track,
                    flags: EventFlags::default(),
                    timestamp: Micros(1),
                    id,
                    name: "e",
                    user_id: "",
                    anonymous_id: "",
                    properties: "",
                    context: "",
                    extra: "",
                }),
                Ok(())
            );
        }
        writer.finish().to_vec()
    }

    /// A record of one frame with these ids.
    pub(crate) fn record(partition: u32, offset: u64, ids: &[&str]) -> Record {
        Record { partition, offset, timestamp_ms: 5_000, payload: frame(1, ids).into() }
    }

    #[test]
    fn emptied_memory_is_kept() {
        let payload = frame(1, &["a", "b", "c"]).into();
        let records = [Record { partition: 4, offset: 7, timestamp_ms: 5_000, payload }];
        let events = decode(&records).events;
        let (memory, capacity) = (events.as_ptr().addr(), events.capacity());
        let emptied: Vec<Placed<'static>> = emptied(events);
        assert_eq!((emptied.as_ptr().addr(), emptied.capacity(), emptied.len()), (memory, capacity, 0));
    }

    #[test]
    fn a_batch_ends_before_the_record_that_would_pass_its_events_but_has_one() {
        let record = |offset, ids: &[&str]| Record {
            partition: 4,
            offset,
            timestamp_ms: 5_000,
            payload: frame(1, ids).into(),
        };
        let records = [record(7, &["a", "b", "c"]), record(8, &["d"]), record(9, &["e"])];
        for (events_max, events, taken) in [(1, 3, 1), (3, 3, 1), (4, 4, 2), (5, 5, 3), (9, 5, 3)] {
            let (decoded, done) = decode_some(&records, events_max, Vec::new());
            assert_eq!((decoded.events.len(), done), (events, taken), "{events_max}");
        }
    }

    #[test]
    fn positions_count_through_all_frames_of_a_record_and_what_is_unreadable_hides_no_other() {
        let mut half = frame(2, &["c", "d"]);
        half.pop();
        let mut bundle = BundleWriter::default();
        for frame in [&frame(1, &["a", "b"])[..], b"junk", &half, &frame(3, &["e"])] {
            bundle.push(frame);
        }
        let payload = bundle.record().to_vec().into();
        let records = [Record { partition: 4, offset: 7, timestamp_ms: 5_000, payload }];
        let decoded = decode(&records);
        let found: Vec<_> =
            decoded.events.iter().map(|e| (e.envelope.tenant.0, e.event.id, e.position)).collect();
        let at = |index| Position::new(7, index);
        assert_eq!(found, [(1, "a", at(0)), (1, "b", at(1)), (2, "c", at(3)), (3, "e", at(5))]);
        let dead: Vec<_> = decoded.unreadable.iter().map(|u| (u.position, u.events, u.raw)).collect();
        assert_eq!(dead, [(at(2), 1, &b"junk"[..]), (at(4), 1, &half[..])]);
    }

    #[test]
    fn what_became_a_dead_letter_keeps_its_one_index_when_it_can_be_read() {
        let mut bundle = BundleWriter::default();
        // Read by now: all of the second frame, what follows two events of the third, and what followed the fourth.
        let frames = [&frame(1, &["a"])[..], &frame(2, &["b", "c", "d"]), &frame(3, &["e", "f", "g", "h"])];
        for frame in frames.into_iter().chain([&frame(4, &["i"])[..], &frame(5, &["j"])]) {
            bundle.push(frame);
        }
        let payload = bundle.record().to_vec().into();
        let records = [Record { partition: 4, offset: 7, timestamp_ms: 5_000, payload }];
        let at = |index| Position::new(7, index);
        let letters = Letters::from([((4, at(1)), 0), ((4, at(4)), 2), ((4, at(6)), 1)]);
        let decoded = decode_as_judged(&records, &letters);
        let found: Vec<_> = decoded.events.iter().map(|e| (e.event.id, e.position)).collect();
        assert_eq!(found, [("a", at(0)), ("e", at(2)), ("f", at(3)), ("i", at(5)), ("j", at(7))]);
        assert_eq!(decoded.letters, letters.into_keys().collect::<Vec<_>>());
        assert!(decoded.unreadable.is_empty());
    }
}
