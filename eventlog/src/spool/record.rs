//! A record of the spool: the partition that it is for (u32, little-endian), then the frame.

use bytes::{BufMut, Bytes, BytesMut};
use schemas::limit::FRAME_BYTES_MAX;

use crate::local::RECORD_HEAD_LEN;
use crate::{Append, AppendError, LogError, Record};

const HEAD_LEN: usize = 4;
/// Bytes of the longest one.
pub(super) const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX + HEAD_LEN;
/// No partition: a record that is for no log, and only says that what stands before it was handed over earlier.
const MARK: u32 = u32::MAX;

/// The spool refuses what the log would refuse: later, no client could learn of it any more.
pub(super) fn check(record: &Append, partitions: u32) -> Result<(), AppendError> {
    if record.partition >= partitions || record.payload.len() > FRAME_BYTES_MAX {
        let (partition, length) = (record.partition, record.payload.len());
        return Err(AppendError::Rejected(format!("no record of {length} bytes for partition {partition}")));
    }
    Ok(())
}

/// The record as it is spooled.
pub(super) fn spooled(record: &Append) -> Append {
    let mut payload = BytesMut::with_capacity(HEAD_LEN + record.payload.len());
    payload.put_u32_le(record.partition);
    payload.put_slice(&record.payload);
    Append { partition: 0, timestamp_ms: record.timestamp_ms, payload: payload.freeze() }
}

/// A mark.
pub(super) fn mark() -> Append {
    Append { partition: 0, timestamp_ms: 0, payload: Bytes::copy_from_slice(&MARK.to_le_bytes()) }
}

/// The record as it was handed over; `None` for a mark.
pub(super) fn original(record: &Record) -> Result<Option<Append>, LogError> {
    let Some((head, _)) = record.payload.split_first_chunk::<HEAD_LEN>() else {
        return Err(LogError::Damaged(format!("the spool's record {} is too short", record.offset)));
    };
    let partition = u32::from_le_bytes(*head);
    let (timestamp_ms, payload) = (record.timestamp_ms, record.payload.slice(HEAD_LEN..));
    Ok((partition != MARK).then_some(Append { partition, timestamp_ms, payload }))
}

/// Bytes on disk of a record with a payload of that length.
pub(super) fn stored_len(payload_len: usize) -> u64 {
    (RECORD_HEAD_LEN + payload_len) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(payload: Bytes) -> Record {
        Record { partition: 0, offset: 7, timestamp_ms: 5, payload }
    }

    #[test]
    fn what_is_spooled_comes_back_as_it_was() {
        let before = Append { partition: 15, timestamp_ms: 5, payload: Bytes::from_static(b"frame") };
        let after = original(&record(spooled(&before).payload)).unwrap().unwrap();
        assert_eq!((after.partition, after.timestamp_ms, after.payload), (15, 5, before.payload));
    }

    #[test]
    fn a_mark_is_for_no_log_and_too_few_bytes_are_damage() {
        assert!(original(&record(mark().payload)).unwrap().is_none());
        assert!(matches!(original(&record(Bytes::from_static(b"abc"))), Err(LogError::Damaged(_))));
    }

    #[test]
    fn the_largest_frame_is_taken_and_a_larger_one_is_not() {
        let of = |len| Append { partition: 0, timestamp_ms: 0, payload: Bytes::from(vec![0; len]) };
        assert!(check(&of(FRAME_BYTES_MAX), 1).is_ok());
        assert!(matches!(check(&of(FRAME_BYTES_MAX + 1), 1), Err(AppendError::Rejected(_))));
        assert!(matches!(check(&Append { partition: 1, ..of(1) }, 1), Err(AppendError::Rejected(_))));
    }
}
