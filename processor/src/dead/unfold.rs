//! The events of a dead letter, now that they can be read, at their positions.

use schemas::frame::{Envelope, frames};
use schemas::id::{EventHash, Position, ProjectId, TenantId};
use schemas::time::Micros;

use super::LetterId;
use crate::batch::Placed;

/// Usage is compared by these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HourOf {
    /// Who pays.
    pub tenant: TenantId,
    /// For which stream.
    pub project: ProjectId,
    /// Start of the UTC hour of receipt.
    pub hour: Micros,
}

/// The half of a record's indices that reading it never reaches: an event takes 45 bytes of a record and more.
pub(super) const MORE_FIRST: u16 = 1 << 15;

/// Reads the frame, or frames, that `raw` holds, without the first `events_before` events. The first of the others
/// stands at the letter's position, the one index of the record that is its own; the second and those after it from index
/// `more_at` on.
///
/// # Errors
/// What is wrong: nothing of the letter can be stored then.
pub(super) fn unfold<'a>(
    id: LetterId,
    raw: &'a [u8],
    events_before: u16,
    more_at: u16,
    partitions: u32,
) -> Result<Vec<Placed<'a>>, String> {
    let mut events = Vec::new();
    let mut skip = events_before;
    for (_, frame) in frames(raw) {
        let frame = frame.map_err(|error| error.to_string())?;
        for event in frame.events() {
            let event = event.map_err(|error| error.to_string())?;
            if skip > 0 {
                skip -= 1;
                continue;
            }
            if event.hash != EventHash::of(frame.envelope.project, event.id)
                || event.hash.partition(partitions) != id.partition
            {
                return Err(
                    "the hash of an event in the frame is not that of its id and partition".to_owned()
                );
            }
            let position = position(id, events.len(), more_at).ok_or("the frame has too many events")?;
            let (partition, envelope) = (id.partition, frame.envelope);
            events.push(Placed { partition, position, envelope, event });
        }
    }
    Ok(events)
}

/// The accounts of the events that [`unfold`] gives, and how many of them each has.
pub(super) fn accounts(raw: &[u8], events_before: u16) -> Vec<(HourOf, i64)> {
    let mut skip = usize::from(events_before);
    let mut accounts = Vec::new();
    for (_, frame) in frames(raw) {
        let Ok(frame) = frame else { continue };
        let events = frame.events().flatten().skip(skip).count();
        skip = 0;
        let Envelope { tenant, project, received_at, .. } = frame.envelope;
        let account = HourOf { tenant, project, hour: received_at.hour() };
        accounts.push((account, i64::try_from(events).unwrap_or(i64::MAX)));
    }
    accounts
}

/// Where event number `place` of a letter stands.
fn position(id: LetterId, place: usize, more_at: u16) -> Option<Position> {
    let Some(after_first) = place.checked_sub(1) else { return Some(id.position) };
    let index = more_at.checked_add(u16::try_from(after_first).ok()?)?;
    Some(Position::new(id.position.offset(), index))
}

/// A bit for each event: whether it was stored.
pub(super) fn bits(stored: &[bool]) -> Vec<u8> {
    let byte =
        |of_eight: &[bool]| of_eight.iter().rev().fold(0_u8, |byte, stored| byte << 1 | u8::from(*stored));
    stored.chunks(8).map(byte).collect()
}

/// Bit number `place`.
pub(super) fn bit(bits: &[u8], place: usize) -> bool {
    bits.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_is_read_as_it_was_written() {
        let stored: Vec<bool> = (0..37).map(|place| place % 3 == 0 || place > 30).collect();
        let bits = bits(&stored);
        assert_eq!(bits.len(), 5);
        let read: Vec<bool> = (0..37).map(|place| bit(&bits, place)).collect();
        assert_eq!(read, stored);
        assert!(!bit(&bits, 40));
    }

    #[test]
    fn events_after_the_first_stand_from_the_given_index_on_and_never_beyond_the_last() {
        let id = LetterId { partition: 0, position: Position::new(5, 3) };
        assert_eq!(position(id, 0, MORE_FIRST), Some(Position::new(5, 3)));
        assert_eq!(position(id, 1, MORE_FIRST), Some(Position::new(5, MORE_FIRST)));
        assert_eq!(position(id, 6, u16::MAX - 5), Some(Position::new(5, u16::MAX)));
        assert_eq!(position(id, 7, u16::MAX - 5), None);
    }
}
