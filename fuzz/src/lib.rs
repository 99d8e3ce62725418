//! What the fuzz targets check: each takes any bytes, and panics where a promise of `decode`, `ingest`, `schemas` or
//! `evidence` is broken.
//!
//! A target is more than "it does not panic": what the parser says is held against another reader (`serde_json`,
//! `chrono`), against what was written, and against the limits. The binaries in `fuzz_targets/` hand these functions
//! to libFuzzer; `tests/corpus.rs` hands them the committed corpora, which needs no C++ compiler.

#![forbid(unsafe_code)]

pub mod body;
pub mod decompressor;
pub mod frame;
pub mod key;
pub mod header;
pub mod evidence;

/// What a target does with one input.
pub type Check = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Check); 6] = [
    ("body", body::check),
    ("decompressor", decompressor::check),
    ("frame", frame::check),
    ("key", key::check),
    ("header", header::check),
    ("evidence", evidence::check),
];
