//! Rules that names and limits obey.

use chrono_tz::Tz;

use crate::error::AccountError;

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 100;
/// Events a second at most, in a plan or for a tenant.
const RATE_MAX: i64 = 1_000_000_000;

/// A name that nobody takes for an id.
pub(crate) fn name(name: &str) -> Result<(), AccountError> {
    let good = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    if good && !number {
        return Ok(());
    }
    let rule = format!("a name has 1 to {NAME_BYTES_MAX} bytes, no control characters, and is not a number");
    Err(AccountError::member("name", rule))
}

/// Bytes of an address for mails: RFC 5321 has no longer path.
const EMAIL_BYTES_MAX: usize = 254;

/// An address for mails, in lower case: that it is somebody's is shown by a mail, and by nothing else.
pub(crate) fn email(text: &str) -> Result<String, AccountError> {
    let text = text.trim().to_lowercase();
    let printable =
        |part: &str| !part.is_empty() && part.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let good = text.len() <= EMAIL_BYTES_MAX
        && text.rsplit_once('@').is_some_and(|(local, domain)| {
            printable(local)
                && printable(domain)
                && domain.contains('.')
                && !local.contains(['<', '>', ',', '"'])
        });
    if good {
        Ok(text)
    } else {
        Err(AccountError::member("email", "email is an address such as ada@example.com"))
    }
}

/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 500;

/// Why an operator does something to somebody: the audit says it.
pub(crate) fn reason(reason: &str) -> Result<(), AccountError> {
    let good = !reason.trim().is_empty() && reason.len() <= REASON_BYTES_MAX && !reason.contains('\0');
    if good {
        return Ok(());
    }
    Err(AccountError::Invalid(format!("reason says why, in 1 to {REASON_BYTES_MAX} bytes")))
}

/// The IANA name of a time zone.
pub(crate) fn time_zone(zone: &str) -> Result<(), AccountError> {
    if zone.parse::<Tz>().is_ok() {
        return Ok(());
    }
    Err(AccountError::Invalid(format!("{zone} is not a time zone: use an IANA name such as Europe/Berlin")))
}

/// Events a month and events a second, of a plan or a tenant.
pub(crate) fn limits(quota: Option<i64>, rate: Option<i64>) -> Result<(), AccountError> {
    if quota.is_some_and(|quota| quota < 0) {
        return Err(AccountError::member("quota", "quota is a number of events a month, 0 or more"));
    }
    if rate.is_some_and(|rate| !(1..=RATE_MAX).contains(&rate)) {
        return Err(AccountError::member(
            "rate",
            format!("rate is a number of events a second, 1 to {RATE_MAX}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_local_part_and_a_domain() {
        assert_eq!(email(" Ada@Example.COM ").unwrap(), "ada@example.com");
        let longest = format!("{}@example.com", "x".repeat(EMAIL_BYTES_MAX - 12));
        assert!(email(&longest).is_ok());
        assert!(email(&format!("x{longest}")).is_err());
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "a b@example.com",
            "a\n@example.com",
            "<ada@example.com",
        ] {
            assert!(email(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_hold_at_their_ends_and_not_beyond() {
        for (quota, rate, good) in [
            (Some(0), Some(1), true),
            (Some(i64::MAX), Some(RATE_MAX), true),
            (Some(-1), None, false),
            (None, Some(0), false),
            (None, Some(RATE_MAX + 1), false),
        ] {
            assert_eq!(limits(quota, rate).is_ok(), good, "{quota:?} {rate:?}");
        }
        assert!(name(&"x".repeat(NAME_BYTES_MAX)).is_ok());
        assert!(name(&"x".repeat(NAME_BYTES_MAX + 1)).is_err());
        assert!(reason(&"x".repeat(REASON_BYTES_MAX)).is_ok());
        assert!(reason(&"x".repeat(REASON_BYTES_MAX + 1)).is_err() && reason(" ").is_err());
        assert!(name("").is_err() && name("42").is_err() && name("a\n").is_err());
    }
}
