//! Sign-in through an OpenID provider: a relying party by OpenID Connect Core 1.0, with the code flow and PKCE alone.
//! It knows the provider's HTTP, and neither weir's nor its database.
//!
//! # Path of a sign-in
//! [`Provider::begin`] makes the URL at the provider to which a browser is sent, and a [`Pending`], which the browser
//! brings back sealed in a cookie. The provider sends the browser back with a code. [`Provider::finish`] exchanges the
//! code, verifies the ID token, and says who it is: an [`Identity`]. What that person may do here is for others to
//! decide.
//!
//! # What holds
//! * The token's signature is by a key that the issuer publishes, with an algorithm that fits that key's kind; `none`
//!   and secrets shared with the client are never taken.
//! * `iss`, `aud`, `azp`, `exp`, `iat` and `nonce` are looked at, and an `iss` in the reply (RFC 9207).
//! * A code of another browser is worth nothing: `state` is compared with the cookie, and PKCE's verifier is in it.
//! * Replies of a provider are bounded in bytes and time. No redirect is followed. Nothing but HTTPS is spoken, except
//!   with a provider on this machine.

mod config;
mod error;
mod http;
mod metadata;
mod token;
mod provider;

pub use config::ProviderConfig;
pub use error::OpenIdError;
pub use provider::{Answer, Identity, Pending, Provider};
