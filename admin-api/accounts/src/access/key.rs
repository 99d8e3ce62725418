use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::HEXLOWER;
use jsonwebtoken::{DecodingKey, EncodingKey};
use sha2::{Digest, Sha256};

/// A key that signs. Its private half is never printed.
#[derive(Clone)]
pub(crate) struct SigningKey {
    kid: String,
    encoding: EncodingKey,
}

/// A key that verifies.
#[derive(Clone)]
pub(crate) struct VerifyingKey {
    public: Vec<u8>,
    decoding: DecodingKey,
}

/// A key that was just made.
pub(crate) struct MadeKey {
    pub(crate) kid: String,
    pub(crate) public: Vec<u8>,
    /// PKCS#8, to be sealed.
    pub(crate) private: Vec<u8>,
}

/// The system's randomness failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no key could be made")]
pub(crate) struct NotMade;

impl MadeKey {
    /// A new key. Its id is the beginning of its public half's SHA-256.
    pub(crate) fn make() -> Result<Self, NotMade> {
        let pair = Ed25519KeyPair::generate().map_err(|_| NotMade)?;
        let private = pair.to_pkcs8().map_err(|_| NotMade)?.as_ref().to_vec();
        let public = pair.public_key().as_ref().to_vec();
        let kid = HEXLOWER.encode(&Sha256::digest(&public)[..8]);
        Ok(Self { kid, public, private })
    }
}

impl SigningKey {
    pub(crate) fn new(kid: String, pkcs8: &[u8]) -> Self {
        Self { kid, encoding: EncodingKey::from_ed_der(pkcs8) }
    }

    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }
}

impl VerifyingKey {
    pub(crate) fn new(public: Vec<u8>) -> Self {
        let decoding = DecodingKey::from_ed_der(&public);
        Self { public, decoding }
    }

    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}
