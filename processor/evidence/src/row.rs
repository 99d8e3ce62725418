//! What a row says of its event: the beginning and the end of its `RowBinary` bytes, in which numbers have their lowest
//! byte first, and a text stands behind its length (unsigned LEB128).

use schemas::content::ContentHash;
use schemas::id::{EventHash, Position, ProjectId, TenantId};
use schemas::time::Micros;

use crate::leaf::Leaf;
use crate::refused::Why;
use crate::seal::Seal;

/// The columns of the table `events` that are compared. `processor` writes them.
pub(crate) struct Row<'a> {
    tenant: TenantId,
    project: ProjectId,
    event_id: &'a str,
    event: EventHash,
    received_at: Micros,
    partition: u32,
    position: Position,
    period: i64,
}

impl<'a> Row<'a> {
    /// `None` if it ends too early, or its event id is no text.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut left = bytes;
        let tenant = TenantId(i64::from_le_bytes(take(&mut left)?));
        let project = ProjectId(i64::from_le_bytes(take(&mut left)?));
        let event_id = str::from_utf8(text(&mut left)?).ok()?;
        let event = EventHash(u128::from_le_bytes(take(&mut left)?));
        // Type, event, user_id, anonymous_id; timestamp.
        skip_texts(&mut left, 4)?;
        take::<8>(&mut left)?;
        let received_at = Micros(i64::from_le_bytes(take(&mut left)?));
        // Properties, context, extra; client_ip; user_agent; request_id, key_id, flags.
        skip_texts(&mut left, 3)?;
        take::<16>(&mut left)?;
        skip_texts(&mut left, 1)?;
        take::<25>(&mut left)?;
        let partition = u32::from_le_bytes(take(&mut left)?);
        let position = Position::from_number(u64::from_le_bytes(take(&mut left)?));
        let period = i64::from_le_bytes(*left.last_chunk()?);
        Some(Self { tenant, project, event_id, event, received_at, partition, position, period })
    }
}

/// Whether `bytes` are the row of this leaf, and one of this seal. `since` are the offsets of the seal before for the
/// same hour and period, if it is known.
pub(crate) fn check(bytes: &[u8], leaf: &Leaf, seal: &Seal, since: Option<&[u64]>) -> Result<(), Why> {
    if ContentHash::of(bytes) != leaf.contents {
        return Err(Why::RowContents);
    }
    let row = Row::read(bytes).ok_or(Why::RowForm)?;
    let partition = usize::try_from(row.partition).unwrap_or(usize::MAX);
    let offset = row.position.offset();
    let is_before = seal.offsets.get(partition).is_some_and(|&end| offset < end);
    let is_behind = since.and_then(|since| since.get(partition)).is_none_or(|&start| start <= offset);
    let said = [
        (row.tenant == seal.tenant, "tenant"),
        (row.project == leaf.project, "project"),
        (row.event == leaf.event, "event hash"),
        (EventHash::of(row.project, row.event_id) == row.event, "event id"),
        (row.received_at.hour().seconds() == seal.hour, "receipt"),
        (row.period == seal.period, "billing period"),
        (is_before && is_behind, "position in the log"),
    ];
    match said.iter().find(|(is_right, _)| !is_right) {
        Some((_, what)) => Err(Why::Row(what)),
        None => Ok(()),
    }
}

fn take<const N: usize>(left: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = left.split_first_chunk()?;
    *left = rest;
    Some(*bytes)
}

fn text<'a>(left: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut length = 0_usize;
    let mut shift = 0;
    loop {
        let [byte] = take(left)?;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
        // A row has fewer bytes than 28 bits count.
        if shift > 21 {
            return None;
        }
    }
    let (text, rest) = left.split_at_checked(length)?;
    *left = rest;
    Some(text)
}

fn skip_texts(left: &mut &[u8], texts: usize) -> Option<()> {
    (0..texts).try_for_each(|_| text(left).map(drop))
}
