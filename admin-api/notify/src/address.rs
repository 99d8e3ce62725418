//! Addresses, as they stand in settings, in the header of a mail, and in what is said to a relay.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes of an address: RFC 5321 has no longer path.
const BYTES_MAX: usize = 254;

/// An address, perhaps with a name: `weir <weir@example.com>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    name: String,
    address: String,
}

/// The text is no address.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("it is an address such as weir@example.com, or weir <weir@example.com>")]
pub struct NoAddress;

impl Mailbox {
    /// The address alone.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What stands behind the `@`.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl FromStr for Mailbox {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let (name, address) = match text.trim().strip_suffix('>').map(|text| text.split_once('<')) {
            Some(named) => named.ok_or(NoAddress)?,
            None => ("", text.trim()),
        };
        let name = name.trim().trim_matches('"');
        let is_good = |part: &str| {
            let bad = |c: char| c.is_whitespace() || c.is_control() || "<>()[]\\,;:\"@".contains(c);
            !part.is_empty() && !part.contains(bad)
        };
        let (local, domain) = address.rsplit_once('@').ok_or(NoAddress)?;
        let is_ours = address.len() <= BYTES_MAX && is_good(local) && is_good(domain);
        if !is_ours || name.contains(char::is_control) {
            return Err(NoAddress);
        }
        Ok(Self { name: name.to_owned(), address: address.to_owned() })
    }
}

/// As it stands in a header.
impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, address } = self;
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
        match name.as_str() {
            "" => f.write_str(address),
            _ if is_plain => write!(f, "{name} <{address}>"),
            // One encoded word (RFC 2047), for whatever else a name may hold.
            _ => write!(f, "=?utf-8?B?{}?= <{address}>", STANDARD.encode(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_or_without_a_name_and_written_for_a_header() {
        for (text, header) in [
            ("weir@example.com", "weir@example.com"),
            ("weir <weir@example.com>", "weir <weir@example.com>"),
            (" \"Weir, Inc.\" <w@example.com> ", "=?utf-8?B?V2VpciwgSW5jLg==?= <w@example.com>"),
            ("Zoë <z@example.com>", "=?utf-8?B?Wm/Dqw==?= <z@example.com>"),
        ] {
            let mailbox: Mailbox = text.parse().unwrap();
            assert_eq!(mailbox.to_string(), header);
        }
        assert_eq!("a+b@mx.example.com".parse::<Mailbox>().unwrap().domain(), "mx.example.com");
    }

    #[test]
    fn what_would_be_a_command_or_a_header_is_no_address() {
        for text in [
            "",
            "weir",
            "@example.com",
            "weir@",
            "a b@example.com",
            "a@b>\r\nDATA",
            "a@b\r\nBcc: c@d",
            "<a@b",
            "a>",
            "a@b@c",
            "x\r\ny <a@b>",
            "a,b@example.com",
        ] {
            assert_eq!(text.parse::<Mailbox>(), Err(NoAddress), "{text:?}");
        }
        let long = format!("{}@example.com", "a".repeat(BYTES_MAX - 12));
        assert!(long.parse::<Mailbox>().is_ok());
        assert!(format!("a{long}").parse::<Mailbox>().is_err());
    }
}
