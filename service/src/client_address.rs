//! Where a client is, seen through the proxies that stand before the node.
//!
//! Each proxy appends the address that it was reached from to `X-Forwarded-For`, so the list is true from its right
//! end as far as those who wrote it are trusted; what stands further left, the client may have made up. `Forwarded`
//! (RFC 7239) is not read: hardly any proxy writes it unasked, most pass on one that a client has sent, and two
//! sources that contradict each other would be one too many.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use hyper::HeaderMap;
use hyper::header::HeaderName;

use crate::config::Settings;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Networks of proxies whose word counts. None, by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    /// Without the bits behind the prefix.
    first: IpAddr,
    prefix_bits: u8,
}

impl TrustedProxies {
    /// Reads the setting, which is the same for every listener that clients reach.
    pub fn of(settings: &mut Settings) -> Self {
        settings.get(
            "WEIR_TRUSTED_PROXIES",
            Self::default(),
            "networks, with commas, of proxies whose X-Forwarded-For says where a client is, as in 10.0.0.0/8,::1",
        )
    }

    /// The client's address: the peer's, unless that is a proxy. Then the first address from the right in
    /// `X-Forwarded-For` that is no proxy; the left-most one if all are; the peer's if an entry on that way is no
    /// address, since nobody then says what came before.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if self.0.is_empty() || !self.trusts(peer) {
            return peer;
        }
        let mut nearest = peer;
        for line in headers.get_all(FORWARDED_FOR).iter().rev() {
            let Ok(line) = line.to_str() else { return peer };
            for entry in line.rsplit(',') {
                let Some(address) = address(entry.trim_matches([' ', '\t'])) else { return peer };
                if !self.trusts(address) {
                    return address;
                }
                nearest = address;
            }
        }
        nearest
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.holds(address))
    }
}

/// An address, perhaps with a port, an IPv6 one then in brackets.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']'));
    let address = match bare {
        Some(inner) => inner.parse().map(IpAddr::V6).ok(),
        None => entry.parse().ok().or_else(|| entry.parse().ok().map(|socket: SocketAddr| socket.ip())),
    };
    address.map(|address| address.to_canonical())
}

impl Network {
    fn holds(self, address: IpAddr) -> bool {
        cut(address, self.prefix_bits) == Some(self.first)
    }
}

/// The address without the bits behind the prefix; `None` if it has fewer bits than that.
fn cut(address: IpAddr, prefix_bits: u8) -> Option<IpAddr> {
    let prefix_bits = u32::from(prefix_bits);
    match address {
        IpAddr::V4(ip) => {
            let behind = u32::BITS.checked_sub(prefix_bits)?;
            let mask = u32::MAX.checked_shl(behind).unwrap_or(0);
            Some(IpAddr::from((ip.to_bits() & mask).to_be_bytes()))
        }
        IpAddr::V6(ip) => {
            let behind = u128::BITS.checked_sub(prefix_bits)?;
            let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
            Some(IpAddr::from((ip.to_bits() & mask).to_be_bytes()))
        }
    }
}

/// What is wrong with a list of networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network such as 10.0.0.0/8 with nothing set behind its prefix")]
pub struct NoNetwork(String);

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let wrong = || NoNetwork(text.to_owned());
        let (first, prefix_bits) = match text.split_once('/') {
            Some((first, prefix_bits)) => (first, Some(prefix_bits.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let first: IpAddr = first.parse().map_err(|_| wrong())?;
        let prefix_bits = prefix_bits.unwrap_or(if first.is_ipv4() { 32 } else { 128 });
        if cut(first, prefix_bits) == Some(first) { Ok(Self { first, prefix_bits }) } else { Err(wrong()) }
    }
}

impl FromStr for TrustedProxies {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Network { first, prefix_bits }) in self.0.iter().enumerate() {
            write!(f, "{}{first}/{prefix_bits}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const PROXIES: &str = "10.0.0.0/8, 192.168.1.7,2001:db8:aaaa::/48,127.0.0.1";

    fn client(peer: &str, lines: &[&str]) -> String {
        let proxies: TrustedProxies = PROXIES.parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_client_is_the_rightmost_address_that_is_no_proxy() {
        for (peer, lines, expected) in [
            // Nobody in between, or nobody whose word counts.
            ("203.0.113.9", &[][..], "203.0.113.9"),
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("11.0.0.1", &["198.51.100.1"], "11.0.0.1"),
            ("192.168.1.8", &["198.51.100.1"], "192.168.1.8"),
            // A proxy that says nothing.
            ("10.1.2.3", &[], "10.1.2.3"),
            // One, two and three hops.
            ("10.1.2.3", &["198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3", &["198.51.100.1, 10.9.9.9"], "198.51.100.1"),
            ("10.1.2.3", &["198.51.100.1,192.168.1.7 ,\t10.9.9.9"], "198.51.100.1"),
            // What the client made up stands further left.
            ("10.1.2.3", &["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3", &["10.0.0.1, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
            ("10.1.2.3", &["garbage, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
            // Several lines are one list.
            ("10.1.2.3", &["1.2.3.4", "198.51.100.1", "10.9.9.9"], "198.51.100.1"),
            // All are proxies: the one that is furthest away.
            ("10.1.2.3", &["10.0.0.8, 10.0.0.9"], "10.0.0.8"),
            // IPv6, ports, IPv4 within IPv6.
            ("2001:db8:aaaa::5", &["2001:db8:bbbb::1"], "2001:db8:bbbb::1"),
            ("2001:db8:aaaa::5", &["[2001:db8:bbbb::1]"], "2001:db8:bbbb::1"),
            ("2001:db8:aaaa::5", &["[2001:db8:bbbb::1]:4711"], "2001:db8:bbbb::1"),
            ("2001:db8:aaab::5", &["198.51.100.1"], "2001:db8:aaab::5"),
            ("10.1.2.3", &["198.51.100.1:4711, 10.9.9.9:80"], "198.51.100.1"),
            ("::ffff:10.1.2.3", &["::ffff:198.51.100.1"], "198.51.100.1"),
            ("127.0.0.1", &["::ffff:10.4.4.4"], "10.4.4.4"),
            // Garbage where it matters: the peer's own.
            ("10.1.2.3", &[""], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.1,"], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.1, unknown, 10.9.9.9"], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.1, _hidden"], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.256"], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.1:"], "10.1.2.3"),
            ("10.1.2.3", &["2001:db8::1]:80"], "10.1.2.3"),
            ("10.1.2.3", &["[198.51.100.1]"], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.1", "\u{e9}"], "10.1.2.3"),
        ] {
            assert_eq!(client(peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn networks_are_read_and_written_and_wrong_ones_are_refused() {
        let proxies: TrustedProxies = PROXIES.parse().unwrap();
        let written = proxies.to_string();
        assert_eq!(written, "10.0.0.0/8,192.168.1.7/32,2001:db8:aaaa::/48,127.0.0.1/32");
        assert_eq!(written.parse(), Ok(proxies));
        let all: TrustedProxies = "0.0.0.0/0,::/0".parse().unwrap();
        assert!(all.trusts("203.0.113.9".parse().unwrap()) && all.trusts("2001:db8::1".parse().unwrap()));
        assert_eq!("".parse(), Ok(TrustedProxies::default()));
        for wrong in
            ["10.0.0.0/33", "::/129", "10.0.0.1/8", "ten", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8"]
        {
            assert_eq!(wrong.parse::<TrustedProxies>(), Err(NoNetwork(wrong.to_owned())), "{wrong}");
        }
    }
}
