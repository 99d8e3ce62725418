use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::key::{SigningKey, VerifyingKey};

/// The keys that are in use: one signs, all verify.
#[derive(Clone)]
pub(crate) struct KeyRing {
    pub(crate) signs: SigningKey,
    pub(crate) verify: Vec<(String, VerifyingKey)>,
}

/// What others need to verify our tokens (RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Jwks {
    /// All keys that may have signed a token that is still good, and the next one.
    pub keys: Vec<Jwk>,
}

/// One key (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Jwk {
    /// Its id.
    pub kid: String,
    /// `OKP`.
    pub kty: &'static str,
    /// `Ed25519`.
    pub crv: &'static str,
    /// `EdDSA`.
    pub alg: &'static str,
    /// `sig`.
    pub r#use: &'static str,
    /// The public half in URL-safe base 64.
    pub x: String,
}

impl KeyRing {
    pub(crate) fn find(&self, kid: &str) -> Option<&VerifyingKey> {
        self.verify.iter().find(|(of, _)| of == kid).map(|(_, key)| key)
    }

    pub(crate) fn jwks(&self) -> Jwks {
        let jwk = |(kid, key): &(String, VerifyingKey)| Jwk {
            kid: kid.clone(),
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            r#use: "sig",
            x: URL_SAFE_NO_PAD.encode(key.public()),
        };
        Jwks { keys: self.verify.iter().map(jwk).collect() }
    }
}
