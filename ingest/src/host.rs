//! The host that a client asked: the authority of the URI, or else the header `Host`.

use hyper::Version;
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use schemas::problem::{Code, Problem};

/// The host, with the port if there is one. HTTP/2 names it in `:authority`, HTTP/1 in `Host`, unless the request is in
/// absolute form: then `Host` does not count (RFC 9112, 3.2.2). `None` if the request names none.
#[must_use]
pub fn asked(parts: &Parts) -> Option<&str> {
    let in_header = || parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    parts.uri.authority().map(Authority::as_str).or_else(in_header)
}

/// Refuses a request of which a proxy on the way may have thought that another host was asked: without `Host` in
/// HTTP/1.1, with several, or with one that is no host (RFC 9112, 3.2; RFC 9113, 8.3.1).
///
/// # Errors
/// `invalid_argument`.
pub fn check(parts: &Parts) -> Result<(), Problem> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let is_one = first.is_some() && second.is_none();
    let may_lack = parts.version != Version::HTTP_11 && second.is_none();
    if !is_one && !may_lack {
        return Err(refused("a request of HTTP/1.1 needs one `Host` in its header"));
    }
    let in_header = first.is_none_or(|host| host.to_str().is_ok_and(is_host));
    let in_uri = parts.uri.authority().is_none_or(|authority| is_host(authority.as_str()));
    if in_header && in_uri {
        return Ok(());
    }
    Err(refused("`Host` must be a name or an address, and may have a port; it holds no user and no path"))
}

fn refused(detail: &'static str) -> Problem {
    Problem::new(Code::InvalidArgument, detail).at("host")
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

    use super::*;

    fn request(version: Version, uri: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_host_that_was_asked_is_the_uris_before_the_headers() {
        for (uri, hosts, expected) in [
            ("/v1/events", &["weir:7400"][..], Some("weir:7400")),
            ("http://absolute/v1/events", &["weir"], Some("absolute")),
            ("https://events.example.com:8443/v1/events", &[], Some("events.example.com:8443")),
            ("/v1/events", &[], None),
        ] {
            assert_eq!(asked(&request(Version::HTTP_2, uri, hosts)), expected, "{uri} {hosts:?}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for good in
            ["weir", "weir:7400", "weir:", "events.example.com", "127.0.0.1:80", "[::1]", "[2001:db8::1]:443"]
        {
            assert_eq!(check(&request(Version::HTTP_11, "/", &[good])), Ok(()), "{good}");
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
            let parts = request(Version::HTTP_11, "/", &[bad]);
            assert_eq!(check(&parts).map_err(|problem| problem.code), Err(Code::InvalidArgument), "{bad:?}");
            let older = request(Version::HTTP_10, "/", &[bad]);
            assert!(check(&older).is_err(), "{bad:?} in HTTP/1.0");
        }
        assert!(check(&request(Version::HTTP_11, "http://user@weir/", &["weir"])).is_err());
        assert!(check(&request(Version::HTTP_2, "https://user@weir/", &[])).is_err());
    }

    #[test]
    fn http_1_1_alone_needs_a_host_and_nobody_may_name_two() {
        assert!(check(&request(Version::HTTP_11, "/", &[])).is_err());
        assert!(check(&request(Version::HTTP_11, "http://weir/", &[])).is_err());
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert_eq!(check(&request(version, "/", &[])), Ok(()));
        }
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert!(check(&request(version, "/", &["a", "b"])).is_err(), "{version:?}");
        }
    }
}
