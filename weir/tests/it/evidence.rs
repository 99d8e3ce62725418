//! `weir evidence`, on the vectors of its crate: without settings, stores and network.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PUBLIC: &str = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../processor/evidence/vectors").join(name)
}

/// The commands of the page, each with what it prints there.
fn shown() -> Vec<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/evidence.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut shown: Vec<(String, String)> = Vec::new();
    let mut is_shown = false;
    for line in page.lines() {
        if let Some(command) = line.strip_prefix("    $ weir ") {
            shown.push((command.to_owned(), String::new()));
            is_shown = true;
        } else if let (true, Some(printed)) = (is_shown, line.strip_prefix("    ")) {
            shown.last_mut().unwrap().1 += &format!("{printed}\n");
        } else {
            is_shown = false;
        }
    }
    shown
}

#[test]
fn the_page_shows_what_its_commands_print() {
    let (folder, shown) = (tempfile::tempdir().unwrap(), shown());
    for (command, printed) in &shown {
        let (command, into) =
            command.split_once(" > ").map_or((command.as_str(), None), |(a, b)| (a, Some(b)));
        let from = |word: &str| match word {
            "proof.jsonl" => folder.path().join(word),
            _ if word.ends_with(".jsonl") => Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(word),
            _ => PathBuf::from(word),
        };
        let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
        let output = weir.args(command.split_whitespace().map(from)).env_clear().output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        match into {
            Some(into) => std::fs::write(folder.path().join(into), text).unwrap(),
            None => assert_eq!(&text, printed, "{command}"),
        }
    }
    assert_eq!(shown.len(), 3);
}

/// The exit code, and what it prints.
fn run(verb: &str, file: &Path, options: &[&str]) -> (i32, String) {
    let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
    let output = weir.args(["evidence", verb]).arg(file).args(options).env_clear().output().unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), printed)
}

#[test]
fn a_pack_is_verified_by_the_operators_key() {
    let pack = vector("rows.jsonl");
    let (code, printed) = run("verify", &pack, &["--key", PUBLIC, "--tenant", "7"]);
    assert_eq!(code, 0, "{printed}");
    for line in [
        "tenant 7: seals 1 to 4, of which 1 are of late events and 1 of hours outside",
        "hours from 2026-11-30 22:00 UTC to 2026-12-01 00:00 UTC",
        "10 events with quantity 10; 1 were erased, the contents of 1 are not known by a hash",
        "period from 2026-10-31 23:00 UTC: 7 events with quantity 7",
        "signed with key 34750f98bd59fcfc, as expected",
        "everything agrees",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}: {printed}");
    }
    let (code, printed) = run("verify", &pack, &["--json"]);
    let report: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &report["events"], &report["expected_key"]), (0, &10.into(), &false.into()));
    // The next pack continues where the last one ended.
    let first = report["head"].as_str().unwrap();
    let (code, printed) = run("verify", &vector("continued.jsonl"), &["--after", first]);
    assert!(
        code == 1 && printed.contains("REFUSED: line 2, seal 3: the first seal does not continue"),
        "{printed}"
    );
}

#[test]
fn what_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let changed = folder.path().join("pack");
    let text = std::fs::read_to_string(vector("hashes.jsonl")).unwrap();
    let without: Vec<&str> =
        text.lines().enumerate().filter(|(at, _)| *at != 3).map(|(_, line)| line).collect();
    std::fs::write(&changed, without.join("\n") + "\n").unwrap();
    let says = "line 7, seal 1: it has 4 events, and 5 were sealed: events were left out";
    assert_eq!(run("verify", &changed, &[]), (1, format!("REFUSED: {says}\n")));
    assert_eq!(run("prove", &changed, &["--project", "1", "--event-id", "event-0"]).0, 1);
    let (code, printed) = run("verify", &changed, &["--json"]);
    let refused: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &refused["line"], &refused["seal"]), (1, &7.into(), &1.into()));
    let other = "0".repeat(64);
    let (code, printed) = run("verify", &vector("hashes.jsonl"), &["--key", &other]);
    assert!(code == 1 && printed.contains("is not the key that is expected"), "{printed}");
    let (code, printed) = run("verify", &folder.path().join("nothing"), &[]);
    assert!(code == 2 && printed.contains("nothing was proved either way"), "{printed}");
}

#[test]
fn one_event_is_proved_to_be_there_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let proof = folder.path().join("proof");
    for (id, documents, says) in [
        ("event-0", 1, "event event-0 of project 1 is one of the 5 events, and counts 1"),
        ("never sent", 3, "event never sent of project 1 is none of the 5 events"),
    ] {
        let (code, printed) = run("prove", &vector("hashes.jsonl"), &["--project", "1", "--event-id", id]);
        assert_eq!((code, printed.lines().count()), (0, documents), "{printed}");
        std::fs::write(&proof, &printed).unwrap();
        let (code, shown) = run("verify", &proof, &["--key", PUBLIC]);
        assert!(code == 0 && shown.contains(says), "{shown}");
        std::fs::write(&proof, printed.replace("\"index\":", "\"index\":1")).unwrap();
        let (code, shown) = run("verify", &proof, &["--key", PUBLIC]);
        assert!(code == 1 && shown.contains("line 1: the path from the event does not lead to"), "{shown}");
    }
    let (code, printed) = run("verify", &proof, &["--head", &"0".repeat(64)]);
    assert!(code == 2 && printed.contains("--after and --head are for packs"), "{printed}");
}
