//! API keys as clients present them: in a header, a query or a body.
//!
//! The first byte says how the rest is read: `T` as the text itself, `B` as what stands in `Authorization`, `Q` as a
//! query, and anything else as the letters of a key with a good checksum, which no mutation would ever hit upon.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};
use ingest::auth;
use schemas::key::{KeyError, PresentedKey};
use schemas::problem::{Code, Problem};

const PREFIX: &str = "wk_live_";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// See the module.
///
/// # Panics
/// Where a promise is broken.
pub fn check(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    match how {
        b'B' => header(rest),
        b'Q' => query(rest),
        b'T' => {
            if let Ok(text) = str::from_utf8(rest) {
                same_wherever_it_stands(text);
            }
        }
        _ => made(rest),
    }
}

fn header(value: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let read = auth::from_header(&HeaderMap::from_iter([(AUTHORIZATION, value.clone())]));
    assert!(!matches!(read, Ok(None)), "a header that is there is never passed over");
    refused_politely(read.err(), value.as_bytes());
}

fn query(query: &[u8]) {
    let Ok(query) = str::from_utf8(query) else { return };
    refused_politely(auth::from_query(query).err(), query.as_bytes());
}

/// A refusal names no part of what was presented: it may be most of a secret.
fn refused_politely(problem: Option<Problem>, presented: &[u8]) {
    let Some(problem) = problem else { return };
    assert_eq!(problem.code, Code::MalformedKey);
    for secret in presented.windows(20).filter(|part| part.iter().all(u8::is_ascii_alphanumeric)) {
        assert!(!problem.detail.as_bytes().windows(20).any(|part| part == secret), "{}", problem.detail);
    }
}

/// Header, query and body lead to the same verdict.
fn same_wherever_it_stands(text: &str) {
    let parsed = PresentedKey::parse(text);
    let expected = parsed.as_ref().ok().map(|key| (key.id, key.hash));
    let verdict =
        |read: Result<Option<PresentedKey>, Problem>| read.ok().flatten().map(|key| (key.id, key.hash));
    assert_eq!(verdict(auth::from_text(text).map(Some)), expected);
    let basic = format!("Basic {}", STANDARD.encode(format!("{text}:")));
    for value in [format!("Bearer {text}"), basic] {
        let Ok(value) = HeaderValue::from_str(&value) else { continue };
        let read = verdict(auth::from_header(&HeaderMap::from_iter([(AUTHORIZATION, value)])));
        assert!(expected.is_none() || read == expected, "{text}");
    }
    if expected.is_some() {
        assert_eq!(verdict(auth::from_query(&format!("a=b&key={text}&_=1"))), expected);
        assert_eq!(made_of(&text[..text.len() - 6]), text, "a key is accepted only with its own checksum");
    }
}

/// A key made of the letters that `seed` stands for is read, and no neighbour of it is.
fn made(seed: &[u8]) {
    let letter =
        |place: usize| char::from(BASE62[usize::from(*seed.get(place).unwrap_or(&0)) % BASE62.len()]);
    let id: String = (0..10).map(letter).collect();
    let secret: String = (10..53).map(letter).collect();
    let key = made_of(&format!("{PREFIX}{id}_{secret}"));
    same_wherever_it_stands(&key);
    let parsed = PresentedKey::parse(&key).unwrap_or_else(|error| panic!("{key}: {error}"));
    assert_eq!(parsed.id.to_string(), id);
    let other = char::from(*seed.get(53).unwrap_or(&b'x') & 0x7f);
    for place in 0..key.len() {
        let typo = format!("{}{other}{}", &key[..place], &key[place + 1..]);
        assert!(typo == key || PresentedKey::parse(&typo).is_err(), "{typo}");
        let shorter = format!("{}{}", &key[..place], &key[place + 1..]);
        assert_eq!(PresentedKey::parse(&shorter).err(), Some(KeyError::Shape), "{shorter}");
        let swapped = swapped(&key, place);
        assert!(swapped == key || PresentedKey::parse(&swapped).is_err(), "{swapped}");
    }
}

/// The key with the letters at `place` and behind it in each other's place.
fn swapped(key: &str, place: usize) -> String {
    let mut bytes = key.as_bytes().to_vec();
    if place + 1 < bytes.len() {
        bytes.swap(place, place + 1);
    }
    bytes.into_iter().map(char::from).collect()
}

/// `text` and its checksum, written down a second time here.
fn made_of(text: &str) -> String {
    let mut number = crc32c::crc32c(text.as_bytes());
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[usize::try_from(number % 62).unwrap_or_default()];
        number /= 62;
    }
    format!("{text}{}", String::from_utf8_lossy(&digits))
}
