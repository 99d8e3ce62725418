//! The committed corpora, without libFuzzer: what once broke a promise, or reaches code that nothing else reaches.
//!
//! Of each target there is a folder of inputs whose names say what they are, and an archive of what libFuzzer has
//! found: each input its length (four bytes, the lowest first), then its bytes. `dev/fuzzing.py` writes it.

use std::path::{Path, PathBuf};

use weir_fuzz::TARGETS;

#[test]
fn every_input_of_the_corpora_keeps_the_promises() {
    for (target, check) in TARGETS {
        let mut inputs = 0;
        for path in seeds(target) {
            // Shown only where one fails: the last is the one.
            println!("{}", path.display());
            check(&std::fs::read(&path).unwrap());
            inputs += 1;
        }
        let archive = std::fs::read(corpus().join(format!("{target}.inputs"))).unwrap();
        let mut left = archive.as_slice();
        while let Some((length, rest)) = left.split_first_chunk() {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap();
            let (input, rest) = rest.split_at(length);
            println!("{target}.inputs, at byte {}: {}", archive.len() - left.len(), input.escape_ascii());
            check(input);
            inputs += 1;
            left = rest;
        }
        assert!(left.is_empty(), "{target}.inputs ends in the middle of a length");
        assert!(inputs >= 10, "{target} has {inputs} inputs");
    }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The inputs with names; a target may have none.
fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = corpus().join(target);
    if !folder.is_dir() {
        return Vec::new();
    }
    folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
}
