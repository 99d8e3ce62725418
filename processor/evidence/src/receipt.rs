//! Receipts: an operator's signed word that a request's events are durable, given with the reply.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemas::id::{EventHash, ProjectId, TenantId};
use schemas::time::Micros;
use sha2::{Digest, Sha256};

use crate::hex::{Hash, KeyId, PublicKey, Signature};
use crate::key::SigningKey;

/// What a statement begins with: its version, and that it is one.
const BEGINNING: &[u8; 15] = b"weir receipt 1\0";
/// What stands before the events' hashes where they are hashed.
const DOMAIN: u8 = 3;
const STATEMENT_BYTES: usize = 95;

/// What an operator says of one request: these events are durable, and are to be found in the sealed hour of receipt,
/// unless an earlier one of the same id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Whose events.
    pub tenant: TenantId,
    /// In which project.
    pub project: ProjectId,
    /// The reply's `X-Request-Id`.
    pub request: [u8; 16],
    /// When they were received, in microseconds since 1970.
    pub received_at: Micros,
    /// How many were accepted.
    pub events: u64,
    /// Of the accepted events' hashes, in the order of the request.
    pub digest: Hash,
}

/// A receipt, who signed it, and the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedReceipt {
    /// What is signed.
    pub receipt: Receipt,
    /// Of the key that signed it.
    pub key: KeyId,
    /// Ed25519 over [`Receipt::statement`].
    pub signature: Signature,
}

/// The text is no receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no receipt: the id of a key, a statement and a signature, with dots between")]
pub struct NoReceipt;

impl Receipt {
    /// SHA-256 of 0x03 and the events' hashes, each with its highest byte first.
    pub fn digest_of(events: impl IntoIterator<Item = EventHash>) -> Hash {
        let mut digest = Sha256::new().chain_update([DOMAIN]);
        events.into_iter().for_each(|event| digest.update(event.0.to_be_bytes()));
        Hash(digest.finalize().into())
    }

    /// The bytes that are signed. Numbers have their highest byte first: tenant, project, the request's id, the time of
    /// receipt, events, their digest.
    #[must_use]
    pub fn statement(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(STATEMENT_BYTES);
        bytes.extend_from_slice(BEGINNING);
        bytes.extend_from_slice(&self.tenant.0.to_be_bytes());
        bytes.extend_from_slice(&self.project.0.to_be_bytes());
        bytes.extend_from_slice(&self.request);
        bytes.extend_from_slice(&self.received_at.0.to_be_bytes());
        bytes.extend_from_slice(&self.events.to_be_bytes());
        bytes.extend_from_slice(&self.digest.0);
        bytes
    }

    fn of_statement(bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes.strip_prefix(BEGINNING)?;
        let receipt = Self {
            tenant: TenantId(i64::from_be_bytes(next(rest)?)),
            project: ProjectId(i64::from_be_bytes(next(rest)?)),
            request: next(rest)?,
            received_at: Micros(i64::from_be_bytes(next(rest)?)),
            events: u64::from_be_bytes(next(rest)?),
            digest: Hash(next(rest)?),
        };
        rest.is_empty().then_some(receipt)
    }
}

fn next<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

impl SigningKey {
    /// Signs a receipt.
    #[must_use]
    pub fn sign_receipt(&self, receipt: Receipt) -> SignedReceipt {
        let signature = self.sign_bytes(&receipt.statement());
        SignedReceipt { receipt, key: self.public().id(), signature }
    }
}

impl SignedReceipt {
    /// Whether `key` signed it.
    #[must_use]
    pub fn is_by(&self, key: &PublicKey) -> bool {
        key.id() == self.key && key.has_signed(&self.receipt.statement(), &self.signature)
    }
}

/// As it stands in a header: the key's id, the statement and the signature, the two in base 64 for URLs.
impl fmt::Display for SignedReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        write!(f, "{}.{}.{}", self.key, text(&self.receipt.statement()), text(&self.signature.0))
    }
}

impl FromStr for SignedReceipt {
    type Err = NoReceipt;

    fn from_str(text: &str) -> Result<Self, NoReceipt> {
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(NoReceipt);
        let (key, statement, signature) = (part()?, part()?, part()?);
        if parts.next().is_some() {
            return Err(NoReceipt);
        }
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| NoReceipt);
        let signature = bytes(signature)?.try_into().map_err(|_| NoReceipt)?;
        Ok(Self {
            receipt: Receipt::of_statement(&bytes(statement)?).ok_or(NoReceipt)?,
            key: key.parse().map_err(|_| NoReceipt)?,
            signature: Signature(signature),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        Receipt {
            tenant: TenantId(1),
            project: ProjectId(-2),
            request: [3; 16],
            received_at: Micros(4),
            events: 2,
            digest: Receipt::digest_of([EventHash(5), EventHash(6)]),
        }
    }

    #[test]
    fn a_receipt_is_what_was_signed_and_nothing_else() {
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let signed = key.sign_receipt(receipt());
        let text = signed.to_string();
        assert_eq!(text.parse(), Ok(signed));
        assert!(
            signed.is_by(&key.public()) && !signed.is_by(&SigningKey::from_seed(&[8; 32]).unwrap().public())
        );
        assert_eq!(receipt().statement().len(), STATEMENT_BYTES);
        assert_ne!(receipt().digest, Receipt::digest_of([EventHash(6), EventHash(5)]), "in their order");
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'1' { b'2' } else { b'1' };
            let other: Result<SignedReceipt, _> = String::from_utf8(bytes).unwrap().parse();
            assert!(other.is_err() || !other.unwrap().is_by(&key.public()), "byte {place}");
        }
        for other in ["", ".", "..", "a.b.c", &format!("{text}."), &text[..text.len() - 1], &text[1..]] {
            assert_eq!(other.parse::<SignedReceipt>(), Err(NoReceipt), "{other}");
        }
    }
}
