//! Bodies as they are decompressed.
//!
//! The first byte chooses the format and what is done with the rest: read as a compressed body, or compressed first.
//! Two more bytes are the limit.

use std::io::Read;

use bytes::Bytes;
use decode::decompress::{Encoding, decompress};
use decode::room::Room;
use flate2::Compression;
use flate2::read::{DeflateEncoder, GzEncoder, ZlibEncoder};
use schemas::problem::{Code, Problem};

/// See the module.
///
/// # Panics
/// Where a promise is broken.
pub fn check(data: &[u8]) {
    let Some(([choice, limit @ ..], rest)) = data.split_first_chunk::<3>() else { return };
    let limit = usize::from(u16::from_le_bytes(*limit));
    let choice = choice.wrapping_sub(b'a');
    let encoding = match choice % 5 {
        0 => None,
        1 => Some(Encoding::Gzip),
        2 => Some(Encoding::Deflate),
        3 => Some(Encoding::Zstd),
        _ => Some(Encoding::Brotli),
    };
    match choice / 5 % 3 {
        0 => raw(encoding, rest, limit),
        1 => round_trip(encoding, rest, limit, false),
        _ => round_trip(encoding, rest, limit, true),
    }
}

fn inflate(encoding: Option<Encoding>, body: Bytes, limit: usize) -> Result<Bytes, Problem> {
    decompress(encoding, body, &mut Room::free(limit))
}

/// Any bytes: what comes out is within the limit, and neither more nor less of the body would have been taken.
fn raw(encoding: Option<Encoding>, body: &[u8], limit: usize) {
    let read = |body: &[u8], limit: usize| inflate(encoding, Bytes::copy_from_slice(body), limit);
    let plain = match read(body, limit) {
        Ok(plain) => plain,
        Err(problem) => {
            assert!(matches!(problem.code, Code::BodyTooLarge | Code::InvalidEncoding), "{problem:?}");
            return;
        }
    };
    assert!(plain.len() <= limit);
    assert_eq!(read(body, plain.len()).as_ref(), Ok(&plain), "a limit that is just reached is kept");
    if !plain.is_empty() {
        assert_eq!(code(read(body, plain.len() - 1)), Some(Code::BodyTooLarge));
    }
    let plain_text = encoding.is_none() && !body.starts_with(&[0x1f, 0x8b]);
    if plain_text || body.len() < 2 {
        return;
    }
    assert!(read(&body[..body.len() - 1], limit).is_err(), "a body that is cut short is refused");
    let longer = [body, b"{"].concat();
    assert!(read(&longer, limit).is_err(), "a body that goes on behind its end is refused");
}

/// What was compressed comes out as it went in, up to the limit and not one byte further.
fn round_trip(encoding: Option<Encoding>, plain: &[u8], limit: usize, in_parts: bool) {
    if encoding.is_none() && plain.starts_with(&[0x1f, 0x8b]) {
        return;
    }
    // Members of gzip and frames of zstd may follow one another.
    let several = in_parts && !plain.is_empty() && matches!(encoding, Some(Encoding::Gzip | Encoding::Zstd));
    let parts: Vec<&[u8]> = if several { plain.chunks(plain.len() / 3 + 1).collect() } else { vec![plain] };
    let level = u32::try_from(limit % 10).unwrap_or_default();
    let body = Bytes::from(
        parts.iter().flat_map(|part| compress(encoding, part, level, in_parts)).collect::<Vec<_>>(),
    );
    assert_eq!(inflate(encoding, body.clone(), plain.len()).as_deref(), Ok(plain));
    let expected = if plain.len() > limit { Some(Code::BodyTooLarge) } else { None };
    assert_eq!(code(inflate(encoding, body.clone(), limit)), expected);
    if encoding == Some(Encoding::Gzip) && !body.is_empty() {
        assert_eq!(
            inflate(None, body, plain.len()).as_deref(),
            Ok(plain),
            "gzip is known by its first bytes"
        );
    }
}

/// `bare`: deflate without zlib's frame, which is taken as well.
fn compress(encoding: Option<Encoding>, plain: &[u8], level: u32, bare: bool) -> Vec<u8> {
    let compression = Compression::new(level);
    match encoding {
        None => plain.to_vec(),
        Some(Encoding::Gzip) => all(GzEncoder::new(plain, compression)),
        Some(Encoding::Deflate) if bare => all(DeflateEncoder::new(plain, compression)),
        Some(Encoding::Deflate) => all(ZlibEncoder::new(plain, compression)),
        Some(Encoding::Zstd) => all(zstd::encode_all(plain, 1).expect("memory takes all").as_slice()),
        Some(Encoding::Brotli) => all(brotli::CompressorReader::new(plain, 4096, level, 18)),
    }
}

fn all(mut reader: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("memory gives all");
    bytes
}

fn code(result: Result<Bytes, schemas::problem::Problem>) -> Option<Code> {
    result.err().map(|problem| problem.code)
}
