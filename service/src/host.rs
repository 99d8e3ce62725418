//! Whether a request says which host is asked, and says it once.

use hyper::header::HOST;
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Uri, Version};

/// Refuses a request of which a proxy on the way may have thought that another host was asked: without `Host` in
/// HTTP/1.1, with several, or with one that is no host (RFC 9112, 3.2; RFC 9113, 8.3.1).
///
/// # Errors
/// What is wrong with it, for people.
pub fn check(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let is_one = first.is_some() && second.is_none();
    let may_lack = version != Version::HTTP_11 && second.is_none();
    if !is_one && !may_lack {
        return Err("a request of HTTP/1.1 needs one `Host` in its header");
    }
    let in_header = first.is_none_or(|host| host.to_str().is_ok_and(is_host));
    let in_uri = uri.authority().is_none_or(|authority| is_host(authority.as_str()));
    if in_header && in_uri {
        return Ok(());
    }
    Err("`Host` must be a name or an address, and may have a port; it holds no user and no path")
}

/// A host and perhaps a port (RFC 3986, 3.2), and nothing else.
fn is_host(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let host = authority.host();
    let port = text.strip_prefix(host);
    let is_port = |port: &str| {
        port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
    };
    // What stands before the host is a user.
    !host.is_empty() && port.is_some_and(|port| port.is_empty() || is_port(port))
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::{HOST, Version};

    fn check(version: Version, uri: &str, hosts: &[&str]) -> Result<(), &'static str> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        super::check(parts.version, &parts.uri, &parts.headers)
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for good in
            ["weir", "weir:7400", "weir:", "events.example.com", "127.0.0.1:80", "[::1]", "[2001:db8::1]:443"]
        {
            assert_eq!(check(Version::HTTP_11, "/", &[good]), Ok(()), "{good}");
        }
        for bad in [
            "",
            " ",
            ":80",
            "user@weir",
            "user:secret@weir:80",
            "@weir",
            "weir/",
            "weir/v1",
            "http://weir",
            "weir:x",
            "weir:80:80",
            "a b",
            "weir?x",
            "weir#x",
            "[::1",
            "weir\u{e9}",
        ] {
            assert!(check(Version::HTTP_11, "/", &[bad]).is_err(), "{bad:?}");
            assert!(check(Version::HTTP_10, "/", &[bad]).is_err(), "{bad:?} in HTTP/1.0");
        }
        assert!(check(Version::HTTP_11, "http://user@weir/", &["weir"]).is_err());
        assert!(check(Version::HTTP_2, "https://user@weir/", &[]).is_err());
    }

    #[test]
    fn http_1_1_alone_needs_a_host_and_nobody_may_name_two() {
        assert!(check(Version::HTTP_11, "/", &[]).is_err());
        assert!(check(Version::HTTP_11, "http://weir/", &[]).is_err());
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert_eq!(check(version, "/", &[]), Ok(()));
        }
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert!(check(version, "/", &["a", "b"]).is_err(), "{version:?}");
        }
    }
}
