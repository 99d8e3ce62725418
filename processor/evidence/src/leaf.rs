//! One event, as it stands in a tree.

use schemas::content::ContentHash;
use schemas::id::{EventHash, ProjectId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::hex::{Hash, Wide};

/// What stands before the bytes of a leaf, so that no leaf is taken for two subtrees (RFC 6962, section 2.1).
const DOMAIN: u8 = 0;

/// One event of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Form", from = "Form")]
pub struct Leaf {
    /// Of the event.
    pub project: ProjectId,
    /// Of the event's id within its project.
    pub event: EventHash,
    /// Of the event's row; [`ContentHash::NONE`] if it was written before rows had one.
    pub contents: ContentHash,
    /// What it counts for: 1 for an event.
    pub quantity: u64,
}

/// In JSON: `[project, "event hash", "content hash", quantity]`.
#[derive(Serialize, Deserialize)]
struct Form(i64, Wide, Wide, u64);

impl From<Leaf> for Form {
    fn from(leaf: Leaf) -> Self {
        Self(leaf.project.0, Wide(leaf.event.0), Wide(leaf.contents.0), leaf.quantity)
    }
}

impl From<Form> for Leaf {
    fn from(Form(project, event, contents, quantity): Form) -> Self {
        Self {
            project: ProjectId(project),
            event: EventHash(event.0),
            contents: ContentHash(contents.0),
            quantity,
        }
    }
}

impl Leaf {
    /// What leaves are in the order of. No two of an hour have the same.
    #[must_use]
    pub fn place(&self) -> (ProjectId, EventHash) {
        (self.project, self.event)
    }

    /// SHA-256 of 0x00 and the four numbers, each with its highest byte first.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut bytes = [0; 49];
        bytes[0] = DOMAIN;
        bytes[1..9].copy_from_slice(&self.project.0.to_be_bytes());
        bytes[9..25].copy_from_slice(&self.event.0.to_be_bytes());
        bytes[25..41].copy_from_slice(&self.contents.0.to_be_bytes());
        bytes[41..].copy_from_slice(&self.quantity.to_be_bytes());
        Hash(Sha256::digest(bytes).into())
    }
}
