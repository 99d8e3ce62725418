//! What is in a row, as one number.

use sha2::{Digest, Sha256};

use crate::id::low_bits;

/// The first 128 bits of the SHA-256 of a row's bytes, as a number whose lowest byte comes first. Nobody can find
/// other contents with the same hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub u128);

impl ContentHash {
    /// Of a row that was written before rows had one.
    pub const NONE: Self = Self(0);

    /// Of a row's bytes.
    #[must_use]
    pub fn of(row: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(row).into();
        let (first, _) = digest.split_at(16);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(first);
        Self(u128::from_le_bytes(bytes))
    }

    /// The low 64 bits, as the signed number that Postgres has for them.
    #[must_use]
    pub fn low_bits(self) -> i64 {
        low_bits(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_beginning_of_sha_256() {
        // FIPS 180-2, appendix B.1: "abc" has ba7816bf 8f01cfea 414140de 5dae2223 b00361a3 ...
        let hash = ContentHash::of(b"abc");
        assert_eq!(hash.0.to_be(), 0xba78_16bf_8f01_cfea_4141_40de_5dae_2223_u128);
        assert_eq!(hash.low_bits().to_be(), 0xba78_16bf_8f01_cfea_u64.cast_signed());
    }
}
