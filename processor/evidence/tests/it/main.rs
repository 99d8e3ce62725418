//! The crate as its callers see it, and the second verifier, in Python.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

mod made;
mod trees;
mod packs;
mod tampers;
mod rows;
mod proofs;
mod vectors;
mod python;
