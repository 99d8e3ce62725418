//! A JSON scanner that checks every byte and keeps nothing but where values begin and end.
//!
//! The grammar is RFC 8259's, strictly, with three things that it takes on top because clients send them or
//! because what stands behind ingest can't read them. They are marked in the value's [`Oddities`], and
//! [`Value::kept`] writes them in a form that every reader takes:
//!
//! | sent | kept | who would refuse it |
//! |---|---|---|
//! | `NaN`, `Infinity`, `-Infinity` (Python) | `null` | every reader |
//! | a number beyond a double, such as `1e999` | its digits as a string | serde_json, ClickHouse |
//! | `\ud800`: half of a surrogate pair | `\ufffd` | serde_json, ClickHouse |
//!
//! There is no recursion: open containers are one bit each, so no nesting overflows the stack. Positions travel as
//! arguments and results, not in a field: a processor keeps them in registers, which makes the scanner twice as fast.

mod nesting;
mod number;
mod string;

use schemas::problem::{Code, Problem};

/// Why and where the text is not JSON. Boxed, so that results without an error are small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError(Box<(usize, &'static str)>);

impl SyntaxError {
    /// Where, and what was wrong there.
    pub(super) fn describe(&self) -> String {
        let (at, what) = *self.0;
        format!("{what} at byte {at}")
    }
}

impl From<SyntaxError> for Problem {
    fn from(error: SyntaxError) -> Self {
        Self::new(Code::InvalidJson, error.describe())
    }
}

/// The type of a value, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    /// `null`, or a number that is not finite and is kept as `null`.
    Null,
}

/// What must not be kept as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Oddities(u8);

impl Oddities {
    pub(super) const NOT_FINITE: Self = Self(1);
    pub(super) const BEYOND_DOUBLE: Self = Self(2);
    pub(super) const LONE_SURROGATE: Self = Self(4);

    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One value of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value<'a> {
    /// Its bytes, quotes and brackets included.
    pub(super) raw: &'a str,
    pub(super) kind: Kind,
    pub(super) oddities: Oddities,
    /// Whether a string holds escapes.
    pub(super) escaped: bool,
    /// Containers within one another, this one included; 0 for what is not a container.
    pub(super) depth: u32,
}

/// One member of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member<'a> {
    /// Key, colon and value as they were sent.
    pub(super) raw: &'a str,
    pub(super) key: Key<'a>,
    pub(super) value: Value<'a>,
}

/// The key of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key<'a> {
    /// What stands between the quotes.
    pub(super) raw: &'a str,
    pub(super) escaped: bool,
    pub(super) oddities: Oddities,
    /// Where its opening quote stands.
    start: usize,
}

/// What is put in the place of an oddity.
#[derive(Debug)]
struct Mending {
    text: String,
    /// Up to where the scanned text has been copied.
    copied: usize,
}

/// Reads one text from its start to its end.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// Where the next token is looked for.
    at: usize,
    /// Of the key or value that is being read.
    oddities: Oddities,
    /// Whether an escape was met in it.
    escaped: bool,
    mending: Option<Mending>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            oddities: Oddities::default(),
            escaped: false,
            mending: None,
        }
    }

    /// Passes over `prefix` if the text begins with it.
    pub(super) fn skip(&mut self, prefix: &str) {
        if self.text.starts_with(prefix) {
            self.at = prefix.len();
        }
    }

    /// The first byte of the next token, which stays unread.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.at = self.token(self.at);
        self.byte(self.at)
    }

    /// The text holds nothing more.
    pub(super) fn end(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error(self.at, "something follows the end of the JSON value")),
        }
    }

    /// Reads the next value, whatever it is.
    #[inline]
    pub(super) fn value(&mut self) -> Result<Value<'a>, SyntaxError> {
        let start = self.token(self.at);
        (self.oddities, self.escaped) = (Oddities::default(), false);
        let mut depth = 0;
        let (end, kind) = match self.byte(start) {
            Some(b'"') => (self.string(start)?, Kind::String),
            Some(first @ (b'{' | b'[')) => {
                let end;
                (end, depth) = self.container(start)?;
                (end, if first == b'{' { Kind::Object } else { Kind::Array })
            }
            _ => self.scalar(start)?,
        };
        self.at = end;
        let (oddities, escaped) = (self.oddities, self.escaped);
        Ok(Value { raw: &self.text[start..end], kind, oddities, escaped, depth })
    }

    /// Reads the opening brace of an object; whether members follow.
    #[inline]
    pub(super) fn open_object(&mut self) -> Result<bool, SyntaxError> {
        self.expect(b'{', "an object was expected")?;
        Ok(!self.take(b'}'))
    }

    /// Reads the opening bracket of an array; whether elements follow.
    #[inline]
    pub(super) fn open_array(&mut self) -> Result<bool, SyntaxError> {
        self.expect(b'[', "an array was expected")?;
        Ok(!self.take(b']'))
    }

    /// Reads what follows a member: whether there is another.
    #[inline]
    pub(super) fn another_member(&mut self) -> Result<bool, SyntaxError> {
        if self.take(b',') {
            return Ok(true);
        }
        self.expect(b'}', "a comma or a closing brace was expected").map(|()| false)
    }

    /// Reads what follows an element: whether there is another.
    #[inline]
    pub(super) fn another_element(&mut self) -> Result<bool, SyntaxError> {
        if self.take(b',') {
            return Ok(true);
        }
        self.expect(b']', "a comma or a closing bracket was expected").map(|()| false)
    }

    /// Reads a key and its colon.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Key<'a>, SyntaxError> {
        (self.oddities, self.escaped) = (Oddities::default(), false);
        let start = self.token(self.at);
        let end = self.quoted_key(start)?;
        self.at = self.colon(end)?;
        let (escaped, oddities) = (self.escaped, self.oddities);
        Ok(Key { raw: &self.text[start + 1..end - 1], escaped, oddities, start })
    }

    /// Reads the value of the member whose key has been read.
    #[inline]
    pub(super) fn member(&mut self, key: Key<'a>) -> Result<Member<'a>, SyntaxError> {
        let value = self.value()?;
        Ok(Member { raw: &self.text[key.start..self.at], key, value })
    }

    /// Reads the next byte if it is `token`.
    #[inline]
    fn take(&mut self, token: u8) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    /// Reads `token`, or says what else was wrong.
    #[inline]
    fn expect(&mut self, token: u8, what: &'static str) -> Result<(), SyntaxError> {
        if self.take(token) { Ok(()) } else { Err(self.error(self.at, what)) }
    }

    #[inline]
    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// Where the first byte from `at` on stands that is not white space.
    #[inline]
    fn token(&self, mut at: usize) -> usize {
        // Compact JSON has no white space: one comparison is enough.
        while let Some(byte) = self.byte(at)
            && byte <= b' '
            && matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
        {
            at += 1;
        }
        at
    }

    /// Reads a key whose opening quote stands at `at`; where it ends.
    #[inline]
    fn quoted_key(&mut self, at: usize) -> Result<usize, SyntaxError> {
        if self.byte(at) != Some(b'"') {
            return Err(self.error(at, "a key in quotes was expected"));
        }
        self.string(at)
    }

    /// Reads the next token, a colon; what follows it.
    #[inline]
    fn colon(&self, at: usize) -> Result<usize, SyntaxError> {
        let at = self.token(at);
        if self.byte(at) == Some(b':') { Ok(at + 1) } else { Err(self.error(at, "a colon was expected")) }
    }

    /// Reads a number, a literal, or what Python writes for numbers that are not finite; where it ends.
    #[inline]
    fn scalar(&mut self, at: usize) -> Result<(usize, Kind), SyntaxError> {
        match self.byte(at) {
            Some(b'-' | b'0'..=b'9') => self.number(at),
            Some(b't') => Ok((self.word(at, b"true")?, Kind::Bool)),
            Some(b'f') => Ok((self.word(at, b"false")?, Kind::Bool)),
            Some(b'n') => Ok((self.word(at, b"null")?, Kind::Null)),
            Some(b'N' | b'I') => self.not_finite(at, at),
            _ => Err(self.error(at, "a value was expected")),
        }
    }

    #[inline]
    fn word(&self, at: usize, word: &[u8]) -> Result<usize, SyntaxError> {
        let rest = &self.bytes[at..];
        if rest.starts_with(word) {
            return Ok(at + word.len());
        }
        let alike = rest.iter().zip(word).take_while(|(byte, expected)| byte == expected).count();
        Err(self.error(at + alike, "a value was expected"))
    }

    #[cold]
    fn error(&self, at: usize, what: &'static str) -> SyntaxError {
        let what = if at >= self.bytes.len() { "it ends in the middle of a value" } else { what };
        SyntaxError(Box::new((at, what)))
    }

    /// Marks what is being read: the bytes from `start` to `end` can't be kept as they are.
    #[cold]
    fn odd(&mut self, oddity: Oddities, start: usize, end: usize, mended: &[&str]) {
        self.oddities = self.oddities.with(oddity);
        let Some(mending) = &mut self.mending else { return };
        mending.text.push_str(&self.text[mending.copied..start]);
        mended.iter().for_each(|text| mending.text.push_str(text));
        mending.copied = end;
    }
}

/// Visits the members of `object`, one after the other: none is held, since an object may have a million.
pub(super) fn each_member<'a>(object: &'a str, mut visit: impl FnMut(Member<'a>)) -> Result<(), SyntaxError> {
    let mut scanner = Scanner::new(object);
    let mut more = scanner.open_object()?;
    while more {
        let key = scanner.key()?;
        visit(scanner.member(key)?);
        more = scanner.another_member()?;
    }
    Ok(())
}

/// `raw`, which has been scanned as a value, with every oddity in it written as the module says.
pub(super) fn mended(raw: &str) -> String {
    let mut scanner = Scanner::new(raw);
    scanner.mending = Some(Mending { text: String::with_capacity(raw.len()), copied: 0 });
    let scanned = scanner.value();
    debug_assert!(scanned.is_ok(), "what is kept has been scanned before");
    let Some(mut mending) = scanner.mending else { return raw.to_owned() };
    mending.text.push_str(&raw[mending.copied..]);
    mending.text
}

#[cfg(test)]
mod tests;
