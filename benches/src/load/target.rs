//! Where events are sent.

use anyhow::Context;
use hyper::Uri;
use hyper::header::HeaderValue;

/// One ingest node.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) host: HeaderValue,
    pub(crate) uri: Uri,
}

impl Target {
    /// From a base URL, to which `/v1/events` is added.
    pub(crate) fn parse(base: &str) -> anyhow::Result<Self> {
        let uri: Uri = base.parse()?;
        anyhow::ensure!(uri.scheme_str() == Some("http"), "only http:// is supported");
        let authority = uri.authority().context("no host")?;
        Ok(Self {
            address: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)),
            host: HeaderValue::try_from(authority.as_str())?,
            uri: format!("{}/v1/events", uri.path().trim_end_matches('/')).parse()?,
        })
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_have_a_path_and_a_slash_at_its_end() {
        for (base, address, path) in [
            ("http://localhost:8080", "localhost:8080", "/v1/events"),
            ("http://10.0.0.1:8080/", "10.0.0.1:8080", "/v1/events"),
            ("http://weir.example/in/", "weir.example:80", "/in/v1/events"),
            ("http://[::1]:9", "[::1]:9", "/v1/events"),
        ] {
            let target = Target::parse(base).unwrap();
            assert_eq!((target.address(), target.uri.path()), (address, path), "{base}");
        }
    }

    #[test]
    fn other_schemes_and_relative_urls_are_refused() {
        for base in ["https://a", "a:80", "/v1", ""] {
            assert!(Target::parse(base).is_err(), "{base}");
        }
    }
}
