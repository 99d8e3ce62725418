//! Packs that somebody changed: each is refused, and the refusal says what is wrong.

use evidence::{Contents, Expected, verify};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use crate::made::{HOUR, Hours, PERIOD, Said, TENANT, key, sample};

/// What is done to the lines of a pack of hashes, and what its refusal says.
pub(crate) type Tamper = (&'static str, fn(&mut Vec<String>), &'static str);

/// Each works on any pack of hashes whose first two seals have three events and more.
pub(crate) const TAMPERS: [Tamper; 36] = [
    ("a project", |lines| change_project(lines), "make another root than the signed one"),
    ("an event hash", |lines| bump(&mut lines[3], "/leaf/1"), "make another root than the signed one"),
    ("a content hash", |lines| bump(&mut lines[3], "/leaf/2"), "make another root than the signed one"),
    ("a quantity", |lines| bump(&mut lines[3], "/leaf/3"), "were sealed"),
    (
        "a quantity moved to another event",
        |lines| move_quantity(lines),
        "make another root than the signed one",
    ),
    ("an event left out", |lines| drop(lines.remove(3)), "events were left out"),
    ("an event added", add_event, "events were added"),
    ("an event twice", |lines| lines.insert(3, lines[3].clone()), "the event is there twice"),
    ("two events swapped", |lines| lines.swap(2, 3), "the event is not behind the one before it"),
    ("two hours swapped", |lines| swap_hours(lines), "seal 3 is expected here"),
    (
        "an hour left out",
        |lines| drop(lines.drain(seal(lines, 1)..seal(lines, 2))),
        "seal 2 is expected here",
    ),
    ("a seal twice", |lines| lines.insert(seal(lines, 1), lines[1].clone()), "seal 2 is expected here"),
    ("the end cut off", |lines| drop(lines.pop()), "it was cut"),
    ("cut within a line", |lines| lines.last_mut().unwrap().truncate(9), "it was cut"),
    ("only the header left", |lines| lines.truncate(1), "it was cut"),
    ("a line behind the end", |lines| lines.push(lines[1].clone()), "something follows the last line"),
    ("an event before all seals", |lines| lines.swap(1, 2), "an event stands before the first seal"),
    ("an event of an hour outside", add_outside, "an hour that is not the pack's"),
    ("a seal's tenant", |lines| change(lines, 1, "/seal/tenant"), "it is of tenant"),
    ("a seal's number", |lines| change(lines, 1, "/seal/number"), "seal 2 is expected here"),
    ("a seal's hour", |lines| change(lines, 1, "/seal/hour"), "it is not what key"),
    ("a seal's period", |lines| change(lines, 1, "/seal/period"), "it is not what key"),
    ("a seal's events", |lines| change(lines, 1, "/seal/events"), "it is not what key"),
    ("a seal's quantity", |lines| change(lines, 1, "/seal/quantity"), "it is not what key"),
    ("a seal's root", |lines| change(lines, 1, "/seal/root"), "it is not what key"),
    ("a seal's offset", |lines| change(lines, 1, "/seal/offsets/0"), "it is not what key"),
    ("the seal before", |lines| change(lines, 1, "/seal/previous"), "does not continue the seal before it"),
    ("a seal's key", |lines| change(lines, 1, "/seal/key"), "which the pack does not name"),
    ("a signature", |lines| change(lines, 1, "/seal/signature"), "it is not what key"),
    ("the version", |lines| bump(&mut lines[0], "/weir_evidence"), "its form has version 2"),
    ("the tenant", |lines| bump(&mut lines[0], "/tenant"), "it is of tenant"),
    ("the hours", |lines| bump(&mut lines[0], "/from"), "`from` and `to` are not"),
    ("a key's id", |lines| bump(&mut lines[0], "/keys/0/id"), "is another key than the one that has this id"),
    ("a key", |lines| bump(&mut lines[0], "/keys/0/public"), "is another key than the one that has this id"),
    ("what the end counts", |lines| bump(lines.last_mut().unwrap(), "/end/events"), "the last line says"),
    (
        "the last seal",
        |lines| bump(lines.last_mut().unwrap(), "/end/head"),
        "names another seal than the last",
    ),
];

/// The line of the seal that has `before` others before it.
fn seal(lines: &[String], before: usize) -> usize {
    (0..lines.len()).filter(|at| lines[*at].starts_with(r#"{"seal""#)).nth(before).unwrap()
}

fn change(lines: &mut [String], before: usize, pointer: &str) {
    let at = seal(lines, before);
    bump(&mut lines[at], pointer);
}

/// One more, or another last digit.
fn bump(line: &mut String, pointer: &str) {
    let mut form: Value = serde_json::from_str(line).unwrap();
    let value = form.pointer_mut(pointer).unwrap();
    *value = match value.as_str() {
        Some(text) => {
            let last = if text.ends_with('0') { '1' } else { '0' };
            format!("{}{last}", &text[..text.len() - 1]).into()
        }
        None => (value.as_i64().unwrap() + 1).into(),
    };
    *line = form.to_string();
}

/// Of the last event of the first hour, so that the order stays.
fn change_project(lines: &mut [String]) {
    let last = seal(lines, 1) - 1;
    bump(&mut lines[last], "/leaf/0");
}

fn move_quantity(lines: &mut [String]) {
    for (at, quantity) in [(2, 0), (3, 2)] {
        let mut form: Value = serde_json::from_str(&lines[at]).unwrap();
        form["leaf"][3] = quantity.into();
        lines[at] = form.to_string();
    }
}

fn add_event(lines: &mut Vec<String>) {
    let mut added = lines[3].clone();
    bump(&mut added, "/leaf/1");
    let is_behind = added > lines[3];
    lines.insert(if is_behind { 4 } else { 3 }, added);
}

fn swap_hours(lines: &mut [String]) {
    let (first, second, third) = (seal(lines, 0), seal(lines, 1), seal(lines, 2));
    lines[first..third].rotate_left(second - first);
}

fn add_outside(lines: &mut Vec<String>) {
    let last = lines.len() - 1;
    lines.insert(last, lines[2].clone());
}

pub(crate) fn lines(pack: &[u8]) -> Vec<String> {
    str::from_utf8(pack).unwrap().lines().map(|line| format!("{line}\n")).collect()
}

/// A line that was changed has no end any more.
pub(crate) fn joined(lines: &[String]) -> String {
    let last = lines.len() - 1;
    let end = |(at, line): (usize, &String)| match line.ends_with(['\n', '}']) {
        true => format!("{}\n", line.trim_end()),
        false if at == last => line.clone(),
        false => panic!("line {at} has no end"),
    };
    lines.iter().enumerate().map(end).collect()
}

pub(crate) fn expected() -> Expected {
    Expected { keys: vec![key(1).public()], ..Expected::default() }
}

#[test]
fn what_was_changed_is_refused_and_named() {
    let (hours, header) = sample(Contents::Hashes);
    let pack = lines(&hours.pack(&header));
    verify(joined(&pack).as_bytes(), &expected()).unwrap();
    for (name, tamper, says) in TAMPERS {
        let mut changed = pack.clone();
        tamper(&mut changed);
        let refused = verify(joined(&changed).as_bytes(), &expected()).expect_err(name).to_string();
        assert!(refused.contains(says), "{name}: {refused}");
    }
}

#[test]
fn a_refusal_names_line_and_seal() {
    let (hours, header) = sample(Contents::Hashes);
    let pack = lines(&hours.pack(&header));
    for (change, place) in [
        ((|lines| drop(lines.remove(9))) as fn(&mut Vec<String>), "line 11, seal 2: it has 2 events, and 3"),
        (|lines| lines[0].insert(0, '!'), "line 1: it is not what can stand here: "),
        (|lines| lines[4].insert(0, '!'), "line 5, seal 1: it is not what can stand here: "),
        (|lines| lines[7] = "{}\n".to_owned(), "line 8, seal 1: it is not what can stand here: "),
    ] {
        let mut changed = pack.clone();
        change(&mut changed);
        let refused = verify(changed.concat().as_bytes(), &expected()).unwrap_err().to_string();
        assert!(refused.starts_with(place), "{refused}");
    }
}

#[test]
fn another_key_is_refused_where_one_is_expected() {
    for contents in [Contents::Rows, Contents::Hashes] {
        let (mut hours, header) = sample(contents);
        hours.key = key(2);
        let pack = hours.pack(&evidence::Header { keys: vec![key(1).public(), key(2).public()], ..header });
        let refused = verify(pack.as_slice(), &expected()).unwrap_err().to_string();
        assert!(refused.contains("which is not the key that is expected"), "{refused}");
        // Without an expected key anybody can have made it, and the report says that.
        assert!(!verify(pack.as_slice(), &Expected::default()).unwrap().expected_key);
    }
}

#[test]
fn the_late_events_of_an_hour_begin_where_the_seal_before_ended() {
    let mut hours = Hours::new(1);
    let event = |n| vec![Said::nth(n, HOUR, PERIOD).event_in(Contents::Hashes)];
    hours.seal(HOUR, PERIOD, event(0), &[3, 3]);
    hours.seal(HOUR, PERIOD, event(1), &[4, 2]);
    let header = hours.header(Contents::Hashes, HOUR, HOUR + 3_600);
    let refused = verify(hours.pack(&header).as_slice(), &expected()).unwrap_err();
    assert!(refused.to_string().starts_with("line 4, seal 2: it ends before the seal"), "{refused}");
}

#[test]
fn no_byte_can_be_changed() {
    for contents in [Contents::Rows, Contents::Hashes] {
        let (hours, header) = sample(contents);
        let pack = hours.pack(&header);
        let expected = Expected {
            tenant: Some(TENANT),
            after: Some(evidence::Hash::NONE),
            head: Some(hours.head()),
            ..expected()
        };
        let report = verify(pack.as_slice(), &expected).unwrap();
        for at in 0..pack.len() {
            for changed in [pack[at] ^ 1, b'9', b' '] {
                let mut other = pack.clone();
                other[at] = changed;
                if other == pack {
                    continue;
                }
                if let Ok(read) = verify(other.as_slice(), &expected) {
                    // White space between members, which packs do not have, would say nothing else; nor do hours that
                    // hold the same seals.
                    assert!(read == report && at < 60, "byte {at} of {}", pack.len());
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..300)) {
        verify(bytes.as_slice(), &Expected::default()).unwrap_err();
    }

    #[test]
    fn no_change_of_a_pack_makes_it_panic(
        is_of_rows: bool,
        changes in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..5, any::<u8>()), 1..6),
    ) {
        let (hours, header) = sample(if is_of_rows { Contents::Rows } else { Contents::Hashes });
        let pack = hours.pack(&header);
        let mut changed = pack.clone();
        for (from, to, how, byte) in changes {
            if changed.is_empty() {
                break;
            }
            let (from, to) = (from.index(changed.len()), to.index(changed.len()));
            match how {
                0 => changed[from] = byte,
                1 => changed.truncate(from),
                2 => drop(changed.drain(from.min(to)..from.max(to))),
                3 => changed.insert(from, b"0123456789abcdef\"{}[]:,\n"[usize::from(byte) % 24]),
                _ => {
                    let copied = changed[from.min(to)..from.max(to)].to_vec();
                    changed.splice(from..from, copied);
                }
            }
        }
        if let Ok(report) = verify(changed.as_slice(), &expected()) {
            prop_assert_eq!(report.head, hours.head());
        }
    }
}
