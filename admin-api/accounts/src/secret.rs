//! Secrets that weir makes: a prefix that says what for, 256 random bits, and a checksum, so that a typo fails before
//! any
//! look-up. They are random, so a plain SHA-256 is all that the database needs to know them again.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::random::Random;

/// Hexadecimal digits of the random bits.
const RANDOM_DIGITS: usize = 64;
/// Hexadecimal digits of the CRC-32C of all before it.
const CHECKSUM_DIGITS: usize = 8;

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Exchanged for an access token and another of its kind.
    Refresh,
    /// A link in a mail, or the second step of a sign-in.
    OneTime,
    /// An invitation's link.
    Invitation,
    /// Shows that somebody signed in on this device before.
    Device,
    /// Lets a machine call the admin API.
    MachineToken,
}

impl Purpose {
    fn prefix(self) -> &'static str {
        match self {
            Self::Refresh => "wr_",
            Self::OneTime => "wo_",
            Self::Invitation => "wi_",
            Self::Device => "wd_",
            Self::MachineToken => "wt_",
        }
    }
}

/// A secret's text. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

/// SHA-256 of a secret's text: what the database has.
pub(crate) type SecretHash = [u8; 32];

impl SecretText {
    pub(crate) fn make(purpose: Purpose, random: &Random) -> Self {
        let mut text = purpose.prefix().to_owned();
        text.push_str(&HEXLOWER.encode(&random.bytes::<32>()));
        text.push_str(&checksum(&text));
        Self(text)
    }

    /// Reads what somebody presents. `None`: weir has made no such secret for this purpose.
    pub(crate) fn parse(purpose: Purpose, text: &str) -> Option<Self> {
        let digits = text.strip_prefix(purpose.prefix())?;
        let good = digits.len() == RANDOM_DIGITS + CHECKSUM_DIGITS
            && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let (before, check) = good.then(|| text.split_at(text.len() - CHECKSUM_DIGITS))?;
        (checksum(before) == check).then(|| Self(text.to_owned()))
    }

    pub(crate) fn hash(&self) -> SecretHash {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The text, for the one reply or mail that shows it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

fn checksum(text: &str) -> String {
    format!("{:08x}", crc32c::crc32c(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_again_and_no_other_text_is() {
        let secret = SecretText::make(Purpose::Refresh, &Random::seeded(1));
        let text = secret.expose().to_owned();
        assert_eq!(text.len(), 75);
        assert_eq!(SecretText::parse(Purpose::Refresh, &text).unwrap().hash(), secret.hash());
        assert!(SecretText::parse(Purpose::OneTime, &text).is_none());
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            assert!(
                SecretText::parse(Purpose::Refresh, &String::from_utf8(bytes).unwrap()).is_none(),
                "{at}"
            );
        }
        for other in ["", "wr_", "wr_é", &text[..74], &format!("{text}0"), &text.to_uppercase()] {
            assert!(SecretText::parse(Purpose::Refresh, other).is_none(), "{other}");
        }
        assert_ne!(secret, SecretText::make(Purpose::Refresh, &Random::seeded(2)));
        assert_eq!(format!("{secret:?}"), "SecretText(..)");
    }
}
