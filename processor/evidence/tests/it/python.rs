//! The second verifier, `dev/verify_evidence.py`: it takes what this crate writes, and refuses what this crate refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use evidence::{Contents, Expected, verify};
use serde_json::Value;

use crate::made::{HOUR, Hours, PERIOD, Said, key, sample};
use crate::tampers::{TAMPERS, expected, joined, lines};
use crate::vectors::folder;

/// Runs it: whether it takes the file, and what it prints.
fn run(file: &Path, options: &[&str]) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/verify_evidence.py");
    let public = key(1).public().to_string();
    // Not isolated from its own folder, which has the files that it imports; from everything else.
    let mut python = Command::new("python3");
    python.args(["-s", "-E", "-B"]).arg(script).arg(file).args(["--key", &public]).args(options);
    let output = python.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.stderr.is_empty(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), printed)
}

struct Files(tempfile::TempDir);

impl Files {
    fn write(&self, pack: &[u8]) -> PathBuf {
        let path = self.0.path().join("pack");
        fs::write(&path, pack).unwrap();
        path
    }
}

fn files() -> Files {
    Files(tempfile::tempdir().unwrap())
}

/// Both verifiers count the same.
fn compare(pack: &[u8], printed: &str) {
    let report = verify(pack, &expected()).unwrap();
    let python: Value = serde_json::from_str(printed).unwrap();
    let rust = serde_json::to_value(&report).unwrap();
    for name in ["tenant", "seals", "outside", "late", "events", "quantity", "erased", "unhashed", "head"] {
        assert_eq!(python[name], rust[name], "{name}");
    }
    for period in &report.periods {
        assert_eq!(python["periods"][period.start.to_string()], period.quantity);
    }
}

#[test]
fn it_takes_the_vectors() {
    for name in ["hashes.jsonl", "rows.jsonl", "continued.jsonl"] {
        let (is_taken, printed) = run(&folder().join(name), &["--tenant", "7"]);
        assert!(is_taken, "{name}: {printed}");
        compare(&fs::read(folder().join(name)).unwrap(), &printed);
    }
    for (name, there) in [("present.jsonl", 1), ("absent.jsonl", 0)] {
        let (is_taken, printed) = run(&folder().join(name), &[]);
        assert!(is_taken, "{name}: {printed}");
        assert_eq!((printed.lines().count(), printed.matches("\"is_present\": true").count()), (3, there));
    }
    let (hours, _) = sample(Contents::Rows);
    let head = hours.head().to_string();
    for (options, says) in [
        (["--head", head.as_str()], None),
        (["--after", head.as_str()], Some("the first seal does not continue the one that is expected")),
        (["--head", &"0".repeat(64)], Some("the last seal is not the one that is expected")),
        (["--tenant", "8"], Some("it is of tenant 7")),
    ] {
        let (is_taken, printed) = run(&folder().join("rows.jsonl"), &options);
        assert_eq!(is_taken, says.is_none(), "{printed}");
        assert!(printed.contains(says.unwrap_or_default()), "{printed}");
    }
}

#[test]
fn it_refuses_what_was_changed_and_names_it() {
    let files = files();
    let (hours, header) = sample(Contents::Hashes);
    let pack = lines(&hours.pack(&header));
    for (name, tamper, says) in TAMPERS {
        let mut changed = pack.clone();
        tamper(&mut changed);
        let (is_taken, printed) = run(&files.write(joined(&changed).as_bytes()), &[]);
        assert!(!is_taken && printed.contains(says), "{name}: {printed}");
    }
}

#[test]
fn it_refuses_proofs_of_which_any_digit_was_changed() {
    let files = files();
    for name in ["present.jsonl", "absent.jsonl"] {
        let text = fs::read_to_string(folder().join(name)).unwrap();
        let proof = text.lines().next().unwrap();
        // Some: a run takes a tenth of a second.
        for at in (0..proof.len()).filter(|at| proof.as_bytes()[*at].is_ascii_digit()).step_by(37) {
            let digit = if &proof[at..=at] == "9" { "8" } else { "9" };
            let changed = format!("{}{digit}{}\n", &proof[..at], &proof[at + 1..]);
            let (is_taken, printed) = run(&files.write(changed.as_bytes()), &[]);
            assert!(!is_taken, "{name}, byte {at}: {printed}");
            assert!(evidence::verify_proof(changed.as_bytes(), &expected()).is_err());
        }
    }
}

/// Two hours of 50,000 events each, and one that is late.
fn large(contents: Contents, seed: u8) -> Vec<u8> {
    let mut hours = Hours::new(seed);
    let next = HOUR + 3_600;
    let events = |range: std::ops::Range<u64>, hour| {
        range.map(|n| Said::nth(n, hour, PERIOD).event_in(contents)).collect::<Vec<_>>()
    };
    hours.seal(HOUR, PERIOD, events(0..50_000, HOUR), &[25_000, 25_000]);
    hours.seal(next, PERIOD, events(50_000..99_990, next), &[50_000, 50_000]);
    hours.seal(HOUR, PERIOD, events(99_990..100_000, HOUR), &[50_000, 50_000]);
    hours.pack(&hours.header(contents, HOUR, next + 3_600))
}

#[test]
fn a_pack_of_100_000_events_is_verified_by_both() {
    let files = files();
    let rows = large(Contents::Rows, 1);
    let started = Instant::now();
    assert_eq!(verify(rows.as_slice(), &expected()).unwrap().events, 100_000);
    let took = started.elapsed();
    let (is_taken, printed) = run(&files.write(&rows), &[]);
    assert!(is_taken, "{printed}");
    compare(&rows, &printed);
    let python = started.elapsed().checked_sub(took).unwrap_or(Duration::ZERO);
    println!("{} bytes with rows: this crate {took:?}, Python {python:?}", rows.len());
}

#[test]
fn a_pack_of_100_000_events_that_was_changed_is_refused_by_both() {
    let files = files();
    let pack = lines(&large(Contents::Hashes, 1));
    let asked = ["a content hash", "an event left out", "an event added", "two hours swapped"];
    for (name, tamper, says) in TAMPERS.into_iter().filter(|(name, ..)| asked.contains(name)) {
        let mut changed = pack.clone();
        tamper(&mut changed);
        let changed = joined(&changed);
        let refused = verify(changed.as_bytes(), &expected()).expect_err(name).to_string();
        assert!(refused.contains(says), "{name}: {refused}");
        let (is_taken, printed) = run(&files.write(changed.as_bytes()), &[]);
        assert!(!is_taken && printed.contains(says), "{name}: {printed}");
    }
    let other = large(Contents::Hashes, 2);
    let says = "which is not the key that is expected";
    assert!(verify(other.as_slice(), &expected()).unwrap_err().to_string().contains(says));
    assert!(verify(other.as_slice(), &Expected::default()).is_ok());
    let (is_taken, printed) = run(&files.write(&other), &[]);
    assert!(!is_taken && printed.contains(says), "{printed}");
}
