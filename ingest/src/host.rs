//! The host that a client asked: the authority of the URI, or else the header `Host`.

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

/// Refuses a request of which a proxy on the way may have thought that another host was asked ([`service::host`]).
///
/// # Errors
/// `invalid_argument`.
pub fn check(parts: &Parts) -> Result<(), Problem> {
    service::host::check(parts.version, &parts.uri, &parts.headers)
        .map_err(|detail| Problem::new(Code::InvalidArgument, detail).at("host"))
}

#[cfg(test)]
mod tests {
    use hyper::{Request, Version};

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
    fn a_request_that_says_no_host_or_two_is_refused_with_a_problem() {
        assert_eq!(check(&request(Version::HTTP_11, "/", &["weir"])), Ok(()));
        for hosts in [&[][..], &["a", "b"], &["user@weir"]] {
            let refused = check(&request(Version::HTTP_11, "/", hosts)).unwrap_err();
            assert_eq!(refused.code, Code::InvalidArgument, "{hosts:?}");
        }
    }
}
