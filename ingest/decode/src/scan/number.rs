//! Numbers, and what Python writes for numbers that are not finite.

use super::{Kind, Oddities, Scanner, SyntaxError};

/// No number without an exponent and with fewer bytes than this is beyond a double's 1.8e308.
const DIGITS_SURELY_FINITE: usize = 300;

impl Scanner<'_> {
    /// Reads a number from its sign or first digit on; where it ends.
    #[inline]
    pub(super) fn number(&mut self, start: usize) -> Result<(usize, Kind), SyntaxError> {
        let mut at = start + usize::from(self.byte(start) == Some(b'-'));
        match self.byte(at) {
            Some(b'0') => at += 1,
            Some(b'1'..=b'9') => at = self.digits(at)?,
            Some(b'I') => return self.not_finite(at, start),
            _ => return Err(self.error(at, "a digit was expected")),
        }
        if self.byte(at) == Some(b'.') {
            at = self.digits(at + 1)?;
        }
        let exponent = matches!(self.byte(at), Some(b'e' | b'E'));
        if exponent {
            at += 1;
            at += usize::from(matches!(self.byte(at), Some(b'+' | b'-')));
            at = self.digits(at)?;
        }
        if exponent || at - start > DIGITS_SURELY_FINITE {
            self.check_range(start, at);
        }
        Ok((at, Kind::Number))
    }

    /// Reads one digit and all that follow it.
    #[inline]
    fn digits(&self, start: usize) -> Result<usize, SyntaxError> {
        let mut at = start;
        while self.byte(at).is_some_and(|byte| byte.is_ascii_digit()) {
            at += 1;
        }
        if at == start { Err(self.error(at, "a digit was expected")) } else { Ok(at) }
    }

    fn check_range(&mut self, start: usize, end: usize) {
        let number = &self.text[start..end];
        if !number.parse::<f64>().is_ok_and(f64::is_finite) {
            self.odd(Oddities::BEYOND_DOUBLE, start, end, &["\"", number, "\""]);
        }
    }

    /// Reads `NaN` or `Infinity`, whose sign may stand at `start`.
    #[cold]
    pub(super) fn not_finite(&mut self, at: usize, start: usize) -> Result<(usize, Kind), SyntaxError> {
        let word: &[u8] = if self.byte(at) == Some(b'N') { b"NaN" } else { b"Infinity" };
        let end = self.word(at, word)?;
        self.odd(Oddities::NOT_FINITE, start, end, &["null"]);
        Ok((end, Kind::Null))
    }
}
