//! Strings: found sixteen bytes at a time, escapes checked one by one.

use super::{Oddities, Scanner, SyntaxError};

/// One byte in each of eight places.
const fn eightfold(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The high bit of the first byte in `word` that is below `limit` is set, and none before it. Bytes after it may
/// be marked wrongly: a borrow runs upwards.
#[inline]
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(eightfold(limit)) & !word & eightfold(0x80)
}

/// The high bit of the first byte that is a quote, a backslash or a control character is set, and none before it.
#[inline]
fn special(eight: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(eight);
    let quote = below(word ^ eightfold(b'"'), 1);
    let backslash = below(word ^ eightfold(b'\\'), 1);
    quote | backslash | below(word, b' ')
}

/// How many bytes, from the first on, are neither a quote, a backslash nor a control character.
#[inline]
fn plain(chunk: &[u8; 16]) -> usize {
    let (eights, _) = chunk.as_chunks();
    let first = special(eights[0]);
    let bits =
        if first == 0 { u64::BITS + special(eights[1]).trailing_zeros() } else { first.trailing_zeros() };
    (bits / u8::BITS) as usize
}

impl Scanner<'_> {
    /// Reads a string whose opening quote stands at `at`; where it ends.
    #[inline]
    pub(super) fn string(&mut self, at: usize) -> Result<usize, SyntaxError> {
        let mut at = self.plain_until(at + 1);
        while self.byte(at) != Some(b'"') {
            if self.byte(at) != Some(b'\\') {
                return Err(self.error(at, "a control character stands in a string unescaped"));
            }
            at = self.escape(at)?;
            at = self.plain_until(at);
        }
        Ok(at + 1)
    }

    /// The next quote, backslash or control character, or the end of the text.
    #[inline]
    fn plain_until(&self, mut at: usize) -> usize {
        while let Some(chunk) = self.bytes[at..].first_chunk() {
            let plain = plain(chunk);
            at += plain;
            if plain < chunk.len() {
                return at;
            }
        }
        while self.byte(at).is_some_and(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            at += 1;
        }
        at
    }

    /// Reads an escape from its backslash on; where it ends.
    fn escape(&mut self, start: usize) -> Result<usize, SyntaxError> {
        self.escaped = true;
        match self.byte(start + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(start + 2),
            Some(b'u') => {
                let unit = self.unit(start + 2)?;
                let end = start + 6;
                match unit {
                    0xd800..0xdc00 if self.low_surrogate_follows(end) => return Ok(end + 6),
                    0xd800..0xe000 => self.odd(Oddities::LONE_SURROGATE, start, end, &["\\ufffd"]),
                    _ => {}
                }
                Ok(end)
            }
            _ => Err(self.error(start + 1, "an escape is not one that JSON knows")),
        }
    }

    /// The number that the four digits of a `\u` escape make.
    fn unit(&self, start: usize) -> Result<u32, SyntaxError> {
        let mut unit = 0;
        for at in start..start + 4 {
            let Some(digit) = self.byte(at).and_then(|byte| char::from(byte).to_digit(16)) else {
                return Err(self.error(at, "four hexadecimal digits were expected"));
            };
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }

    fn low_surrogate_follows(&self, at: usize) -> bool {
        matches!(
            self.bytes[at..].first_chunk(),
            Some([b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', third, fourth])
                if third.is_ascii_hexdigit() && fourth.is_ascii_hexdigit()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands_and_whatever_surrounds_it() {
        for byte in 0..=u8::MAX {
            for filler in [b'a', b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                for place in 0..16 {
                    let mut chunk = [filler; 16];
                    chunk[place] = byte;
                    let expected =
                        chunk.iter().position(|b| *b < b' ' || *b == b'"' || *b == b'\\').unwrap_or(16);
                    assert_eq!(plain(&chunk), expected, "{chunk:?}");
                }
            }
        }
    }
}
