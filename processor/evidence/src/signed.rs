//! A seal with its signature.

use schemas::id::TenantId;
use serde::{Deserialize, Serialize};

use crate::hex::{Hash, KeyId, PublicKey, Signature};
use crate::key::SigningKey;
use crate::seal::Seal;
use crate::tree::Root;

/// A seal, who signed it, and the signature of its statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Form", from = "Form")]
pub struct Signed {
    /// What is signed.
    pub seal: Seal,
    /// Of the key that signed it.
    pub key: KeyId,
    /// Ed25519 over [`Seal::statement`].
    pub signature: Signature,
}

/// In JSON: everything on one level.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    tenant: i64,
    number: u64,
    hour: i64,
    period: i64,
    events: u64,
    quantity: u64,
    root: Hash,
    offsets: Vec<u64>,
    previous: Hash,
    key: KeyId,
    signature: Signature,
}

impl From<Signed> for Form {
    fn from(Signed { seal, key, signature }: Signed) -> Self {
        Self {
            tenant: seal.tenant.0,
            number: seal.number,
            hour: seal.hour,
            period: seal.period,
            events: seal.root.events,
            quantity: seal.root.quantity,
            root: seal.root.hash,
            offsets: seal.offsets,
            previous: seal.previous,
            key,
            signature,
        }
    }
}

impl From<Form> for Signed {
    fn from(form: Form) -> Self {
        let seal = Seal {
            tenant: TenantId(form.tenant),
            number: form.number,
            hour: form.hour,
            period: form.period,
            root: Root { events: form.events, quantity: form.quantity, hash: form.root },
            offsets: form.offsets,
            previous: form.previous,
        };
        Self { seal, key: form.key, signature: form.signature }
    }
}

impl SigningKey {
    /// Signs a seal.
    #[must_use]
    pub fn sign(&self, seal: Seal) -> Signed {
        let signature = self.sign_bytes(&seal.statement());
        Signed { seal, key: self.public().id(), signature }
    }
}

impl Signed {
    /// Whether `key` signed it.
    #[must_use]
    pub fn is_by(&self, key: &PublicKey) -> bool {
        key.id() == self.key && key.has_signed(&self.seal.statement(), &self.signature)
    }
}
