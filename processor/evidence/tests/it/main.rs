//! The crate as its callers see it, and the second verifier, in Python.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is wrong")]

mod made;
mod trees;
mod packs;
