//! The canonical form of a plan, and its hash: a published version is known by it.

use std::fmt;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::Plan;

/// SHA-256 of a plan's canonical form. Two plans with one hash are the same plan, however each was written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanHash(pub [u8; 32]);

impl Plan {
    /// The plan as JSON without spaces, in the one form that all spellings of it have.
    ///
    /// It is read again as the same plan. Its bytes are fixed: a version that was published keeps its hash.
    #[must_use]
    pub fn canonical(&self) -> String {
        // Nothing in a plan fails to be written: all keys are text, and there are no floats.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The hash of the canonical form.
    #[must_use]
    pub fn hash(&self) -> PlanHash {
        PlanHash(Sha256::digest(self.canonical()).into())
    }
}

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PlanHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
