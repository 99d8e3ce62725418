//! What a row says is held against its event and its seal, though its hash is right: the signer itself is checked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use evidence::{Contents, Expected, verify};
use schemas::content::ContentHash;

use crate::made::{HOUR, Hours, PERIOD, Said, With, sample};
use crate::tampers::{expected, joined, lines};

fn refusal(pack: &[u8]) -> String {
    verify(pack, &expected()).expect_err("it was taken").to_string()
}

/// A pack of one event whose row says `said`, after an hour was sealed up to offsets 1 and 1 before.
fn pack(said: &Said, change: impl FnOnce(&mut crate::made::Event)) -> Vec<u8> {
    let mut hours = Hours::new(1);
    hours.seal(HOUR, PERIOD, vec![Said::nth(0, HOUR, PERIOD).event_in(Contents::Rows)], &[1, 1]);
    let mut event = said.event_in(Contents::Rows);
    change(&mut event);
    hours.seal(HOUR, PERIOD, vec![event], &[9, 9]);
    hours.pack(&hours.header(Contents::Rows, HOUR, HOUR + 3_600))
}

#[test]
fn a_row_is_that_of_its_event_and_of_its_hour() {
    let right = Said::nth(5, HOUR, PERIOD);
    verify(pack(&right, |_| ()).as_slice(), &expected()).unwrap();
    type Change = fn(&mut Said);
    let wrong: [(Change, &str); 8] = [
        (|said| said.tenant = 8, "tenant"),
        (|said| said.hash = Some(5), "event id"),
        (|said| said.received_at = HOUR * 1_000_000 - 1, "receipt"),
        (|said| said.received_at = (HOUR + 3_600) * 1_000_000, "receipt"),
        (|said| said.period += 1, "billing period"),
        (|said| said.partition = 2, "position in the log"),
        (|said| said.offset = 9, "position in the log"),
        // It stands where the seal before of this hour has its events.
        (|said| said.offset = 0, "position in the log"),
    ];
    for (change, what) in wrong {
        let mut said = right.clone();
        change(&mut said);
        assert!(refusal(&pack(&said, |_| ())).contains(&format!("the row's {what} is not")), "{what}");
    }
    assert!(refusal(&pack(&right, |event| event.leaf.project.0 += 1)).contains("the row's project"));
    assert!(refusal(&pack(&right, |event| event.leaf.event.0 += 1)).contains("the row's event hash"));
}

#[test]
fn bytes_that_are_no_row_are_refused() {
    let right = Said::nth(5, HOUR, PERIOD);
    let row = right.row();
    for end in [0, 15, 30, 80, row.len() - 60] {
        let short = row[..end].to_vec();
        let packed = pack(&right, |event| {
            event.leaf.contents = ContentHash::of(&short);
            event.row = With::Row(short);
        });
        assert!(refusal(&packed).contains("not one of a stored event"), "{end}");
    }
    // A text whose length is beyond all lengths.
    let mut long = row;
    long[16..22].fill(0xff);
    let packed = pack(&right, |event| {
        event.leaf.contents = ContentHash::of(&long);
        event.row = With::Row(long);
    });
    assert!(refusal(&packed).contains("not one of a stored event"));
}

#[test]
fn each_event_has_its_row_unless_it_was_erased_or_has_no_hash() {
    let (hours, header) = sample(Contents::Rows);
    let pack = lines(&hours.pack(&header));
    let at = (0..pack.len()).find(|at| pack[*at].contains("\"row\"")).unwrap();
    let (leaf, row) = pack[at].split_once(",\"row\":\"").unwrap();
    let row = row.trim_end().trim_end_matches("\"}");
    let with = |line: String| {
        let mut changed = pack.clone();
        changed[at] = line;
        joined(&changed)
    };
    let mut other = STANDARD.decode(row).unwrap();
    other[70] ^= 1;
    for (line, says) in [
        (format!("{leaf}}}\n"), "the event has no row"),
        (format!("{leaf},\"row\":\"{row}\",\"erased\":true}}\n"), "have no rows"),
        (format!("{leaf},\"erased\":false}}\n"), "have no rows"),
        (format!("{leaf},\"row\":\"{row}A\"}}\n"), "not in base64"),
        (
            format!("{leaf},\"row\":\"{}\"}}\n", STANDARD.encode(other)),
            "the row is not the one that was sealed",
        ),
    ] {
        let refused = refusal(with(line).as_bytes());
        assert!(refused.contains(says), "{refused}");
    }
    // Erased events are counted: who sees one that nobody asked to be erased can ask why.
    let erased = with(format!("{leaf},\"erased\":true}}\n"));
    assert_eq!(verify(erased.as_bytes(), &Expected::default()).unwrap().erased, 2);

    let mut hashes = lines(&hours.pack(&evidence::Header { contents: Contents::Rows, ..header }));
    hashes[0] = hashes[0].replace("rows", "hashes");
    assert!(refusal(joined(&hashes).as_bytes()).contains("a pack of hashes"));
}
