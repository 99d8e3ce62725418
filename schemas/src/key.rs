//! API keys: `wk_live_<id>_<secret><checksum>`.
//!
//! The prefix lets scanners find leaked keys, the id is public, the secret has 256 bits, and the checksum lets a
//! typo fail before any look-up. weir stores the SHA-256 of the whole key: the secret is random, so a slow
//! password hash would add nothing.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::id::{KeyId, base62, random_base62};

const PREFIX: &str = "wk_live_";
const ID_LEN: usize = 10;
/// 43 base-62 digits hold 256.03 bits.
const SECRET_LEN: usize = 43;
/// Six base-62 digits hold any 32-bit checksum.
const CHECKSUM_LEN: usize = 6;
const SECRET_AT: usize = PREFIX.len() + ID_LEN + 1;
const CHECKSUM_AT: usize = SECRET_AT + SECRET_LEN;
const KEY_LEN: usize = CHECKSUM_AT + CHECKSUM_LEN;

/// A whole key, secret and all: shown once, when it is made. Never printed by `Debug`.
pub struct ApiKey(String);

/// What a presented key is looked up and compared by.
#[derive(Clone, Copy)]
pub struct PresentedKey {
    /// The public part.
    pub id: KeyId,
    /// The hash to compare with the stored one.
    pub hash: KeyHash,
}

/// SHA-256 of a whole key. Compared in constant time.
#[derive(Clone, Copy)]
pub struct KeyHash(pub [u8; 32]);

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.words().ct_eq(&other.words()).into()
    }
}

impl KeyHash {
    /// Four comparisons cost less than thirty-two.
    fn words(&self) -> [u64; 4] {
        let (words, _) = self.0.as_chunks::<8>();
        std::array::from_fn(|place| words.get(place).map_or(0, |word| u64::from_le_bytes(*word)))
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// The text is not a key that weir could have issued.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// Another shape than `wk_live_<id>_<secret>`.
    #[error("a key has the form wk_live_<10 letters and digits>_<49 letters and digits>")]
    Shape,
    /// The right shape, but a letter is wrong or missing.
    #[error("the key's checksum does not match: a letter is wrong, copy the key again")]
    Checksum,
}

impl ApiKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        let mut text = format!("{PREFIX}{}_{}", random_base62(ID_LEN), random_base62(SECRET_LEN));
        text.push_str(&checksum(&text));
        Self(text)
    }

    /// The key's text: for the one reply that shows it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

impl PresentedKey {
    /// Reads what a client presents.
    ///
    /// # Errors
    /// [`KeyError::Shape`] or [`KeyError::Checksum`]; both before anything is looked up.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.len() != KEY_LEN || !text.is_ascii() || !text.starts_with(PREFIX) {
            return Err(KeyError::Shape);
        }
        if text.as_bytes()[SECRET_AT - 1] != b'_'
            || !text[SECRET_AT..].bytes().all(|b| b.is_ascii_alphanumeric())
        {
            return Err(KeyError::Shape);
        }
        let id = text[PREFIX.len()..SECRET_AT - 1].parse().map_err(|_| KeyError::Shape)?;
        if checksum(&text[..CHECKSUM_AT]) != text[CHECKSUM_AT..] {
            return Err(KeyError::Checksum);
        }
        Ok(Self { id, hash: KeyHash(Sha256::digest(text.as_bytes()).into()) })
    }
}

fn checksum(text: &str) -> String {
    base62(u64::from(crc32c::crc32c(text.as_bytes())), CHECKSUM_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_parses_to_its_own_id_and_hash() {
        let key = ApiKey::generate();
        let parsed = PresentedKey::parse(key.expose()).unwrap();
        assert_eq!(key.expose().len(), KEY_LEN);
        assert_eq!(parsed.id.to_string(), key.expose()[8..18]);
        assert_eq!(parsed.hash.0, <[u8; 32]>::from(Sha256::digest(key.expose())));
    }

    #[test]
    fn a_typo_anywhere_never_reaches_a_look_up() {
        let key = ApiKey::generate();
        for at in 0..KEY_LEN {
            let mut bytes = key.expose().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            let typo = String::from_utf8(bytes).unwrap();
            assert!(PresentedKey::parse(&typo).is_err(), "{typo}");
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let key = ApiKey::generate();
        for text in
            ["", "wk_live_", &key.expose()[1..], &format!("{}0", key.expose()), "é".repeat(34).as_str()]
        {
            assert_eq!(PresentedKey::parse(text).err(), Some(KeyError::Shape), "{text}");
        }
    }

    #[test]
    fn a_hash_is_equal_to_itself_alone() {
        let hash = KeyHash(std::array::from_fn(|byte| u8::try_from(byte).unwrap()));
        assert_eq!(hash, hash);
        for byte in 0..32 {
            let mut other = hash;
            other.0[byte] ^= 1;
            assert_ne!(hash, other, "{byte}");
        }
    }

    #[test]
    fn a_key_does_not_print_its_secret() {
        assert_eq!(format!("{:?}", ApiKey::generate()), "ApiKey(..)");
    }
}
