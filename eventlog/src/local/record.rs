//! The bytes of a segment, all numbers little-endian:
//!
//! ```text
//! segment  magic [8] = "weir.log", version u32 = 1, partition u32, first offset u64, identity [16], crc u32
//! record   payload length u32, crc u32, offset u64, synced_before u64, timestamp_ms i64, payload
//! ```
//!
//! A record's CRC32C covers all of it but the CRC itself and begins with the segment header's CRC, so that a
//! record that strayed in from another segment, partition or log is never taken for one of this segment.
//! `synced_before`: every offset below it was durable before this record was written. The records of one group
//! commit share it, and it is the offset of the first of them.

use uuid::Uuid;

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEAD_LEN: usize = 8 + 4 + 4 + 8 + 16 + 4;
/// Bytes of a record's header.
pub(crate) const RECORD_HEAD_LEN: usize = 4 + 4 + 8 + 8 + 8;
/// Bytes that are read at once; every record fits.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

const MAGIC: [u8; 8] = *b"weir.log";
const VERSION: u32 = 1;
/// Bytes of the longest payload that a log may be configured to take.
pub(super) const PAYLOAD_BYTES_MAX: usize = CHUNK_BYTES - RECORD_HEAD_LEN;
const _: () = assert!(schemas::limit::FRAME_BYTES_MAX <= PAYLOAD_BYTES_MAX);

/// What a record's checksum begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed(u32);

/// The header of the segment that begins with the offset `first`, and the seed of its records.
pub(super) fn segment_head(identity: Uuid, partition: u32, first: u64) -> ([u8; SEGMENT_HEAD_LEN], Seed) {
    let mut head = [0; SEGMENT_HEAD_LEN];
    let (body, crc) = head.split_at_mut(SEGMENT_HEAD_LEN - 4);
    body[..8].copy_from_slice(&MAGIC);
    body[8..12].copy_from_slice(&VERSION.to_le_bytes());
    body[12..16].copy_from_slice(&partition.to_le_bytes());
    body[16..24].copy_from_slice(&first.to_le_bytes());
    body[24..40].copy_from_slice(identity.as_bytes());
    let seed = crc32c::crc32c(body);
    crc.copy_from_slice(&seed.to_le_bytes());
    (head, Seed(seed))
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHead {
    pub(super) payload_len: usize,
    pub(super) offset: u64,
    pub(super) synced_before: u64,
    pub(super) timestamp_ms: i64,
}

impl RecordHead {
    /// Bytes of the whole record.
    pub(super) fn total_len(&self) -> usize {
        RECORD_HEAD_LEN + self.payload_len
    }

    /// Reads a header without any check but that of its length field. `None` if there are too few bytes or the
    /// length is absurd.
    pub(super) fn peek(bytes: &[u8]) -> Option<Self> {
        let payload_len = usize::try_from(u32::from_le_bytes(array(bytes, 0)?)).ok()?;
        (payload_len <= PAYLOAD_BYTES_MAX).then_some(())?;
        Some(Self {
            payload_len,
            offset: u64::from_le_bytes(array(bytes, 8)?),
            synced_before: u64::from_le_bytes(array(bytes, 16)?),
            timestamp_ms: i64::from_le_bytes(array(bytes, 24)?),
        })
    }
}

/// What stands at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoded {
    /// A record whose checksum is right.
    Whole(RecordHead),
    /// Perhaps a record: this many bytes are needed to know.
    Short(usize),
    /// No record.
    Bad(&'static str),
}

/// Appends a record to `out`.
///
/// # Panics
/// If the payload is longer than the log takes: [`append`](crate::EventLog::append) has refused that.
pub(super) fn encode(
    out: &mut Vec<u8>,
    seed: Seed,
    offset: u64,
    synced_before: u64,
    timestamp_ms: i64,
    payload: &[u8],
) {
    assert!(payload.len() <= PAYLOAD_BYTES_MAX, "a payload of {} bytes was admitted", payload.len());
    #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
    let len = (payload.len() as u32).to_le_bytes();
    let mut rest = [0; 24];
    rest[..8].copy_from_slice(&offset.to_le_bytes());
    rest[8..16].copy_from_slice(&synced_before.to_le_bytes());
    rest[16..].copy_from_slice(&timestamp_ms.to_le_bytes());
    out.extend_from_slice(&len);
    out.extend_from_slice(&checksum(seed, &len, &rest, payload).to_le_bytes());
    out.extend_from_slice(&rest);
    out.extend_from_slice(payload);
}

/// Reads the record that `bytes` begin with.
pub(super) fn decode(bytes: &[u8], seed: Seed) -> Decoded {
    if bytes.len() < RECORD_HEAD_LEN {
        return Decoded::Short(RECORD_HEAD_LEN);
    }
    let Some(head) = RecordHead::peek(bytes) else {
        return Decoded::Bad("its length is absurd");
    };
    let Some(record) = bytes.get(..head.total_len()) else {
        return Decoded::Short(head.total_len());
    };
    let (rest, payload) = record[8..].split_at(RECORD_HEAD_LEN - 8);
    let crc = checksum(seed, &record[..4], rest, payload);
    if crc.to_le_bytes() == record[4..8] {
        Decoded::Whole(head)
    } else {
        Decoded::Bad("its checksum is wrong")
    }
}

fn checksum(seed: Seed, len: &[u8], rest: &[u8], payload: &[u8]) -> u32 {
    [len, rest, payload].into_iter().fold(seed.0, crc32c::crc32c_append)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}
