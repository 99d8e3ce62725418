//! What the authenticator says, which is signed (section 6.1).

use sha2::{Digest, Sha256};

use crate::NotTaken;
use crate::cbor::Value;

const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_KEY: u8 = 1 << 6;
const HAS_EXTENSIONS: u8 = 1 << 7;
const SHORT: NotTaken = NotTaken::Malformed("the authenticator's data is cut off");

/// Whether the authenticator must find out who touches it, by a PIN or a finger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserVerification {
    /// It must: the passkey is all that is shown.
    Required,
    /// If it can: the password was shown before.
    Preferred,
}

impl UserVerification {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Preferred => "preferred",
        }
    }
}

/// What the authenticator says.
pub(crate) struct AuthenticatorData<'a> {
    party_hash: &'a [u8],
    flags: u8,
    pub(crate) sign_count: u32,
    pub(crate) key: Option<NewKey<'a>>,
}

/// A key that was just made.
pub(crate) struct NewKey<'a> {
    pub(crate) credential_id: &'a [u8],
    pub(crate) public_key: Value<'a>,
    /// The same, as it stands there.
    pub(crate) public_key_bytes: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, NotTaken> {
        let (party_hash, rest) = bytes.split_at_checked(32).ok_or(SHORT)?;
        let (flags, rest) = rest.split_first().ok_or(SHORT)?;
        let (sign_count, mut rest) = rest.split_first_chunk().ok_or(SHORT)?;
        let mut key = None;
        if flags & HAS_KEY != 0 {
            // After the id of the authenticator's model.
            let after = rest.get(16..).ok_or(SHORT)?;
            let (length, after) = after.split_first_chunk().ok_or(SHORT)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (credential_id, after) = after.split_at_checked(length).ok_or(SHORT)?;
            let (public_key, end) = Value::read(after)?;
            let public_key_bytes = &after[..after.len() - end.len()];
            key = Some(NewKey { credential_id, public_key, public_key_bytes });
            rest = end;
        }
        if flags & HAS_EXTENSIONS != 0 {
            rest = Value::read(rest)?.1;
        }
        if !rest.is_empty() {
            return Err(NotTaken::Malformed("something follows the authenticator's data"));
        }
        Ok(Self { party_hash, flags: *flags, sign_count: u32::from_be_bytes(*sign_count), key })
    }

    /// Looks whether it was made for that relying party, by somebody who was there.
    pub(crate) fn check(&self, party: &str, verification: UserVerification) -> Result<(), NotTaken> {
        if self.party_hash != Sha256::digest(party.as_bytes()).as_slice() {
            return Err(NotTaken::Party);
        }
        if self.flags & PRESENT == 0 {
            return Err(NotTaken::NotPresent);
        }
        if verification == UserVerification::Required && !self.is_verified() {
            return Err(NotTaken::NotVerified);
        }
        if self.flags & BACKUP_ELIGIBLE == 0 && self.is_backed_up() {
            return Err(NotTaken::Malformed("it is backed up and can't be"));
        }
        Ok(())
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.flags & VERIFIED != 0
    }

    pub(crate) fn is_backed_up(&self) -> bool {
        self.flags & BACKED_UP != 0
    }
}
