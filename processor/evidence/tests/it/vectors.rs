//! What others test their verifiers with: the files in `vectors/`. A change of any byte is another version of the form.

use std::fs;
use std::path::{Path, PathBuf};

use evidence::{Contents, Expected, Leaf, Root, Sought, Tree, prove, verify, verify_proof};
use schemas::id::ProjectId;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::made::{Hours, key, sample};
use crate::proofs::id;
use crate::trees::leaf;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// What is not there yet is written: look at it, and commit it.
fn compare(name: &str, made: &str) {
    let path = folder().join(name);
    if let Ok(committed) = fs::read_to_string(&path) {
        assert!(committed == made, "{name} is another than before: it needs a version of its own");
        return;
    }
    fs::create_dir_all(folder()).unwrap();
    fs::write(&path, made).unwrap();
    panic!("{name} was not there, and has been written");
}

/// Leaves, and the root of their tree.
#[derive(Serialize, Deserialize)]
struct Vector {
    leaves: Vec<Leaf>,
    root: Root,
}

#[test]
fn trees() {
    let mut made = String::new();
    for count in 1..=9 {
        let leaves: Vec<Leaf> =
            (1..=count).map(|n| leaf(n << 120 | n, u64::try_from(n * n).unwrap())).collect();
        let mut tree = Tree::new();
        leaves.iter().for_each(|leaf| tree.push(leaf).unwrap());
        let root = tree.finish().unwrap();
        made += &format!("{}\n", serde_json::to_string(&Vector { leaves, root }).unwrap());
    }
    compare("trees.jsonl", &made);
}

#[test]
fn a_seal() {
    let (hours, _) = sample(Contents::Hashes);
    let (seal, _) = &hours.seals[1];
    let signed = key(1).sign(seal.clone());
    assert!(signed.is_by(&key(1).public()) && !signed.is_by(&key(2).public()));
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let made = json!({
        "seed": hex(&[1; 32]),
        "public": key(1).public(),
        "statement": hex(&seal.statement()),
        "hash": seal.hash(),
        "seal": signed,
    });
    compare("seal.json", &format!("{made:#}\n"));
}

#[test]
fn packs() {
    for (name, contents) in [("hashes.jsonl", Contents::Hashes), ("rows.jsonl", Contents::Rows)] {
        let (hours, header) = sample(contents);
        let pack = hours.pack(&header);
        verify(pack.as_slice(), &Expected::default()).unwrap();
        compare(name, str::from_utf8(&pack).unwrap());
    }
    // One that another continues.
    let (hours, header) = sample(Contents::Hashes);
    let rest = Hours { key: key(1), seals: hours.seals[2..].to_vec() };
    compare("continued.jsonl", str::from_utf8(&rest.pack(&header)).unwrap());
}

#[test]
fn proofs() {
    let (hours, header) = sample(Contents::Hashes);
    let pack = hours.pack(&header);
    for (name, id) in [("present.jsonl", id(2)), ("absent.jsonl", "never sent".to_owned())] {
        let mut made = String::new();
        prove(pack.as_slice(), &Expected::default(), &Sought::of(ProjectId(1), &id), |proof| {
            let line = serde_json::to_string(&proof).unwrap();
            verify_proof(line.as_bytes(), &Expected::default()).unwrap();
            made += &format!("{line}\n");
        })
        .unwrap();
        compare(name, &made);
    }
}
