//! Public keys as authenticators write them (RFC 9052), and what they verify.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use crate::NotTaken;
use crate::cbor::Value;

/// COSE's numbers of the algorithms that are asked for, the dearest first: Ed25519, ECDSA on P-256 with SHA-256, and
/// RSA with SHA-256, which older Windows has alone.
pub(crate) const ALGORITHMS: [i64; 3] = [-8, -7, -257];

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// A point on P-256, as SEC 1 writes it.
    P256([u8; 65]),
    Ed25519([u8; 32]),
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
}

impl PublicKey {
    /// Reads a key that is one of the kinds that were asked for.
    pub(crate) fn read(key: &Value<'_>) -> Result<Self, NotTaken> {
        let number = |at: i64| match key.get(&Value::Integer(at)) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        };
        let bytes = |at: i64| key.get(&Value::Integer(at)).and_then(Value::bytes).ok_or(NotTaken::Key);
        // Kind, algorithm, and of curves the curve.
        match (number(1), number(3)) {
            (Some(2), Some(-7)) if number(-1) == Some(1) => {
                let mut point = [4; 65];
                let (x, y) = (bytes(-2)?, bytes(-3)?);
                if x.len() != 32 || y.len() != 32 {
                    return Err(NotTaken::Key);
                }
                point[1..33].copy_from_slice(x);
                point[33..].copy_from_slice(y);
                Ok(Self::P256(point))
            }
            (Some(1), Some(-8)) if number(-1) == Some(6) => {
                bytes(-2)?.try_into().map(Self::Ed25519).map_err(|_| NotTaken::Key)
            }
            (Some(3), Some(-257)) => {
                Ok(Self::Rsa { modulus: bytes(-1)?.to_vec(), exponent: bytes(-2)?.to_vec() })
            }
            _ => Err(NotTaken::Key),
        }
    }

    /// Whether the key's owner signed `message`.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), NotTaken> {
        let verified = match self {
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::Rsa { modulus, exponent } => PublicKeyComponents { n: modulus, e: exponent }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
        };
        verified.map_err(|_| NotTaken::Signature)
    }
}
