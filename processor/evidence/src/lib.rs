//! Sealed hours: what a tenant's closed hour holds, as one signed hash, so that both sides can prove offline what was
//! counted. No store, no network, no clock.
//!
//! # Path of an event
//! An event that is stored becomes a [`Leaf`]: its project, the hash of its id, the hash of its contents and the
//! quantity that it counts for. The leaves of a tenant's hour, in their order, are the leaves of a Merkle sum [`Tree`].
//! Its [`Root`] stands in a [`Seal`], which a [`SigningKey`] signs; each seal names the one before. A [`Writer`] writes
//! seals and leaves as a pack, a file that [`verify`] checks. [`prove`] makes of a pack the [`Proof`] that one event is
//! in a sealed hour, or that it is not, and [`verify_proof`] checks that. A [`Receipt`] is signed before all that, when
//! events are accepted.
//!
//! # What holds
//! * *Each byte that is hashed or signed is on the page* `docs/evidence.md`, so that others can write a verifier.
//! * *Memory is bounded*: a tree of n leaves takes O(log n), a pack or proof the same, whatever is in it.
//! * *What is verified may come from anybody*: no bytes make this crate panic, or take more than a line's length and a
//!   fixed amount of memory.
//! * *A refusal says where and what*: [`Refused`] names the line, the seal, and what is wrong with it.
//! * Nothing here says whose a key is. Who verifies gets the public key from the operator, and not out of the pack.

mod hex;
mod leaf;
mod tree;
mod seal;
mod key;
mod signed;
mod receipt;
mod pack;
mod refused;
mod lines;
mod write;
mod row;
mod late;
mod report;
mod check;
mod verify;
mod path;
mod proof;
mod prover;
mod prove;

pub use check::Expected;
pub use hex::{Hash, KeyId, NotHex, PublicKey, Signature};
pub use key::{BadSeed, SigningKey};
pub use leaf::Leaf;
pub use pack::{Contents, Header, LINE_BYTES_MAX, ROW_BYTES_MAX};
pub use path::Place;
pub use proof::{Found, Proof, Proven, Sought, verify_proof};
pub use prove::prove;
pub use prover::Prover;
pub use receipt::{NoReceipt, Receipt, SignedReceipt};
pub use refused::{Refused, Why};
pub use report::{Period, Report, Signer, Span};
pub use seal::Seal;
pub use signed::Signed;
pub use tree::{NotPushed, Root, Tree};
pub use verify::verify;
pub use write::{Body, NotWritten, Writer};
