//! The keys of a run, and which of them a request is sent with.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use bytes::Bytes;
use hyper::header::HeaderValue;

use super::id::{Choices, RunId};

/// Keys in a file at most: with weir's own, of 68 letters, they take 158 MB of memory.
const KEYS_MAX: usize = 2_000_000;
/// Bytes of one of them at most.
const KEY_BYTES_MAX: usize = 200;
const SCHEME: &str = "Bearer ";

/// Values of the `Authorization` header. Each takes its own length and eleven bytes: a million keys 79 MB. Never
/// printed by `Debug`.
#[derive(Default)]
pub(crate) struct KeyList {
    /// One behind the other.
    text: Bytes,
    /// Where each ends.
    ends: Vec<u32>,
    /// Whether each request takes the next, or a connection always the same.
    rotate: bool,
}

/// The place in the list of the key that a connection sends its next batch with.
#[derive(Debug)]
pub(crate) struct KeyTurn {
    at: usize,
    step: usize,
    len: usize,
}

impl fmt::Debug for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyList({})", self.ends.len())
    }
}

impl KeyList {
    /// Keys that connections share out among themselves.
    pub(crate) fn shared<'a>(keys: impl Iterator<Item = &'a str>) -> anyhow::Result<Self> {
        let mut list = List::default();
        for key in keys {
            list.add(key.as_bytes()).context("a --key holds bytes that no header can carry")?;
        }
        Ok(list.end(false))
    }

    /// The keys of a file, one a line, of which each request takes the next.
    pub(crate) fn of_file(path: &Path) -> anyhow::Result<Self> {
        let context = || format!("--keys-file {}", path.display());
        let file = File::open(path).with_context(context)?;
        Self::read(BufReader::new(file), KEYS_MAX).with_context(context)
    }

    fn read(mut lines: impl BufRead, keys_max: usize) -> anyhow::Result<Self> {
        let mut list = List::default();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            // One more than a key may have, and the line's end.
            let limit = KEY_BYTES_MAX as u64 + 2;
            if lines.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let key = line.trim_ascii();
            if key.is_empty() {
                continue;
            }
            anyhow::ensure!(list.ends.len() < keys_max, "more than {keys_max} keys");
            // The error repeats neither line nor key: it is a secret.
            list.add(key).with_context(|| format!("line {number} holds no key"))?;
        }
        anyhow::ensure!(!list.ends.is_empty(), "it holds no key");
        Ok(list.end(true))
    }

    /// Where `connection` of `connections` begins. With keys of a file in a place of its own, drawn from its part of
    /// the list, and then key by key: together they use all keys equally often, and never march in step, however the
    /// list is ordered. Else with one key, such that every pair of target and key occurs.
    pub(crate) fn turn(&self, run: RunId, connection: u16, connections: u16, targets: usize) -> KeyTurn {
        let (place, len) = (usize::from(connection), self.ends.len());
        if !self.rotate {
            return KeyTurn { at: place / targets.max(1) % len.max(1), step: 0, len };
        }
        let begin = |connection: usize| connection * len / usize::from(connections.max(1));
        let part = begin(place + 1) - begin(place);
        let drawn = Choices::new(run, connection).below(part as u64);
        KeyTurn { at: begin(place) + usize::try_from(drawn).unwrap_or_default(), step: 1, len }
    }

    /// The header's value for the key in this place.
    pub(crate) fn header(&self, place: usize) -> anyhow::Result<HeaderValue> {
        let start =
            place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        let end = *self.ends.get(place).context("no such key")?;
        let mut value = HeaderValue::from_maybe_shared(self.text.slice(start as usize..end as usize))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl KeyTurn {
    /// The key's place for the next batch.
    pub(crate) fn next(&mut self) -> usize {
        let now = self.at;
        self.at = (now + self.step) % self.len.max(1);
        now
    }
}

/// Keys while they are being read.
#[derive(Default)]
struct List {
    text: Vec<u8>,
    ends: Vec<u32>,
}

impl List {
    fn add(&mut self, key: &[u8]) -> anyhow::Result<()> {
        anyhow::ensure!(key.len() <= KEY_BYTES_MAX, "longer than {KEY_BYTES_MAX} bytes");
        anyhow::ensure!(key.iter().all(u8::is_ascii_graphic), "other than visible letters");
        self.text.extend_from_slice(SCHEME.as_bytes());
        self.text.extend_from_slice(key);
        self.ends.push(u32::try_from(self.text.len())?);
        Ok(())
    }

    fn end(self, rotate: bool) -> KeyList {
        let Self { mut text, mut ends } = self;
        text.shrink_to_fit();
        ends.shrink_to_fit();
        KeyList { text: text.into(), ends, rotate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> anyhow::Result<KeyList> {
        KeyList::read(text.as_bytes(), 5)
    }

    /// The keys of a connection's next batches.
    fn next(keys: &KeyList, turn: &mut KeyTurn, count: usize) -> Vec<usize> {
        let places: Vec<_> = (0..count).map(|_| turn.next()).collect();
        assert!(places.iter().all(|place| keys.header(*place).is_ok()));
        places
    }

    #[test]
    fn a_file_has_a_key_a_line() {
        let keys = file("one\n\n two \r\nthree").unwrap();
        let values: Vec<_> = (0..3).map(|place| keys.header(place).unwrap()).collect();
        assert_eq!(values, ["Bearer one", "Bearer two", "Bearer three"]);
        assert!(values.iter().all(HeaderValue::is_sensitive) && keys.header(3).is_err());
    }

    #[test]
    fn five_keys_are_taken_where_five_are_allowed_and_six_are_not() {
        assert!(file("1\n2\n3\n4\n5\n\n").is_ok());
        assert!(file("1\n2\n3\n4\n5\n6").unwrap_err().to_string().contains("more than 5 keys"));
    }

    #[test]
    fn a_key_has_200_bytes_at_most() {
        assert!(file(&format!("a\n{}\n", "k".repeat(KEY_BYTES_MAX))).is_ok());
        let error = file(&format!("a\n{}\n", "k".repeat(KEY_BYTES_MAX + 1))).unwrap_err();
        assert_eq!(format!("{error:#}"), "line 2 holds no key: longer than 200 bytes");
    }

    #[test]
    fn what_no_header_can_carry_and_a_file_without_keys_are_refused() {
        for text in ["", "\n\n", "two words", "k\u{e9}y", "k\0y"] {
            assert!(file(text).is_err(), "{text:?}");
        }
        assert!(KeyList::of_file(Path::new("/nowhere")).unwrap_err().to_string().contains("/nowhere"));
    }

    #[test]
    fn keys_do_not_print() {
        assert_eq!(format!("{:?}", file("secret").unwrap()), "KeyList(1)");
    }

    #[test]
    fn with_keys_of_a_file_all_are_used_equally_often() {
        let keys = KeyList::read("k\n".repeat(1_000).as_bytes(), 1_000).unwrap();
        for connections in [1, 7, 64, 1_000, 3_000] {
            let mut used = vec![0; 1_000];
            for connection in 0..connections {
                let mut turn = keys.turn(RunId(7), connection, connections, 1);
                next(&keys, &mut turn, 1_000).into_iter().for_each(|place| used[place] += 1);
            }
            assert_eq!(used, vec![connections; 1_000]);
        }
    }

    #[test]
    fn connections_do_not_march_in_step_through_a_list_that_repeats() {
        let keys = KeyList::read("k\n".repeat(1_000).as_bytes(), 1_000).unwrap();
        // Tenants in turn: without a draw, all ten connections would send for the same one at any time.
        let tenants: std::collections::BTreeSet<_> =
            (0..10).map(|connection| keys.turn(RunId(7), connection, 10, 1).next() % 100).collect();
        assert!(tenants.len() > 5, "{tenants:?}");
    }

    #[test]
    fn a_shared_key_stays_with_its_connection() {
        let keys = KeyList::shared(["a", "b"].into_iter()).unwrap();
        let of = |connection| next(&keys, &mut keys.turn(RunId(7), connection, 4, 2), 3);
        assert_eq!([of(0), of(1), of(2), of(3)], [[0; 3], [0; 3], [1; 3], [1; 3]]);
    }
}
