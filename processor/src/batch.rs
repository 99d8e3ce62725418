//! A batch: records of one or more partitions, read into events with their positions.

use std::collections::BTreeMap;

use eventlog::Record;
use schemas::event::Event;
use schemas::frame::{Envelope, FrameError, frames};
use schemas::id::Position;

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
    /// The envelope, if at least that could be read.
    pub envelope: Option<Envelope<'a>>,
    /// How many accepted events are in it: 1 where that can't be known.
    pub events: u16,
    /// What is wrong with it.
    pub reason: FrameError,
    /// The whole frame, and nothing of those beside it in its record: they are other tenants'.
    pub raw: &'a [u8],
}

/// What the records hold.
#[derive(Debug, Default)]
pub struct Decoded<'a> {
    /// Events in the order of partition and position.
    pub events: Vec<Placed<'a>>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable<'a>>,
}

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
/// tells how many records those are.
#[must_use]
pub fn decode_some<'a>(
    records: &'a [Record],
    events_max: usize,
    events: Vec<Placed<'a>>,
) -> (Decoded<'a>, usize) {
    let mut decoded = Decoded { events, unreadable: Vec::new() };
    for (done, record) in records.iter().enumerate() {
        let (events, unreadable) = (decoded.events.len(), decoded.unreadable.len());
        decode_record(record, &mut decoded);
        if done > 0 && decoded.events.len() > events_max {
            decoded.events.truncate(events);
            decoded.unreadable.truncate(unreadable);
            return (decoded, done);
        }
    }
    (decoded, records.len())
}

fn decode_record<'a>(record: &'a Record, decoded: &mut Decoded<'a>) {
    // Counts what was read, in all of the record's frames: less than there are bytes, whatever their numbers claim.
    let mut index = 0_u16;
    for (raw, frame) in frames(&record.payload) {
        let mut unreadable = |index, envelope, events, reason| {
            let (partition, position) = (record.partition, Position::new(record.offset, index));
            decoded.unreadable.push(Unreadable { partition, position, envelope, events, reason, raw });
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(reason) => {
                unreadable(index, None, 1, reason);
                index = index.saturating_add(1);
                continue;
            }
        };
        let mut read = 0_u16;
        for event in frame.events() {
            match event {
                Ok(event) => decoded.events.push(Placed {
                    partition: record.partition,
                    position: Position::new(record.offset, index),
                    envelope: frame.envelope,
                    event,
                }),
                Err(reason) => {
                    let rest = frame.len().saturating_sub(read).max(1);
                    unreadable(index, Some(frame.envelope), rest, reason);
                }
            }
            (index, read) = (index.saturating_add(1), read.saturating_add(1));
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
mod tests {
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
            assert!(writer.push(&Event {
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
            }));
        }
        writer.finish().to_vec()
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
}
