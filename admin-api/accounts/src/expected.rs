//! Entity tags: what a resource is like, in few letters, and what a client expects it to be like (RFC 9110, 8.8, 13.1).

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Bytes of a hash that stand in a tag.
const TAG_BYTES: usize = 16;

/// The tag of a resource: a hash of the JSON that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// The tag of what these bytes show.
    #[must_use]
    pub fn of_bytes(shown: &[u8]) -> Self {
        let hash = Sha256::digest(shown);
        Self(format!("\"{}\"", BASE64URL_NOPAD.encode(hash.get(..TAG_BYTES).unwrap_or_default())))
    }

    /// The tag of a resource, as a reply shows it.
    #[must_use]
    pub fn of(resource: &impl Serialize) -> Self {
        // Structs of texts and numbers always serialise.
        Self::of_bytes(&serde_json::to_vec(resource).unwrap_or_default())
    }

    /// As `ETag` has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What `If-Match` or `If-None-Match` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// `*`: whatever is there.
    Any,
    /// One of these tags.
    OneOf(Vec<String>),
}

impl Expected {
    /// Reads a header: `*`, or tags with commas between them. What is no tag is kept, and is no resource's.
    #[must_use]
    pub fn read(text: &str) -> Self {
        if text.trim() == "*" {
            return Self::Any;
        }
        Self::OneOf(text.split(',').map(|tag| tag.trim().to_owned()).collect())
    }

    /// Whether the resource is one that was named. A weak tag is none (strong comparison).
    #[must_use]
    pub fn matches(&self, tag: &EntityTag) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.contains(&tag.0),
        }
    }

    /// The same for those who only want to know whether to read again: a weak tag counts too (weak comparison).
    #[must_use]
    pub fn matches_weakly(&self, tag: &str) -> bool {
        let strong = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|named| strong(named) == strong(tag)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_matches_its_own_tag_and_no_other() {
        let tag = EntityTag::of(&serde_json::json!({"a": 1}));
        assert_eq!(tag.as_str().len(), 24);
        assert_eq!(tag, EntityTag::of_bytes(br#"{"a":1}"#));
        let named = tag.as_str();
        assert!(Expected::read(named).matches(&tag));
        assert!(Expected::read(&format!("\"x\" , {named}")).matches(&tag));
        assert!(Expected::read(" * ").matches(&tag));
        for text in ["", "\"x\"", named.trim_matches('"'), &format!("W/{named}"), &format!("{named} {named}")]
        {
            assert!(!Expected::read(text).matches(&tag), "{text}");
        }
        assert!(Expected::read(&format!("W/{named}")).matches_weakly(named));
        assert!(!Expected::read("\"x\", W/\"y\"").matches_weakly(named));
    }
}
