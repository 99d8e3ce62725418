//! What the database must give back but may not know: sealed with AES-256-GCM under a key from the environment.
//!
//! The place where the sealed bytes stand is part of what is authenticated, so they open nowhere else.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use data_encoding::HEXLOWER_PERMISSIVE;
use service::config::Secret;
use sha2::{Digest, Sha256};

/// A key that seals and opens.
pub struct SealKey(RandomizedNonceKey);

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("it is 64 hexadecimal digits: make one with `openssl rand -hex 32`")]
pub struct SealKeyError;

/// What was sealed under another key, for another place, or was changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("sealed bytes of {0} do not open: WEIR_ACCOUNTS_KEY is not the key that they were sealed with")]
pub struct NotOpened(String);

impl SealKey {
    /// The key that the setting holds.
    ///
    /// # Errors
    /// [`SealKeyError`].
    pub fn read(setting: &Secret) -> Result<Self, SealKeyError> {
        let bytes = HEXLOWER_PERMISSIVE.decode(setting.expose().as_bytes()).map_err(|_| SealKeyError)?;
        RandomizedNonceKey::new(&AES_256_GCM, &bytes).map(Self).map_err(|_| SealKeyError)
    }

    /// A key that a setting of another kind stands for: what `purpose` says is sealed with it opens nothing else.
    #[must_use]
    pub fn derived(setting: &Secret, purpose: &str) -> Option<Self> {
        let mut hash = Sha256::new();
        for part in [purpose, setting.expose()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        RandomizedNonceKey::new(&AES_256_GCM, &hash.finalize()).map(Self).ok()
    }

    /// Seals `plain` for `place`, as in `signing_key 7f3a`. The nonce, which is random, stands before the rest.
    pub(crate) fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, NotOpened> {
        let mut bytes = plain.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut bytes);
        let nonce = nonce.map_err(|_| NotOpened(place.to_owned()))?;
        Ok([nonce.as_ref().as_slice(), &bytes].concat())
    }

    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, NotOpened> {
        let fail = || NotOpened(place.to_owned());
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or_else(fail)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| fail())?;
        let mut bytes = rest.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(place.as_bytes()), &mut bytes);
        opened.map(|plain| plain.to_vec()).map_err(|_| fail())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_key_and_in_its_place_alone() {
        let key = |digit: &str| SealKey::read(&Secret::from(digit.repeat(64).as_str())).unwrap();
        let sealed = key("a").seal("here", b"secret").unwrap();
        assert_eq!(key("a").open("here", &sealed).unwrap(), b"secret");
        assert!(key("b").open("here", &sealed).is_err());
        assert!(key("a").open("there", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key("a").open("here", &changed).is_err(), "{at}");
            assert!(key("a").open("here", &sealed[..at]).is_err(), "{at}");
        }
        assert_ne!(sealed, key("a").seal("here", b"secret").unwrap(), "a nonce is used once");
    }

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        for text in ["", "ab", &"a".repeat(63), &"a".repeat(66), &"g".repeat(64)] {
            assert!(SealKey::read(&Secret::from(text)).is_err(), "{text}");
        }
        assert!(SealKey::read(&Secret::from("aB".repeat(32).as_str())).is_ok());
    }
}
