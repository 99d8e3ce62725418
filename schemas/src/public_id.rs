//! Names of things in the API for people: a prefix that says of what kind, and 128 random bits in base 62.
//!
//! They are random and not counted, so nobody learns from one how many there are, or guesses another.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::described::{self, described};
use crate::id::BASE62;

/// Base-62 digits of 128 bits: 62^22 is above 2^128.
const DIGITS: usize = 22;

/// The text is not an id of that kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an id of this kind is {0} and {DIGITS} letters and digits")]
pub struct PublicIdError(&'static str);

macro_rules! public_id {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// What its text begins with.
            pub const PREFIX: &str = $prefix;

            /// An id of 128 random bits.
            #[must_use]
            pub fn of_random(bits: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bits))
            }

            /// As the database holds it.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        described!($name, described::text(concat!("^", $prefix, "[0-9A-Za-z]{22}$")));

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                f.write_str(&digits(self.0.as_u128()))
            }
        }

        impl FromStr for $name {
            type Err = PublicIdError;

            fn from_str(text: &str) -> Result<Self, PublicIdError> {
                text.strip_prefix($prefix)
                    .and_then(number)
                    .map(|number| Self(Uuid::from_u128(number)))
                    .ok_or(PublicIdError($prefix))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

public_id! {
    /// A tenant, as its people see it. Ingest knows it by its [`TenantId`](crate::id::TenantId).
    PublicTenantId = "ten_";
    /// A project, as its people see it. Ingest knows it by its [`ProjectId`](crate::id::ProjectId).
    PublicProjectId = "prj_";
    /// A person, who may be a member of several tenants.
    PersonId = "usr_";
    /// A session of a person on one device.
    SessionId = "ses_";
    /// A person's membership in a tenant.
    MembershipId = "mem_";
    /// A role that a tenant has made for itself.
    RoleId = "rol_";
    /// An invitation to become a member.
    InvitationId = "ivt_";
    /// A token for a machine that calls the admin API.
    MachineTokenId = "tok_";
    /// A passkey of a person.
    PasskeyId = "pky_";
    /// An entry of the audit.
    AuditId = "aud_";
    /// An erasure that was asked for.
    ErasureId = "era_";
    /// A mail or another message to be sent.
    MessageId = "msg_";
    /// A proof or repair that was asked for.
    VerificationId = "vrf_";
    /// A job: work that is done later.
    JobId = "job_";
}

fn digits(mut number: u128) -> String {
    let mut text = [b'0'; DIGITS];
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(number % 62).unwrap_or_default();
        *place = BASE62.get(digit).copied().unwrap_or(b'0');
        number /= 62;
    }
    text.into_iter().map(char::from).collect()
}

/// `None` if the text has another length or other letters, or is beyond 128 bits: each id has one text.
fn number(text: &str) -> Option<u128> {
    if text.len() != DIGITS {
        return None;
    }
    text.bytes().try_fold(0_u128, |number, byte| {
        let digit = BASE62.iter().position(|letter| *letter == byte)?;
        number.checked_mul(62)?.checked_add(u128::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_survive_text(bits: [u8; 16]) {
            let id = PersonId::of_random(bits);
            let text = id.to_string();
            prop_assert_eq!(text.parse::<PersonId>().unwrap(), id);
            prop_assert_eq!(text.len(), 26);
        }
    }

    #[test]
    fn an_id_of_another_kind_or_beyond_128_bits_is_refused() {
        let id = PersonId::of_random([7; 16]).to_string();
        assert!(id.starts_with("usr_"));
        assert!(id.parse::<SessionId>().is_err());
        let largest = PersonId::of_random([255; 16]).to_string();
        assert_eq!(largest, "usr_7n42DGM5Tflk9n8mt7Fhc7");
        for text in [
            "",
            "usr_",
            "usr_7n42DGM5Tflk9n8mt7Fhc8",
            "usr_zzzzzzzzzzzzzzzzzzzzzz",
            &id[..25],
            "usr_é0000000000000000000",
        ] {
            assert!(text.parse::<PersonId>().is_err(), "{text}");
        }
    }
}
