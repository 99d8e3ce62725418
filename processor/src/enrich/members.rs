//! Walks the members of a JSON object without reading what nobody asks for.
//!
//! Ingest has checked that the text is JSON. What is none all the same ends the walk early, and nothing worse.

use std::borrow::Cow;

use memchr::memchr2;

/// Shorter texts, which most are, are searched eight bytes at once; `memchr` takes longer to begin.
const NEAR_BYTES: usize = 32;
const EACH_BYTE: u64 = 0x0101_0101_0101_0101;

/// A member's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// What stands between a string's quotes.
    Text(Text<'a>),
    /// An object, braces included.
    Object(&'a str),
    /// Anything else, as it stands there.
    Other(&'a str),
}

/// A string's inside, still escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text<'a> {
    raw: &'a str,
    is_escaped: bool,
}

impl<'a> Text<'a> {
    /// The text; empty if an escape in it means nothing.
    pub(super) fn get(self) -> Cow<'a, str> {
        if !self.is_escaped {
            return Cow::Borrowed(self.raw);
        }
        Cow::Owned(serde_json::from_str(&format!("\"{}\"", self.raw)).unwrap_or_default())
    }
}

/// The members of an object in their order. Keys are as they are written: one with an escape equals no plain one.
#[derive(Debug)]
pub(super) struct Members<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Members<'a> {
    /// The members of `json`; none if it is no object.
    pub(super) fn of(json: &'a str) -> Self {
        let at = json.find('{').map_or(json.len(), |brace| brace + 1);
        Self { json, at }
    }

    fn byte(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no space.
    #[inline]
    fn token(&mut self) -> Option<u8> {
        while self.byte()?.is_ascii_whitespace() {
            self.at += 1;
        }
        self.byte()
    }

    /// What stands between the quote that was just passed and the next, and past that.
    #[inline]
    fn text(&mut self) -> Option<Text<'a>> {
        let begin = self.at;
        let mut is_escaped = false;
        loop {
            match self.quote_or_escape()? {
                b'"' => {
                    let raw = self.json.get(begin..self.at)?;
                    self.at += 1;
                    return Some(Text { raw, is_escaped });
                }
                _ => {
                    is_escaped = true;
                    self.at += 2;
                }
            }
        }
    }

    #[inline]
    fn quote_or_escape(&mut self) -> Option<u8> {
        let bytes = self.json.as_bytes().get(self.at..)?;
        let ahead = match near(bytes) {
            Some(ahead) => ahead,
            None => memchr2(b'"', b'\\', bytes)?,
        };
        self.at += ahead;
        self.byte()
    }

    /// Past an object or a list, from its first bracket.
    fn skip_nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            let byte = self.byte()?;
            self.at += 1;
            match byte {
                b'"' => drop(self.text()?),
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    #[inline]
    fn value(&mut self) -> Option<Value<'a>> {
        let first = self.token()?;
        let begin = self.at;
        match first {
            b'"' => {
                self.at += 1;
                return self.text().map(Value::Text);
            }
            b'{' | b'[' => self.skip_nested()?,
            _ => {
                while !matches!(self.byte()?, b',' | b'}' | b']') {
                    self.at += 1;
                }
            }
        }
        let raw = self.json.get(begin..self.at)?;
        Some(if first == b'{' { Value::Object(raw) } else { Value::Other(raw.trim_end()) })
    }

    fn member(&mut self) -> Option<(&'a str, Value<'a>)> {
        if self.token()? == b',' {
            self.at += 1;
            self.token()?;
        }
        if self.byte()? != b'"' {
            return None;
        }
        self.at += 1;
        let key = self.text()?;
        if self.token()? != b':' {
            return None;
        }
        self.at += 1;
        Some((key.raw, self.value()?))
    }
}

/// Where the first quote or backslash stands, if it is near.
#[inline]
fn near(bytes: &[u8]) -> Option<usize> {
    for (begin, chunk) in (0..NEAR_BYTES).step_by(8).zip(bytes.as_chunks::<8>().0) {
        let word = u64::from_le_bytes(*chunk);
        let found =
            zeros(word ^ (EACH_BYTE * u64::from(b'"'))) | zeros(word ^ (EACH_BYTE * u64::from(b'\\')));
        if found != 0 {
            return usize::try_from(found.trailing_zeros() / 8).ok().map(|ahead| begin + ahead);
        }
    }
    None
}

/// The highest bit of the lowest byte that is zero; bits above it may be set as well.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(EACH_BYTE) & !word & (EACH_BYTE << 7)
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let member = self.member();
        if member.is_none() {
            self.at = self.json.len();
        }
        member
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walked(json: &str) -> Vec<(String, String)> {
        let shown = |value| match value {
            Value::Text(text) => format!("text {}", text.get()),
            Value::Object(raw) => format!("object {raw}"),
            Value::Other(raw) => format!("other {raw}"),
        };
        Members::of(json).map(|(key, value)| (key.to_owned(), shown(value))).collect()
    }

    #[test]
    fn members_are_walked_and_what_is_no_json_ends_the_walk() {
        let json =
            r#" { "a" : "x\n\"y\u00e9" , "b":{"c":["}",{}]}, "d":[1,"]"] ,"e": -1.5 ,"f":true,"":null}"#;
        let expected = [
            ("a", "text x\n\"yé"),
            ("b", r#"object {"c":["}",{}]}"#),
            ("d", r#"other [1,"]"]"#),
            ("e", "other -1.5"),
            ("f", "other true"),
            ("", "other null"),
        ];
        assert_eq!(walked(json), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        for (json, members) in [
            ("", 0),
            ("{}", 0),
            ("[1]", 0),
            ("{\"a\"", 0),
            ("{\"a\":\"x\\", 0),
            ("{\"a\":\"x\",\"b", 1),
            ("{\"a\":\"x\"}}}", 1),
            ("{\"a\":1,,\"b\":2}", 1),
            ("{\"a\":\"\\ud800\"}", 1),
        ] {
            assert_eq!(walked(json).len(), members, "{json}");
        }
        assert_eq!(walked(r#"{"a":"\ud800"}"#)[0].1, "text ");
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,40}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::btree_map("[^\\x00-\\x1f\"\\\\]{0,20}", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_walked_is_what_the_object_holds(
            object in proptest::collection::btree_map("[^\\x00-\\x1f\"\\\\]{0,20}", any_json(), 0..8), pretty: bool,
        ) {
            let object = serde_json::Value::Object(object.into_iter().collect());
            let json = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) };
            let json = json.unwrap();
            let mut found = serde_json::Map::new();
            for (key, value) in Members::of(&json) {
                let value = match value {
                    Value::Text(text) => serde_json::Value::String(text.get().into_owned()),
                    Value::Object(raw) | Value::Other(raw) => serde_json::from_str(raw).unwrap(),
                };
                found.insert(key.to_owned(), value);
            }
            prop_assert_eq!(serde_json::Value::Object(found), object);
        }

        #[test]
        fn nothing_that_is_no_json_panics(text in "[{}\\[\\]\",:\\\\ aé0]{0,60}") {
            for (_, value) in Members::of(&text) {
                if let Value::Text(text) = value {
                    text.get();
                }
            }
        }
    }
}
