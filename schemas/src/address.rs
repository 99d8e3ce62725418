//! How much of a client's address a tenant's events may carry.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::described::{self, described};

/// A tenant's policy. Ingest applies it before the log: no record, row, backup or dead letter holds more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum AddressPolicy {
    /// The address as it is.
    #[default]
    Full,
    /// Its network: the first 24 bits of IPv4, 48 of IPv6.
    Truncated,
    /// Nothing.
    None,
}

/// No policy has this name.
#[derive(Debug, thiserror::Error)]
#[error("client_ip is full, truncated or none")]
pub struct UnknownPolicy;

described!(AddressPolicy, described::word(Self::ALL.map(Self::as_str)));

impl AddressPolicy {
    const ALL: [Self; 3] = [Self::Full, Self::Truncated, Self::None];

    /// The word in requests and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Truncated => "truncated",
            Self::None => "none",
        }
    }

    /// The policy that a word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }

    /// What may be kept of an address, IPv4 mapped.
    #[must_use]
    pub fn kept(self, address: IpAddr) -> Option<Ipv6Addr> {
        let kept = match self {
            Self::Full => address,
            Self::Truncated => Self::truncated(address),
            Self::None => return None,
        };
        Some(match kept {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        })
    }

    /// The network of an address: /24 of IPv4, mapped or not, and /48 of IPv6.
    #[must_use]
    pub fn truncated(address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & !0xff)),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !(u128::MAX >> 48))),
        }
    }
}

impl FromStr for AddressPolicy {
    type Err = UnknownPolicy;

    fn from_str(word: &str) -> Result<Self, UnknownPolicy> {
        Self::from_word(word).ok_or(UnknownPolicy)
    }
}

impl TryFrom<String> for AddressPolicy {
    type Error = UnknownPolicy;

    fn try_from(word: String) -> Result<Self, UnknownPolicy> {
        word.parse()
    }
}

impl From<AddressPolicy> for &'static str {
    fn from(policy: AddressPolicy) -> Self {
        policy.as_str()
    }
}

impl fmt::Display for AddressPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_its_policy_keeps_all_or_the_network_or_nothing() {
        use AddressPolicy::{Full, None as Nothing, Truncated};
        for (policy, address, kept) in [
            (Full, "203.0.113.255", Some("::ffff:203.0.113.255")),
            (Full, "2a02:cf40:1:2:3:4:5:6", Some("2a02:cf40:1:2:3:4:5:6")),
            (Truncated, "203.0.113.255", Some("::ffff:203.0.113.0")),
            (Truncated, "::ffff:203.0.113.255", Some("::ffff:203.0.113.0")),
            (Truncated, "2a02:cf40:ffff:ffff::1", Some("2a02:cf40:ffff::")),
            (Nothing, "203.0.113.255", None),
            (Nothing, "2a02:cf40:1:2:3:4:5:6", None),
        ] {
            let kept = kept.map(|kept| kept.parse().unwrap());
            assert_eq!(policy.kept(address.parse().unwrap()), kept, "{policy} {address}");
        }
    }

    #[test]
    fn a_policy_is_known_by_its_word() {
        for policy in AddressPolicy::ALL {
            assert_eq!(AddressPolicy::from_word(policy.as_str()), Some(policy));
        }
        assert_eq!(AddressPolicy::from_word("Full"), None);
    }
}
