//! Rules that names and limits obey.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::error::AccountError;

/// Bytes of a name.
pub const NAME_BYTES_MAX: usize = 100;
/// Events a second at most, in a plan or for a tenant.
pub const RATE_MAX: i64 = 1_000_000_000;

/// A name that nobody takes for an id, or for another name.
pub(crate) fn name(name: &str) -> Result<(), AccountError> {
    name_at("name", name)
}

/// The same of another member.
pub(crate) fn name_at(member: &str, name: &str) -> Result<(), AccountError> {
    let is_seen = |c: char| !c.is_whitespace() && !is_invisible(c);
    let good = name.len() <= NAME_BYTES_MAX
        && name.chars().any(is_seen)
        && !name.chars().any(|c| c.is_control() || turns_text(c));
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    if good && !number {
        return Ok(());
    }
    let rule = format!(
        "a name has 1 to {NAME_BYTES_MAX} bytes, something that can be seen, no control characters, none that turn \
         text around, and is not a number"
    );
    Err(AccountError::member(member, rule))
}

/// Spaces without width, joiners and marks: alone they make no name.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Embeddings, overrides and isolates (Unicode's annex 9): with them one name is shown as another.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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

/// The last second that RFC 3339 can write, 9999-12-31T23:59:59Z: its years have four digits.
pub(crate) const TIME_MAX: DateTime<Utc> = match DateTime::from_timestamp(253_402_300_799, 0) {
    Some(at) => at,
    None => DateTime::<Utc>::MAX_UTC,
};

/// A time in a body: one that every reply can write.
pub(crate) fn time(member: &str, at: Option<DateTime<Utc>>) -> Result<(), AccountError> {
    if at.is_none_or(|at| (DateTime::UNIX_EPOCH..=TIME_MAX).contains(&at)) {
        return Ok(());
    }
    let rule = "a time lies between 1970-01-01T00:00:00Z and 9999-12-31T23:59:59Z";
    Err(AccountError::member(member, rule))
}

/// Bytes of a reason.
pub const REASON_BYTES_MAX: usize = 500;

/// Why an operator does something to somebody: the audit says it.
pub(crate) fn reason(reason: &str) -> Result<(), AccountError> {
    let good = !reason.trim().is_empty() && reason.len() <= REASON_BYTES_MAX && !reason.contains('\0');
    if good {
        return Ok(());
    }
    Err(AccountError::member("reason", format!("reason says why, in 1 to {REASON_BYTES_MAX} bytes")))
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
    fn a_time_has_a_year_of_four_digits() {
        let of = |text: &str| time("at", Some(text.parse().unwrap()));
        for good in ["1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59+00:00"] {
            assert!(of(good).is_ok(), "{good}");
        }
        for bad in ["1969-12-31T23:59:59Z", "+10000-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00"] {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert!(time("at", None).is_ok());
        assert_eq!(TIME_MAX.to_rfc3339(), "9999-12-31T23:59:59+00:00");
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
        for bad in [
            "",
            "42",
            "a\n",
            " ",
            "\u{a0}\u{3000}",
            "\u{200b}\u{feff}",
            "a\u{202e}b",
            "\u{2066}a\u{2069}",
            "a\0",
            "a\u{85}",
        ] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        for good in ["Ada", " x ", "4 2", "עדה", "👩\u{200d}💻", "a\u{200e}"] {
            assert!(name(good).is_ok(), "{good:?}");
        }
    }
}
