use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;

const ALL: [Encoding; 4] = [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd, Encoding::Brotli];

fn compressed(encoding: Encoding, plain: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Zstd => zstd::encode_all(plain, 3).unwrap(),
        Encoding::Brotli => {
            let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
            encoder.write_all(plain).unwrap();
            encoder.into_inner()
        }
    }
}

fn raw_deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn plain(encoding: Encoding, body: &[u8], bytes_max: usize) -> Result<Bytes, Problem> {
    decompress(Some(encoding), Bytes::copy_from_slice(body), &mut Room::free(bytes_max))
}

/// Text that compresses, but not to nothing.
fn events(bytes: usize) -> Vec<u8> {
    (0_u64..).flat_map(|n| format!(r#"{{"event":"e{}"}}"#, n * n % 977).into_bytes()).take(bytes).collect()
}

#[test]
fn every_encoding_gives_back_what_was_compressed() {
    for bytes in [0, 1, 100, STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, 1_000_000] {
        let body = events(bytes);
        for encoding in ALL {
            assert_eq!(plain(encoding, &compressed(encoding, &body), bytes).unwrap(), body, "{encoding:?}");
        }
        assert_eq!(plain(Encoding::Deflate, &raw_deflate(&body), bytes).unwrap(), body);
    }
}

#[test]
fn a_body_may_be_as_large_as_the_limit_and_not_a_byte_larger() {
    for limit in [0, 1, STEP_BYTES, 100_000] {
        for encoding in ALL {
            let fits = plain(encoding, &compressed(encoding, &events(limit)), limit);
            assert_eq!(fits.unwrap().len(), limit, "{encoding:?}");
            let over = plain(encoding, &compressed(encoding, &events(limit + 1)), limit);
            assert_eq!(over.unwrap_err().code, Code::BodyTooLarge, "{encoding:?}");
        }
        assert_eq!(decompress(None, events(limit).into(), &mut Room::free(limit)).unwrap().len(), limit);
        assert_eq!(
            decompress(None, events(limit + 1).into(), &mut Room::free(limit)).unwrap_err().code,
            Code::BodyTooLarge
        );
    }
}

#[test]
fn a_bomb_costs_no_more_than_the_limit() {
    let zeros = vec![0; 64 << 20];
    for encoding in ALL {
        let bomb = compressed(encoding, &zeros);
        assert!(bomb.len() < 100_000);
        assert_eq!(plain(encoding, &bomb, 1 << 20).unwrap_err().code, Code::BodyTooLarge, "{encoding:?}");
    }
    let mut free = Room::free(1_000_000);
    let mut room = Plain::new(&mut free);
    while room.filled(0).is_ok() && room.len <= 1_000_000 {
        let len = room.room().unwrap().len();
        room.len += len;
    }
    assert_eq!(room.bytes.len(), 1_000_001);
}

#[test]
fn honest_batches_compress_114_to_1_and_pass() {
    let body = br#"{"event":"page_view","properties":{"path":"/"}},"#.repeat(50_000);
    for encoding in ALL {
        let small = compressed(encoding, &body);
        assert!(small.len() * 114 < body.len());
        assert_eq!(plain(encoding, &small, body.len()).unwrap(), body);
    }
}

#[test]
fn a_body_that_is_cut_short_anywhere_is_refused() {
    for encoding in ALL {
        let whole = compressed(encoding, &events(2_000));
        for len in 0..whole.len() {
            let problem = plain(encoding, &whole[..len], 10_000).unwrap_err();
            assert_eq!(problem.code, Code::InvalidEncoding, "{encoding:?} at {len}");
        }
        let problem = plain(encoding, &whole[..whole.len() - 1], 10_000).unwrap_err();
        assert!(problem.detail.ends_with("body is cut short"), "{encoding:?}: {}", problem.detail);
    }
}

#[test]
fn a_body_that_goes_on_behind_its_end_is_refused() {
    for encoding in ALL {
        for garbage in [&b"\0"[..], b"garbage behind the end", b"{}"] {
            let body = [&compressed(encoding, &events(500)), garbage].concat();
            let problem = plain(encoding, &body, 10_000).unwrap_err();
            assert_eq!(problem.code, Code::InvalidEncoding, "{encoding:?}");
        }
    }
}

#[test]
fn a_body_that_is_not_what_the_header_says_is_refused() {
    for encoding in ALL {
        for body in [&br#"{"event":"a"}"#[..], b"\xff\xff\xff\xff\xff\xff", b""] {
            assert_eq!(plain(encoding, body, 1_000).unwrap_err().code, Code::InvalidEncoding, "{encoding:?}");
        }
        let mut damaged = compressed(encoding, &events(2_000));
        let middle = damaged.len() / 2;
        damaged[middle..].iter_mut().for_each(|byte| *byte ^= 0x55);
        assert!(plain(encoding, &damaged, 10_000).is_err(), "{encoding:?}");
    }
}

#[test]
fn members_and_frames_that_follow_one_another_are_one_body() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let body = [compressed(encoding, b"[1,"), compressed(encoding, b"2]")].concat();
        assert_eq!(plain(encoding, &body, 100).unwrap(), "[1,2]");
        assert_eq!(plain(encoding, &body, 4).unwrap_err().code, Code::BodyTooLarge);
    }
}

#[test]
fn a_zstd_window_is_bounded() {
    for (window_log, taken) in [(23, true), (24, false)] {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(&events(1_000)).unwrap();
        let body = encoder.finish().unwrap();
        assert_eq!(plain(Encoding::Zstd, &body, 10_000).is_ok(), taken, "{window_log}");
    }
}

#[test]
fn gzip_without_a_header_is_recognised() {
    let body = Bytes::from(compressed(Encoding::Gzip, b"[1]"));
    assert_eq!(decompress(None, body, &mut Room::free(100)).unwrap(), "[1]");
    assert_eq!(decompress(None, Bytes::from_static(b"[1]"), &mut Room::free(100)).unwrap(), "[1]");
    assert_eq!(decompress(None, Bytes::new(), &mut Room::free(0)).unwrap(), "");
}

#[test]
fn headers_name_encodings_as_clients_write_them() {
    for (header, encoding) in [
        ("", None),
        ("identity", None),
        ("gzip", Some(Encoding::Gzip)),
        ("GZip", Some(Encoding::Gzip)),
        (" x-gzip ", Some(Encoding::Gzip)),
        ("gzip, identity", Some(Encoding::Gzip)),
        ("deflate", Some(Encoding::Deflate)),
        ("zstd", Some(Encoding::Zstd)),
        ("br", Some(Encoding::Brotli)),
    ] {
        assert_eq!(Encoding::from_header(header), Ok(encoding), "{header:?}");
    }
    for header in ["gzip, gzip", "gzip,br", "compress", "lz4", "gzip;q=1", "*"] {
        let problem = Encoding::from_header(header).unwrap_err();
        assert_eq!(problem.code, Code::UnsupportedEncoding, "{header:?}");
        assert_eq!(problem.field(), Some("Content-Encoding"));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_pass_the_limit(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        prefix in prop::sample::select(vec![&b""[..], b"\x1f\x8b\x08", b"\x78\x9c", b"\x28\xb5\x2f\xfd", b"\x1b"]),
    ) {
        let body = [prefix, &bytes].concat();
        for encoding in ALL {
            if let Ok(plain) = plain(encoding, &body, 1_000) {
                prop_assert!(plain.len() <= 1_000);
            }
        }
    }

    #[test]
    fn a_flipped_byte_never_passes_a_checksum_unseen(place: prop::sample::Index, flip in 1..=u8::MAX) {
        let body = events(1_000);
        for encoding in [Encoding::Gzip, Encoding::Deflate] {
            let mut damaged = compressed(encoding, &body);
            let place = place.index(damaged.len());
            damaged[place] ^= flip;
            // A gzip header holds bytes that say nothing about the content.
            if let Ok(plain) = plain(encoding, &damaged, 10_000) {
                prop_assert_eq!(plain, body.clone());
            }
        }
    }
}

#[test]
fn what_a_body_grows_to_is_charged_before_it_is_held() {
    const BUDGET_BYTES: usize = 1 << 20;

    let zeros = vec![0; 64 << 20];
    for encoding in ALL {
        let inflated = |body: Vec<u8>| {
            let mut left = BUDGET_BYTES.saturating_sub(body.len());
            let mut charge = |bytes: usize| -> Result<(), Problem> {
                left = left.checked_sub(bytes).ok_or_else(|| Problem::new(Code::Overloaded, "no more"))?;
                Ok(())
            };
            decompress(Some(encoding), body.into(), &mut Room::charged(64 << 20, &mut charge))
        };
        assert_eq!(
            inflated(compressed(encoding, &zeros)).unwrap_err().code,
            Code::Overloaded,
            "{encoding:?}"
        );
        assert_eq!(inflated(compressed(encoding, &events(100_000))).unwrap().len(), 100_000);
    }
}
