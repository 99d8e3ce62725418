//! Keys: who signs seals, and how their signatures are verified.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::HEXLOWER_PERMISSIVE;
use sha2::{Digest, Sha256};

use crate::hex::{KeyId, PublicKey, Signature};

/// The seed makes no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the seed makes no Ed25519 key")]
pub struct BadSeed;

/// An Ed25519 key pair. Its [`fmt::Debug`] shows the public key alone.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Of a secret seed of 32 bytes (RFC 8032, section 5.1.5).
    ///
    /// # Errors
    /// If the seed makes no key, which is not known of any.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, BadSeed> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| BadSeed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| BadSeed)?;
        Ok(Self { pair, public: PublicKey(public) })
    }

    /// What is published.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        let signature = self.pair.sign(message);
        bytes.iter_mut().zip(signature.as_ref()).for_each(|(to, from)| *to = *from);
        Signature(bytes)
    }
}

/// A seed as 64 hexadecimal digits.
impl FromStr for SigningKey {
    type Err = BadSeed;

    fn from_str(text: &str) -> Result<Self, BadSeed> {
        let seed = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| BadSeed)?;
        Self::from_seed(&seed.try_into().map_err(|_| BadSeed)?)
    }
}

impl PublicKey {
    /// What seals name this key by.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let digest: [u8; 32] = Sha256::digest(self.0).into();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        KeyId(id)
    }

    pub(crate) fn has_signed(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, &signature.0).is_ok()
    }
}
