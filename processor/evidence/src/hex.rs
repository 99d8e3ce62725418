//! Bytes that stand in packs as hexadecimal digits in small letters: each has one form and no other.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text was not what it had to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not {digits} hexadecimal digits in small letters")]
pub struct NotHex {
    digits: usize,
}

macro_rules! hex_bytes {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, std::hash::Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = NotHex;

            fn from_str(text: &str) -> Result<Self, NotHex> {
                let mut bytes = [0; $bytes];
                decode(text, &mut bytes)?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(FromText(PhantomData))
            }
        }
    };
}

hex_bytes!(
    /// A SHA-256: of a leaf, of two subtrees, or of a seal.
    Hash,
    32
);
hex_bytes!(
    /// An Ed25519 public key (RFC 8032).
    PublicKey,
    32
);
hex_bytes!(
    /// The beginning of the SHA-256 of a public key: what a seal names its key by.
    KeyId,
    8
);
hex_bytes!(
    /// An Ed25519 signature (RFC 8032).
    Signature,
    64
);

impl Hash {
    /// What the first seal of a tenant names as the seal before.
    pub const NONE: Self = Self([0; 32]);
}

/// A number of 128 bits as 32 digits, the highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wide(pub(crate) u128);

impl FromStr for Wide {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        let mut bytes = [0; 16];
        decode(text, &mut bytes)?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }
}

impl Serialize for Wide {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Wide {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(PhantomData))
    }
}

fn decode(text: &str, into: &mut [u8]) -> Result<(), NotHex> {
    let digits = into.len() * 2;
    if text.len() != digits {
        return Err(NotHex { digits });
    }
    HEXLOWER.decode_mut(text.as_bytes(), into).map(drop).map_err(|_| NotHex { digits })
}

struct FromText<T>(PhantomData<T>);

impl<T: FromStr<Err = NotHex>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hexadecimal digits")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_text() {
        let text = "00ff0a0b0c0d0e0f";
        let id: KeyId = text.parse().unwrap();
        assert_eq!((id.to_string().as_str(), id.0[1]), (text, 0xff));
        assert_eq!(serde_json::from_str::<KeyId>(&format!("\"{text}\"")).unwrap(), id);
        for other in ["00FF0a0b0c0d0e0f", "00ff0a0b0c0d0e0", "00ff0a0b0c0d0e0f0", "0xff0a0b0c0d0e0f", ""] {
            assert_eq!(other.parse::<KeyId>(), Err(NotHex { digits: 16 }), "{other}");
        }
        assert_eq!("0000000000000000000000000000000f".parse(), Ok(Wide(15)));
    }
}
