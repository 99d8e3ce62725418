//! Packs and proofs of evidence, as somebody might send them who would like another figure.
//!
//! The key that signed the vectors of `processor/evidence` is the one that is expected, and nobody here has its secret:
//! whatever is taken must be what those vectors say.

use std::collections::HashMap;
use std::sync::OnceLock;

use evidence::{Expected, Hash, Leaf, PublicKey, Report, Signed, verify, verify_proof};
use serde_json::Value;

const VECTORS: [&str; 2] = [
    include_str!("../../processor/evidence/vectors/hashes.jsonl"),
    include_str!("../../processor/evidence/vectors/rows.jsonl"),
];

/// What was signed: by the hash of a seal its events, none of those that are outside.
type Sealed = HashMap<Hash, Vec<Leaf>>;

/// See the module.
///
/// # Panics
/// Where a promise is broken.
pub fn check(data: &[u8]) {
    let (key, sealed) = signed();
    let expected = Expected { keys: vec![*key], ..Expected::default() };
    if let Ok(proven) = verify_proof(data, &expected) {
        let leaves = &sealed[&proven.seal];
        let is_there = leaves
            .iter()
            .any(|leaf| leaf.project == proven.project && format!("{:032x}", leaf.event.0) == proven.event);
        assert_eq!(proven.is_present, is_there, "{proven:?}");
    }
    if let Ok(report) = verify(data, &expected) {
        of_what_was_signed(&report, sealed);
        let again = Expected { tenant: Some(report.tenant), head: Some(report.head), ..expected };
        assert_eq!(verify(data, &again).ok(), Some(report));
    }
    // Any key is taken, so anything may be said: it is said in bounds.
    if let Ok(report) = verify(data, &Expected::default()) {
        let events: u64 = report.periods.iter().map(|period| period.events).sum();
        assert!(events == report.events && report.outside <= report.seals && !report.expected_key);
    }
}

fn of_what_was_signed(report: &Report, sealed: &Sealed) {
    if report.seals == 0 {
        assert_eq!((report.events, report.quantity, report.head), (0, 0, Hash::NONE));
        return;
    }
    assert!(sealed.contains_key(&report.head), "{report:?}");
    assert!(report.events <= 10 && report.quantity == report.events, "{report:?}");
    assert_eq!(report.last - report.first + 1, report.seals);
}

fn signed() -> &'static (PublicKey, Sealed) {
    static SIGNED: OnceLock<(PublicKey, Sealed)> = OnceLock::new();
    SIGNED.get_or_init(|| {
        let (mut sealed, mut key, mut last) = (Sealed::new(), None, Hash::NONE);
        for line in VECTORS.iter().flat_map(|pack| pack.lines()) {
            let form: Value = serde_json::from_str(line).expect("a vector is JSON");
            let part = |name: &str| form.get(name).cloned();
            if let Some(seal) = part("seal") {
                let seal: Signed = serde_json::from_value(seal).expect("a vector has seals");
                last = seal.seal.hash();
                sealed.insert(last, Vec::new());
            } else if let Some(leaf) = part("leaf") {
                let leaf = serde_json::from_value(leaf).expect("a vector has leaves");
                sealed.entry(last).or_default().push(leaf);
            } else if let Some(keys) = part("keys") {
                let public = keys[0]["public"].clone();
                key = Some(serde_json::from_value(public).expect("a vector names its key"));
            }
        }
        (key.expect("a vector has a header"), sealed)
    })
}
