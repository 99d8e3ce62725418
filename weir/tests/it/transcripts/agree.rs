//! Whether a reply is what a page shows, apart from what differs from one run to the next.
//!
//! White space does not count. Times, request ids and the secrets of keys stand for any others. The id of a key that
//! a page shows stands for the same key in all of the page. `...` stands for anything.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

const KEY: &str = "wk_live_";
const KEY_ID_LETTERS: usize = 10;

/// What numbers count for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    Exact,
    /// A zero stands for a zero, and any other number for any other.
    Vary,
}

/// The ids of keys that a page shows, and the keys that they are in this run: `None` before one is made.
#[derive(Clone, Default)]
pub(super) struct Names(BTreeMap<String, Option<(String, Option<String>)>>);

impl Names {
    /// The ids that the page shows within keys.
    pub(super) fn of(page: &str) -> Self {
        let ids = page.split(KEY).skip(1).filter_map(|rest| rest.get(..KEY_ID_LETTERS));
        let ids = ids.filter(|id| id.chars().all(|letter| letter.is_ascii_alphanumeric()));
        Self(ids.map(|id| (id.to_owned(), None)).collect())
    }

    /// A command with the keys and ids of this run in the place of those that are shown.
    pub(super) fn put_into(&self, command: &str) -> String {
        let mut command = command.to_owned();
        for (shown, found) in &self.0 {
            let Some((id, key)) = found else { continue };
            if let Some(key) = key {
                command = command.replace(&format!("{KEY}{shown}_..."), key);
            }
            command = command.replace(shown, id);
        }
        command
    }

    /// Learns the keys that are shown.
    ///
    /// # Errors
    /// What is shown and what stands in its place, where they differ.
    pub(super) fn compare(&mut self, shown: &str, found: &str, numbers: Numbers) -> Result<(), String> {
        self.compare_tokens(&tokens(shown), &tokens(found), numbers)
    }

    fn compare_tokens(
        &mut self,
        mut shown: &[String],
        mut found: &[String],
        numbers: Numbers,
    ) -> Result<(), String> {
        while let Some((first, rest)) = shown.split_first() {
            if first == "..." {
                for at in 0..=found.len() {
                    let mut names = self.clone();
                    if names.compare_tokens(rest, &found[at..], numbers).is_ok() {
                        *self = names;
                        return Ok(());
                    }
                }
                return Err(format!("nothing like {:?} follows", rest.join("")));
            }
            match found.split_first() {
                Some((token, others)) if self.is_like(first, token, numbers) => found = others,
                Some((token, _)) => return Err(format!("{first} is shown, and {token} is there")),
                None => return Err(format!("{first} is shown, and nothing is there")),
            }
            shown = rest;
        }
        found.first().map_or(Ok(()), |token| Err(format!("{token} is there, and not shown")))
    }

    fn is_like(&mut self, shown: &str, found: &str, numbers: Numbers) -> bool {
        if let Some(rest) = shown.strip_prefix(KEY) {
            let Some(id) = found.strip_prefix(KEY).and_then(|rest| rest.get(..KEY_ID_LETTERS)) else {
                return false;
            };
            let Some(shown_id) = rest.get(..KEY_ID_LETTERS) else { return rest == "..." };
            let is_same = self.is_like(shown_id, id, numbers);
            self.0.insert(shown_id.to_owned(), Some((id.to_owned(), Some(found.to_owned()))));
            return is_same;
        }
        match self.0.get_mut(shown) {
            Some(Some((id, _))) => return id == found,
            Some(unknown) if found.len() == KEY_ID_LETTERS => {
                *unknown = Some((found.to_owned(), None));
                return true;
            }
            Some(None) => return false,
            None => {}
        }
        if let Some(begin) = shown.strip_suffix("...") {
            return found.starts_with(begin);
        }
        let are_numbers = is_number(shown) && is_number(found);
        let is_zero = |number: &str| number.chars().all(|digit| digit == '0');
        shown == found
            || shape(shown).is_some_and(|known| shape(found).is_some_and(|other| known == other))
            || numbers == Numbers::Vary && are_numbers && is_zero(shown) == is_zero(found)
    }
}

fn is_number(token: &str) -> bool {
    !token.is_empty() && token.chars().all(|letter| letter.is_ascii_digit())
}

/// What a token that varies is: a request id, a time, a date or a time of day.
fn shape(token: &str) -> Option<&'static str> {
    let fits = |pattern: &str| {
        let is_like = |(letter, wanted): (char, char)| match wanted {
            '0' => letter.is_ascii_digit(),
            'x' => letter.is_ascii_hexdigit(),
            _ => letter == wanted,
        };
        token.len() >= pattern.len() && token.chars().zip(pattern.chars()).all(is_like)
    };
    let is_fraction = |rest: &str| rest.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
    if token.len() == 36 && fits("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") {
        Some("request id")
    } else if fits("0000-00-00T00:00:00") {
        token[19..].strip_suffix('Z').filter(|rest| is_fraction(rest)).map(|_| "time")
    } else if token.len() == 10 && fits("0000-00-00") {
        Some("date")
    } else if fits("00:00:00") && is_fraction(&token[8..]) {
        Some("time of day")
    } else {
        None
    }
}

/// Words, numbers and times, and each other letter by itself; a colon belongs to a time.
fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(first) = letters.next() {
        if is_inner(first) {
            found.push(word(first, &mut letters));
        } else if !first.is_whitespace() {
            found.push(first.to_string());
        }
    }
    found
}

fn is_inner(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '.' | '-')
}

fn word(first: char, letters: &mut Peekable<Chars<'_>>) -> String {
    let mut word = first.to_string();
    while let Some(next) = letters.peek().copied() {
        let is_colon = next == ':'
            && word.ends_with(|letter: char| letter.is_ascii_digit())
            && letters.clone().nth(1).is_some_and(|letter| letter.is_ascii_digit());
        if !is_inner(next) && !is_colon {
            break;
        }
        word.push(next);
        letters.next();
    }
    word
}

#[test]
fn only_what_varies_may_differ() {
    let key = format!("{KEY}aaaaaaaaaa_...");
    let mut names = Names::of(&format!("key {key} and others"));
    let made = format!("{KEY}bbbbbbbbbb_{}", "s".repeat(49));
    let mut agree = |shown: &str, found: &str| names.compare(shown, found, Numbers::Exact).is_ok();
    assert!(agree(
        r#"{"id":"aaaaaaaaaa","key":"wk_live_aaaaaaaaaa_..."}"#,
        &format!(r#"{{"id":"bbbbbbbbbb","key":"{made}"}}"#)
    ));
    assert!(agree("id aaaaaaaaaa", "id bbbbbbbbbb") && !agree("id aaaaaaaaaa", "id cccccccccc"));
    assert!(agree("at 2026-11-23T06:55:27.843864Z", "at\n 2027-01-01T00:00:00Z"));
    assert!(!agree("2026-11-23T06:55:27Z", "2026-11-23") && !agree("2026-11-23T06:55:27Z", "null"));
    assert!(agree("2026-11-01 00:00:00 UTC", "2027-12-01 23:59:59.5 UTC"));
    assert!(agree(r#"[{"a":1,...},...]"#, r#"[{"a":1,"b":{"c":2}},{"d":3}]"#) && !agree("[1,...]", "[2,3]"));
    assert!(!agree("stored 1", "stored 2") && !agree("a b", "a") && !agree("a", "a b"));
    assert_eq!(
        names.put_into(&format!("weir key revoke aaaaaaaaaa {key}")),
        format!("weir key revoke bbbbbbbbbb {made}")
    );
    let mut vary = |shown: &str, found: &str| names.compare(shown, found, Numbers::Vary).is_ok();
    assert!(vary("stored 100, lost 0", "stored 7, lost 0"));
    assert!(!vary("stored 100, lost 0", "stored 7, lost 1") && !vary("stored 100", "stored 0"));
}
