//! A batch: records of one or more partitions, read into events with their positions.

use std::collections::BTreeMap;

use eventlog::Record;
use schemas::event::Event;
use schemas::frame::{Envelope, Frame, FrameError};
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

/// A record, or the rest of one, that can't be read.
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
    /// The whole record.
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
    let mut decoded = Decoded::default();
    for record in records {
        decode_record(record, &mut decoded);
    }
    decoded
}

fn decode_record<'a>(record: &'a Record, decoded: &mut Decoded<'a>) {
    let unreadable = |index, envelope, events, reason| Unreadable {
        partition: record.partition,
        position: Position::new(record.offset, index),
        envelope,
        events,
        reason,
        raw: &record.payload,
    };
    let frame = match Frame::parse(&record.payload) {
        Ok(frame) => frame,
        Err(reason) => return decoded.unreadable.push(unreadable(0, None, 1, reason)),
    };
    let mut index = 0_u16;
    for event in frame.events() {
        match event {
            Ok(event) => decoded.events.push(Placed {
                partition: record.partition,
                position: Position::new(record.offset, index),
                envelope: frame.envelope,
                event,
            }),
            Err(reason) => {
                let rest = frame.len().saturating_sub(index).max(1);
                return decoded.unreadable.push(unreadable(index, Some(frame.envelope), rest, reason));
            }
        }
        index = index.saturating_add(1);
    }
}
