//! Settings of traces.

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};

use crate::config::{Secret, Settings};

/// Where spans are sent, and how many. Names that begin with `OTEL_` are OpenTelemetry's own.
#[derive(Debug, Clone)]
pub struct TraceConfig {
    /// Where `POST` takes spans; `None`: there are no traces.
    pub url: Option<Uri>,
    /// `name=value`, with commas, for the receiver.
    pub headers: Option<Secret>,
    /// The part of requests without a parent, and of batches, that is sampled: 0 to 1.
    pub sample: f64,
    /// Requests and batches that are sampled in a second at most.
    pub per_second_max: u32,
}

impl TraceConfig {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Self {
        let endpoint = settings.optional(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://host:port of an OpenTelemetry receiver (OTLP over HTTP) for traces; if it is not set, \
             there are none",
        );
        let url = endpoint.and_then(|endpoint| {
            let url = url(&endpoint);
            if url.is_none() {
                settings.refuse(
                    "OTEL_EXPORTER_OTLP_ENDPOINT is not http://host:port: for TLS, run a collector next to weir"
                        .to_owned(),
                );
            }
            url
        });
        let headers = settings.optional_secret(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "header fields for that receiver: name=value, with commas",
        );
        if headers.as_ref().is_some_and(|headers| pairs(headers).is_none()) {
            settings.refuse("OTEL_EXPORTER_OTLP_HEADERS is not name=value, with commas".to_owned());
        }
        Self {
            url,
            headers,
            sample: settings.number(
                "WEIR_TRACE_SAMPLE",
                0.01,
                0.0..=1.0,
                "part of requests, 0 to 1, that are traced although no client asks for it (`traceparent`)",
            ),
            per_second_max: settings.number(
                "WEIR_TRACES_PER_SECOND_MAX",
                100,
                1..=1_000_000,
                "requests that are traced in a second, whatever clients ask for; as many batches",
            ),
        }
    }

    /// The header fields as they are sent.
    pub(super) fn header_fields(&self) -> Vec<(HeaderName, HeaderValue)> {
        self.headers.as_ref().and_then(pairs).unwrap_or_default()
    }
}

/// The endpoint is a base: each signal has its own path below it.
fn url(endpoint: &str) -> Option<Uri> {
    let url: Uri = format!("{}/v1/traces", endpoint.trim_end_matches('/')).parse().ok()?;
    let has_host = url.host().is_some_and(|host| !host.is_empty());
    // A user would stand in the log, and reach no receiver: what it is to know goes into the headers.
    let has_user = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    (url.scheme_str() == Some("http") && has_host && !has_user).then_some(url)
}

fn pairs(headers: &Secret) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let fields = headers.expose().split(',').filter(|field| !field.trim().is_empty());
    fields
        .map(|field| {
            let (name, value) = field.split_once('=')?;
            Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (TraceConfig, usize) {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut settings = Settings::new(pairs);
        let config = TraceConfig::read(&mut settings);
        (config, settings.finish().err().map_or(0, |error| error.0.len()))
    }

    #[test]
    fn the_endpoint_is_a_base_and_without_it_there_are_no_traces() {
        assert_eq!(read(&[]).0.url, None);
        for (endpoint, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("http://[::1]:80/otlp", "http://[::1]:80/otlp/v1/traces"),
        ] {
            let (config, mistakes) = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]);
            assert_eq!((config.url.unwrap().to_string().as_str(), mistakes), (url, 0));
        }
    }

    #[test]
    fn every_mistake_is_reported() {
        for bad in ["https://collector:4318", "collector:4318", "http://", "localhost"] {
            assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", bad)]).1, 1, "{bad}");
        }
        for bad in ["no", "a b=c", "a=\u{1}"] {
            assert_eq!(read(&[("OTEL_EXPORTER_OTLP_HEADERS", bad)]).1, 1, "{bad}");
        }
        for bad in ["-0.1", "1.1", "NaN", "much"] {
            assert_eq!(read(&[("WEIR_TRACE_SAMPLE", bad)]).1, 1, "{bad}");
        }
        let (config, mistakes) =
            read(&[("OTEL_EXPORTER_OTLP_HEADERS", "x-scope-orgid=weir, authorization=Basic eA==")]);
        assert_eq!((config.header_fields().len(), mistakes), (2, 0));
    }
}
