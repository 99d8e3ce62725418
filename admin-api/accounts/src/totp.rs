//! One-time codes by time (RFC 6238): SHA-1, six digits, steps of 30 s, as all authenticator apps have them.

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use crate::random::Random;

/// Seconds of a step.
const STEP_SECONDS: i64 = 30;
/// A code of the step before or after is taken as well: clocks differ, and people type.
const STEPS_OFF_MAX: i64 = 1;

/// What app and server share: 160 bits. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TotpSecret([u8; 20]);

impl TotpSecret {
    pub(crate) fn make(random: &Random) -> Self {
        Self(random.bytes())
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As people type it.
    pub(crate) fn base32(&self) -> String {
        BASE32_NOPAD.encode(&self.0)
    }

    /// As apps scan it. `email` has no letter that a URL gives a meaning, except those that are replaced here.
    pub(crate) fn otpauth_url(&self, email: &str) -> String {
        let mut account = String::new();
        for byte in email.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'@' => account.push(char::from(byte)),
                _ => account.push_str(&format!("%{byte:02X}")),
            }
        }
        format!(
            "otpauth://totp/weir:{account}?secret={}&issuer=weir&algorithm=SHA1&digits=6&period=30",
            self.base32()
        )
    }

    /// The step whose code it is, of the three around `unix_seconds`. `None`: it is no code of theirs.
    pub(crate) fn step_of(&self, code: &str, unix_seconds: i64) -> Option<i64> {
        let now = unix_seconds.div_euclid(STEP_SECONDS);
        // All are computed: how long it takes does not say which one it was.
        (now - STEPS_OFF_MAX..=now + STEPS_OFF_MAX)
            .filter(|step| bool::from(self.code(*step).as_bytes().ct_eq(code.as_bytes())))
            .max()
    }

    fn code(&self, step: i64) -> String {
        // A key of any length will do for an HMAC; no code is the empty text.
        let Ok(mut mac) = <Hmac<Sha1> as KeyInit>::new_from_slice(&self.0) else { return String::new() };
        mac.update(&step.to_be_bytes());
        let hash = mac.finalize().into_bytes();
        let at = usize::from(hash[19] & 15);
        let number = u32::from_be_bytes([hash[at] & 127, hash[at + 1], hash[at + 2], hash[at + 3]]);
        format!("{:06}", number % 1_000_000)
    }

    /// The code at that time, as an app shows it: for tests.
    #[cfg(test)]
    fn code_at(&self, unix_seconds: i64) -> String {
        self.code(unix_seconds.div_euclid(STEP_SECONDS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = TotpSecret(*b"12345678901234567890");
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret.code_at(seconds), code);
        }
    }

    #[test]
    fn a_code_is_taken_one_step_early_or_late_and_not_two() {
        let secret = TotpSecret(*b"12345678901234567890");
        let code = secret.code_at(3_000);
        for (seconds, step) in
            [(2_969, None), (2_970, Some(100)), (3_029, Some(100)), (3_059, Some(100)), (3_060, None)]
        {
            assert_eq!(secret.step_of(&code, seconds), step, "{seconds}");
        }
        for wrong in ["", "12345", "1234567", "abcdef", "１２３４５６"] {
            assert_eq!(secret.step_of(wrong, 3_000), None, "{wrong}");
        }
    }

    #[test]
    fn an_app_is_given_the_secret_in_base_32() {
        let secret = TotpSecret(*b"12345678901234567890");
        let url = secret.otpauth_url("a+b@example.com");
        assert_eq!(
            url,
            "otpauth://totp/weir:a%2Bb@example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=weir&algorithm=SHA1&digits=6&period=30"
        );
    }
}
