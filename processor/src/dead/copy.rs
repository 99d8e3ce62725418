//! What is appended for a dead letter: its events as they were received, under no lease.

use std::time::Duration;

use eventlog::Append;
use schemas::frame::{Envelope, FrameWriter, frames};
use schemas::id::{EventHash, LeaseId};
use schemas::time::Micros;
use sqlx::types::chrono::DateTime;

use crate::batch::Placed;
use crate::db::dead_letter::Claimed;
use crate::erased::Erased;

/// What must be known of the log to copy a letter into it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    /// Its partitions.
    pub(super) partitions: u32,
    /// What must not be brought back.
    pub(super) erased: &'a Erased,
    /// For how long an id is remembered, from its receipt.
    pub(super) window: Duration,
    /// Ids of events received before are not known for certain any more.
    pub(super) oldest: Micros,
}

/// Records, and the events in them.
#[derive(Debug, Default)]
pub(super) struct Copies {
    pub(super) records: Vec<Append>,
    pub(super) events: i64,
}

/// Records for the letter's partition with those of its events that were not erased.
///
/// # Errors
/// Why it stays dead.
pub(super) fn copies(letter: &Claimed, terms: Terms<'_>) -> Result<Copies, String> {
    let mut copies = Copies::default();
    let mut skip = letter.events_before;
    for (_, frame) in frames(&letter.raw) {
        let frame = frame.map_err(|error| error.to_string())?;
        let envelope = Envelope { lease: LeaseId::NONE, ..frame.envelope };
        if envelope.received_at < terms.oldest {
            return Err(too_old(envelope.received_at, terms.window));
        }
        let mut writer = FrameWriter::new(&envelope, letter.raw.len());
        for event in frame.events() {
            let event = event.map_err(|error| error.to_string())?;
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let (partition, position) = (letter.id.partition, letter.id.position);
            if event.hash != EventHash::of(envelope.project, event.id)
                || event.hash.partition(terms.partitions) != partition
            {
                return Err(
                    "the hash of an event in the frame is not that of its id and partition".to_owned()
                );
            }
            if !terms.erased.covers(&Placed { partition, position, envelope, event }) {
                writer.push(&event).map_err(|error| error.to_string())?;
            }
        }
        if writer.events() > 0 {
            copies.events += i64::from(writer.events());
            copies.records.push(Append {
                partition: letter.id.partition,
                timestamp_ms: envelope.received_at.0.div_euclid(1000),
                payload: writer.finish(),
            });
        }
    }
    if copies.events == 0 {
        return Err("it holds no event, or none that was not erased since: discard it".to_owned());
    }
    Ok(copies)
}

fn too_old(received_at: Micros, window: Duration) -> String {
    let at = DateTime::from_timestamp_micros(received_at.0).unwrap_or_default();
    format!(
        "it was received at {}, and ids are known for {} days: nobody can say any more whether its events \
         were stored otherwise",
        at.format("%Y-%m-%dT%H:%M:%SZ"),
        window.as_secs() / 86_400
    )
}
