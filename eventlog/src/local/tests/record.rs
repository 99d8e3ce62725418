use uuid::Uuid;

use super::super::record::{Decoded, RECORD_HEAD_LEN, RecordHead, Seed, decode, encode, segment_head};

fn seed(partition: u32, first: u64) -> Seed {
    segment_head(Uuid::from_u128(7), partition, first).1
}

fn encoded(seed: Seed) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes, seed, 12, 10, -3, b"payload");
    bytes
}

#[test]
fn a_record_reads_as_it_was_written() {
    let bytes = encoded(seed(1, 10));
    let head = RecordHead { payload_len: 7, offset: 12, synced_before: 10, timestamp_ms: -3 };
    assert_eq!(decode(&bytes, seed(1, 10)), Decoded::Whole(head));
    assert_eq!(bytes.len(), RECORD_HEAD_LEN + 7);
}

#[test]
fn a_record_of_another_segment_or_partition_is_none() {
    let bytes = encoded(seed(1, 10));
    for other in [seed(2, 10), seed(1, 11)] {
        assert!(matches!(decode(&bytes, other), Decoded::Bad(_)));
    }
}

#[test]
fn no_flipped_bit_is_missed() {
    let bytes = encoded(seed(1, 10));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!matches!(decode(&flipped, seed(1, 10)), Decoded::Whole(_)), "bit {bit}");
    }
}

#[test]
fn a_cut_record_says_how_much_of_it_is_needed() {
    let bytes = encoded(seed(1, 10));
    for len in 0..bytes.len() {
        let needed = if len < RECORD_HEAD_LEN { RECORD_HEAD_LEN } else { bytes.len() };
        assert_eq!(decode(&bytes[..len], seed(1, 10)), Decoded::Short(needed));
    }
    assert!(matches!(decode(&[0; 100], seed(1, 10)), Decoded::Bad(_)));
}
