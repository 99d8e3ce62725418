//! Compressed bodies to plain ones, never more than the limit says.
//!
//! Sizes are bounded, not ratios: honest batches reach 114:1. Output grows with what has been decompressed, so a
//! small bomb costs no more than the limit; windows are bounded by the formats: 32 KiB (gzip, deflate), 8 MiB (zstd,
//! by [`ZSTD_WINDOW_LOG_MAX`]), 16 MiB (brotli).

use std::io::{ErrorKind, Read};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use schemas::problem::{Code, Problem};

use crate::room::Room;

/// The largest window that a zstd frame may ask for, as a power of two: what levels up to 19 use.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Bytes that are decompressed at a time.
const STEP_BYTES: usize = 32 * 1024;
/// From here on there is room for all that the limit allows, so that what is there is not moved, and held twice
/// meanwhile: the system gives such memory only as it is written to.
const LARGE_BYTES: usize = 1024 * 1024;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 1952, of one or more members.
    Gzip,
    /// RFC 1950 (zlib), as RFC 9110 says; RFC 1951 without zlib's frame is taken as well, since clients send it.
    Deflate,
    /// RFC 8878, of one or more frames.
    Zstd,
    /// RFC 7932.
    Brotli,
}

impl Encoding {
    /// The encoding that a `Content-Encoding` header names; `None` if the body is plain.
    ///
    /// # Errors
    /// `unsupported_encoding` for an encoding that is not known, and for several.
    pub fn from_header(header: &str) -> Result<Option<Self>, Problem> {
        let mut encoding = None;
        for name in header.split(',').map(|name| name.trim().to_ascii_lowercase()) {
            let named = match name.as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Self::Gzip,
                "deflate" => Self::Deflate,
                "zstd" => Self::Zstd,
                "br" => Self::Brotli,
                _ => return Err(unsupported("the body may be compressed with gzip, deflate, zstd or br")),
            };
            if encoding.replace(named).is_some() {
                return Err(unsupported("the body may be compressed once, not several times"));
            }
        }
        Ok(encoding)
    }
}

/// The plain body: `body` itself if it is not compressed. What begins like gzip is decompressed even where no
/// header says so: no JSON begins like that, and clients' headers lie.
///
/// # Errors
/// `body_too_large` for more plain bytes than the room has; what [`Room::charge`] says; `invalid_encoding` for a body
/// that is cut short, is not what `encoding` says, or goes on behind its end.
pub fn decompress(encoding: Option<Encoding>, body: Bytes, room: &mut Room<'_>) -> Result<Bytes, Problem> {
    let encoding = encoding.or_else(|| is_gzip(&body).then_some(Encoding::Gzip));
    let plain = match encoding {
        None if body.len() > room.bytes_max() => return Err(room.too_large()),
        None => return Ok(body),
        Some(Encoding::Gzip) => read("gzip", MultiGzDecoder::new(body.as_ref()), room),
        Some(Encoding::Deflate) => inflate(&body, room),
        Some(Encoding::Zstd) => unzstd(&body, room),
        Some(Encoding::Brotli) => unbrotli(&body, room),
    };
    plain.map(Bytes::from)
}

/// Whether a body begins like gzip, and like no JSON.
#[must_use]
pub fn is_gzip(body: &[u8]) -> bool {
    body.starts_with(&GZIP_MAGIC)
}

/// Reads to the end. `decoder` must say by an error if its input is cut short or goes on.
fn read(format: &str, mut decoder: impl Read, room: &mut Room<'_>) -> Result<Vec<u8>, Problem> {
    let mut plain = Plain::new(room);
    loop {
        let room = plain.room()?;
        match decoder.read(room) {
            Ok(0) => return Ok(plain.finish()),
            Ok(len) => plain.filled(len)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(cut_short(format)),
            Err(_) => return Err(corrupt(format)),
        }
    }
}

fn unzstd(body: &[u8], room: &mut Room<'_>) -> Result<Vec<u8>, Problem> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(|_| corrupt("zstd"))?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|_| corrupt("zstd"))?;
    read("zstd", decoder, room)
}

/// flate2's readers take the end of the input for the end of the stream, so the stream is driven here.
fn inflate(body: &[u8], room: &mut Room<'_>) -> Result<Vec<u8>, Problem> {
    let mut stream = Decompress::new(has_zlib_header(body));
    let mut plain = Plain::new(room);
    let mut rest = body;
    loop {
        let (read, written) = (stream.total_in(), stream.total_out());
        let status =
            stream.decompress(rest, plain.room()?, FlushDecompress::None).map_err(|_| corrupt("deflate"))?;
        let advanced = |now: u64, before: u64| usize::try_from(now - before).unwrap_or_default();
        let (read, written) = (advanced(stream.total_in(), read), advanced(stream.total_out(), written));
        rest = &rest[read..];
        plain.filled(written)?;
        match status {
            Status::StreamEnd if rest.is_empty() => return Ok(plain.finish()),
            Status::StreamEnd => return Err(trailing("deflate")),
            Status::Ok | Status::BufError if read == 0 && written == 0 => return Err(cut_short("deflate")),
            Status::Ok | Status::BufError => {}
        }
    }
}

/// RFC 1950, 2.2: compression method 8, and the first two bytes as a number are a multiple of 31.
fn has_zlib_header(body: &[u8]) -> bool {
    let header = body.first_chunk().map(|header| u16::from_be_bytes(*header));
    header.is_some_and(|header| header >> 8 & 0x0f == 8 && header.is_multiple_of(31))
}

/// The crate's reader passes over what follows the stream, so the stream is driven here.
fn unbrotli(body: &[u8], room: &mut Room<'_>) -> Result<Vec<u8>, Problem> {
    use brotli::enc::StandardAlloc;
    use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};

    let alloc = StandardAlloc::default;
    let mut state = BrotliState::new(alloc(), alloc(), alloc());
    let mut plain = Plain::new(room);
    let (mut unread, mut read, mut total) = (body.len(), 0, 0);
    loop {
        let room = plain.room()?;
        let (mut free, mut written) = (room.len(), 0);
        let result = BrotliDecompressStream(
            &mut unread,
            &mut read,
            body,
            &mut free,
            &mut written,
            room,
            &mut total,
            &mut state,
        );
        plain.filled(written)?;
        match result {
            BrotliResult::ResultSuccess if unread == 0 => return Ok(plain.finish()),
            BrotliResult::ResultSuccess => return Err(trailing("brotli")),
            BrotliResult::NeedsMoreInput => return Err(cut_short("brotli")),
            BrotliResult::ResultFailure => return Err(corrupt("brotli")),
            BrotliResult::NeedsMoreOutput => {}
        }
    }
}

/// What has been decompressed, within its limit.
struct Plain<'a, 'b> {
    /// Bytes from `len` on are room for more.
    bytes: Vec<u8>,
    len: usize,
    room: &'a mut Room<'b>,
}

impl<'a, 'b> Plain<'a, 'b> {
    fn new(room: &'a mut Room<'b>) -> Self {
        Self { bytes: Vec::new(), len: 0, room }
    }

    /// Room for the next bytes: never more than one byte beyond the limit, never none.
    fn room(&mut self) -> Result<&mut [u8], Problem> {
        if self.len == self.bytes.len() {
            let most = self.room.bytes_max().saturating_add(1);
            let step = self.len.clamp(STEP_BYTES, LARGE_BYTES);
            let len = (self.len + step).min(most);
            self.room.charge(len - self.len)?;
            if self.len >= LARGE_BYTES {
                self.bytes.reserve_exact(most.saturating_sub(self.len));
            }
            self.bytes.resize(len, 0);
        }
        Ok(&mut self.bytes[self.len..])
    }

    fn filled(&mut self, len: usize) -> Result<(), Problem> {
        self.len += len;
        if self.len > self.room.bytes_max() { Err(self.room.too_large()) } else { Ok(()) }
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }
}

fn unsupported(detail: &'static str) -> Problem {
    Problem::new(Code::UnsupportedEncoding, detail).at("Content-Encoding")
}

fn cut_short(format: &str) -> Problem {
    Problem::new(Code::InvalidEncoding, format!("the {format} body is cut short"))
}

fn corrupt(format: &str) -> Problem {
    Problem::new(
        Code::InvalidEncoding,
        format!("the body is not {format}, or corrupt, or goes on behind its end"),
    )
}

fn trailing(format: &str) -> Problem {
    Problem::new(Code::InvalidEncoding, format!("the {format} body goes on behind its end"))
}

#[cfg(test)]
mod tests;
