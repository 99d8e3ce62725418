//! Passkeys: what a browser is asked for, and whether what it sends is good (Web Authentication, Level 3). No I/O.
//!
//! # Path of a passkey
//! [`RelyingParty::creation_options`] go to the browser, whose authenticator makes a key pair.
//! [`RelyingParty::register`] looks at what comes back (section 7.1) and gives the public key, which is stored. Later
//! [`RelyingParty::request_options`] go to the browser, and [`RelyingParty::authenticate`] verifies the signature
//! (section 7.2).
//!
//! # What holds
//! * A signature counts for one challenge, for this origin and this relying party, and for nothing else.
//! * No attestation is asked for, and none is judged: who makes people's authenticators is their affair
//!   (docs/adr/0031).
//! * What comes from a browser is read with bounds. No input panics, recurses without a limit, or makes this crate
//!   allocate more than a small multiple of its own size.
//! * That a challenge is used once, and that a counter goes on, is the caller's to hold: this crate stores nothing.

mod bytes;
mod cbor;
mod cose;
mod client_data;
mod authenticator_data;
mod forms;
mod party;

pub use authenticator_data::UserVerification;
pub use bytes::Base64Url;
pub use forms::{
    Assertion, AssertionResponse, AttestationResponse, CreationOptions, Descriptor, NewCredential,
    RequestOptions,
};
pub use party::{Authenticated, Registered, RelyingParty, StoredKey, User};

/// Why what a browser sent is not taken. For the log alone: who sends it learns nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It is not what an authenticator makes.
    #[error("it can't be read: {0}")]
    Malformed(&'static str),
    /// It was made for a registration and shown for a sign-in, or the other way round.
    #[error("it was made for something else")]
    Type,
    /// It answers another challenge.
    #[error("it answers another challenge")]
    Challenge,
    /// It was made on a page of another origin, or within a page of one.
    #[error("it was made on a page of another origin")]
    Origin,
    /// It was made for another relying party.
    #[error("it was made for another relying party")]
    Party,
    /// Nobody touched the authenticator.
    #[error("nobody was present")]
    NotPresent,
    /// The authenticator did not find out who touched it, where that is asked for.
    #[error("the authenticator did not verify who was present")]
    NotVerified,
    /// The key is of a kind that was not asked for, or is no key.
    #[error("the key is of no kind that was asked for")]
    Key,
    /// The signature is another key's, or of something else.
    #[error("the signature is wrong")]
    Signature,
    /// The authenticator's counter did not go on: there may be a copy of it.
    #[error("the authenticator's counter went back")]
    Counter,
}
