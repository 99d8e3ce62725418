use super::read::{Frame, FrameError};

/// The first byte of a bundle, where a frame has its version.
const BUNDLE: u8 = 2;
/// Bytes of a frame's length in a bundle.
const LENGTH_LEN: usize = 4;

/// Several frames for one log record: what requests of the same moment have for one partition travels together.
///
/// A log that is paid by the record (Kafka: by the record, and more so by the request that carries it) becomes
/// cheaper by as much as there are frames in a record. Tenants share a bundle, never a frame.
#[derive(Debug, Default)]
pub struct BundleWriter {
    bytes: Vec<u8>,
    frames: usize,
}

impl BundleWriter {
    /// Bytes of the bundle, were a frame of `frame_len` bytes put in too.
    #[must_use]
    pub fn len_with(&self, frame_len: usize) -> usize {
        self.bytes.len().max(1) + LENGTH_LEN + frame_len
    }

    /// Puts in a frame of [`crate::limit::FRAME_BYTES_MAX`] at most.
    pub fn push(&mut self, frame: &[u8]) {
        if self.bytes.is_empty() {
            self.bytes.push(BUNDLE);
        }
        // Far from u32's end, by the limit.
        self.bytes.extend_from_slice(&u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.bytes.extend_from_slice(frame);
        self.frames += 1;
    }

    /// The log record so far: with one frame in it, that frame itself.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        let begin = if self.frames == 1 { 1 + LENGTH_LEN } else { 0 };
        self.bytes.get(begin..).unwrap_or_default()
    }

    /// Whether there is no frame in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.frames = 0;
    }
}

/// The frames of a log record in order, each with its bytes: one, or those of a bundle. After a frame whose length
/// runs past the record's end there are no more.
#[must_use]
pub fn frames(record: &[u8]) -> Frames<'_> {
    match record.split_first() {
        Some((&BUNDLE, rest)) if !rest.is_empty() => Frames { rest, of: Of::Bundle },
        _ => Frames { rest: record, of: Of::One },
    }
}

/// Walks a record's frames.
#[derive(Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
    of: Of,
}

/// What is left of the record.
#[derive(Debug, Clone, Copy)]
enum Of {
    One,
    Bundle,
    Nothing,
}

impl<'a> Iterator for Frames<'a> {
    type Item = (&'a [u8], Result<Frame<'a>, FrameError>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest;
        match self.of {
            Of::Nothing => None,
            Of::One => {
                self.of = Of::Nothing;
                Some((rest, Frame::parse(rest)))
            }
            Of::Bundle => {
                let frame = rest.split_first_chunk().and_then(|(length, rest)| {
                    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
                });
                let Some((frame, rest)) = frame else {
                    self.of = Of::Nothing;
                    return Some((rest, Err(FrameError::Short)));
                };
                (self.rest, self.of) = (rest, if rest.is_empty() { Of::Nothing } else { Of::Bundle });
                Some((frame, Frame::parse(frame)))
            }
        }
    }
}
