//! What values become once they leave the scanner: text without escapes, or JSON as it is kept.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::scan::{Key, Value, mended};

/// A string without its escapes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unescaped<'a> {
    pub(super) text: Cow<'a, str>,
    /// Whether U+FFFD stands for something that a text can't hold: half of a surrogate pair, or NUL, which
    /// Postgres refuses.
    pub(super) lossy: bool,
}

impl<'a> Value<'a> {
    /// The JSON that is kept: the client's own bytes, unless a reader behind ingest would refuse them.
    #[inline]
    pub(super) fn kept(&self) -> Cow<'a, str> {
        if self.oddities.is_none() { Cow::Borrowed(self.raw) } else { Cow::Owned(mended(self.raw)) }
    }

    /// The text of a string.
    #[inline]
    pub(super) fn unescaped(&self) -> Unescaped<'a> {
        let quoted = self.raw.get(1..self.raw.len().saturating_sub(1)).unwrap_or_default();
        unescaped(quoted, self.escaped)
    }
}

impl<'a> Key<'a> {
    /// The key without its escapes.
    #[inline]
    pub(super) fn name(&self) -> Cow<'a, str> {
        unescaped(self.raw, self.escaped).text
    }
}

#[inline]
fn unescaped(raw: &str, escaped: bool) -> Unescaped<'_> {
    if escaped { without_escapes(raw) } else { Unescaped { text: Cow::Borrowed(raw), lossy: false } }
}

/// `raw` has been scanned: every escape in it is whole.
fn without_escapes(raw: &str) -> Unescaped<'static> {
    let mut text = String::with_capacity(raw.len());
    let (mut rest, mut lossy) = (raw, false);
    while let Some(plain) = memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..plain]);
        let escape = &rest[plain..];
        let (character, len) = character(escape);
        lossy |= character.is_none();
        text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = &escape[len..];
    }
    text.push_str(rest);
    Unescaped { text: Cow::Owned(text), lossy }
}

/// The character that the escape at the start of `escape` stands for, if a text can hold it, and the escape's
/// length.
fn character(escape: &str) -> (Option<char>, usize) {
    let simple = match escape.as_bytes()[1] {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_character(escape),
        quote_backslash_or_slash => char::from(quote_backslash_or_slash),
    };
    (Some(simple), 2)
}

fn unicode_character(escape: &str) -> (Option<char>, usize) {
    let first = unit(escape);
    if let (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) = (first, escape.get(6..).and_then(unit))
    {
        return (char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)), 12);
    }
    (first.and_then(char::from_u32).filter(|character| *character != '\0'), 6)
}

/// The number in the `\u` escape that `text` begins with.
fn unit(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

/// Bytes without percent-encoding (RFC 3986, 2.1). A percent sign without two hex digits stands for itself.
pub(super) fn percent_decoded(encoded: &[u8]) -> Vec<u8> {
    decoded(encoded, b'+')
}

/// The same for a form's fields, in which a plus that is not encoded is a blank (WHATWG URL, 5.1).
pub(super) fn form_decoded(encoded: &[u8]) -> Vec<u8> {
    decoded(encoded, b' ')
}

fn decoded(encoded: &[u8], plus: u8) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some(plain) = memchr2(b'%', b'+', rest) {
        decoded.extend_from_slice(&rest[..plain]);
        if rest[plain] == b'+' {
            decoded.push(plus);
            rest = &rest[plain + 1..];
            continue;
        }
        let digits = rest.get(plain + 1..plain + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(b'%'));
        rest = &rest[plain + if byte.is_some() { 3 } else { 1 }..];
    }
    decoded.extend_from_slice(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_become_the_characters_that_they_stand_for() {
        let raw = r#"\"\\\/\b\f\n\r\t\u00e9\u20ac\ud83d\ude00\u003C=é😀"#;
        let unescaped = unescaped(raw, true);
        assert_eq!(unescaped.text, "\"\\/\u{8}\u{c}\n\r\té€😀<=é😀");
        assert!(!unescaped.lossy);
    }

    #[test]
    fn what_a_text_cannot_hold_becomes_the_replacement_character() {
        for raw in [r"\ud800", r"\uDFFF", r"\u0000"] {
            assert_eq!(unescaped(raw, true), Unescaped { text: "\u{fffd}".into(), lossy: true }, "{raw}");
        }
        assert_eq!(unescaped(r"\ud800\ud800\udc00x", true).text, "\u{fffd}\u{10000}x");
        assert_eq!(unescaped(r"\ud800\u0041\udc00", true).text, "\u{fffd}A\u{fffd}");
        assert!(!unescaped(r"\ufffd", true).lossy);
    }

    proptest! {
        #[test]
        fn every_text_survives_escaping(text in "[^\0]*", ascii: bool) {
            let mut escaped = String::new();
            for unit in text.encode_utf16() {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
            let json = serde_json::to_string(&text).unwrap();
            let raw = if ascii { escaped.as_str() } else { &json[1..json.len() - 1] };
            prop_assert_eq!(unescaped(raw, true), Unescaped { text: text.into(), lossy: false });
        }
    }
}
