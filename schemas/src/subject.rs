//! Whom or what an erasure is about.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// By which of an event's members it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubjectKind {
    /// `user_id`.
    User,
    /// `anonymous_id`.
    Anonymous,
    /// The event's own id.
    Event,
}

impl SubjectKind {
    /// The word in the database and in replies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Anonymous => "anonymous",
            Self::Event => "event",
        }
    }

    /// Its column in `events`.
    #[must_use]
    pub fn column(self) -> &'static str {
        match self {
            Self::User => "user_id",
            Self::Anonymous => "anonymous_id",
            Self::Event => "event_id",
        }
    }

    /// SHA-256 of `salt`, this kind and `value`: by it an event is known to be erased when the value itself is no
    /// longer kept.
    #[must_use]
    pub fn hash(self, salt: &[u8], value: &str) -> [u8; 32] {
        Sha256::new()
            .chain_update(salt)
            .chain_update(self.as_str())
            .chain_update([0])
            .chain_update(value)
            .finalize()
            .into()
    }
}

/// Not a kind of subject.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a subject is a user, an anonymous id or an event")]
pub struct SubjectKindError;

impl FromStr for SubjectKind {
    type Err = SubjectKindError;

    fn from_str(text: &str) -> Result<Self, SubjectKindError> {
        [Self::User, Self::Anonymous, Self::Event]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(SubjectKindError)
    }
}

impl fmt::Display for SubjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for SubjectKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_differs_by_kind_value_and_salt() {
        let hash = SubjectKind::User.hash(b"salt", "ada");
        assert_eq!(hash, SubjectKind::User.hash(b"salt", "ada"));
        assert_ne!(hash, SubjectKind::Anonymous.hash(b"salt", "ada"));
        assert_ne!(hash, SubjectKind::User.hash(b"tlas", "ada"));
        assert_ne!(hash, SubjectKind::User.hash(b"salt", "adb"));
    }

    #[test]
    fn kinds_survive_text() {
        for kind in [SubjectKind::User, SubjectKind::Anonymous, SubjectKind::Event] {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert_eq!("retention".parse::<SubjectKind>(), Err(SubjectKindError));
    }
}
