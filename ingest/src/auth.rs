//! Which key a request presents.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use schemas::key::{KeyError, PresentedKey};
use schemas::problem::{Code, Problem};

/// A header longer than this holds no key.
const HEADER_BYTES_MAX: usize = 1024;
/// Parameters of a URL that hold a key.
const QUERY_NAMES: [&str; 5] = ["writeKey", "write_key", "key", "api_key", "token"];

/// The key in `Authorization`: `Bearer <key>`, or `Basic` with the key as the user's name. `None` if there is no
/// such header.
///
/// # Errors
/// A 401 that says what is wrong with the header or the key.
pub fn from_header(headers: &HeaderMap) -> Result<Option<PresentedKey>, Problem> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().ok().filter(|value| value.len() <= HEADER_BYTES_MAX).ok_or_else(malformed)?;
    let (scheme, credentials) = value.trim().split_once(' ').ok_or_else(malformed)?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return from_text(credentials).map(Some);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = STANDARD.decode(credentials).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(malformed)?;
    let user = decoded.split_once(':').map_or(decoded.as_str(), |(user, _)| user);
    from_text(user).map(Some)
}

/// The key in a URL's query: `?writeKey=`, `?key=` and the names that other SDKs use. A browser's beacon can set no
/// header. `None` if there is none; the query is never logged.
///
/// # Errors
/// A 401 that says what is wrong with it.
pub fn from_query(query: &str) -> Result<Option<PresentedKey>, Problem> {
    let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    let key = parameters.find(|(name, value)| QUERY_NAMES.contains(name) && !value.is_empty());
    key.map(|(_, key)| from_text(key)).transpose()
}

/// The key in a text: a header's or a body's.
///
/// # Errors
/// A 401 that says what is wrong with it.
pub fn from_text(text: &str) -> Result<PresentedKey, Problem> {
    PresentedKey::parse(text).map_err(|error| {
        let detail = match error {
            KeyError::Shape => {
                "the key does not have the form wk_live_<id>_<secret>: check that it was copied whole"
            }
            KeyError::Checksum => "a letter of the key is wrong: copy it again",
        };
        Problem::new(Code::MalformedKey, detail).at("authorization")
    })
}

/// The 401 for a request without any key.
#[must_use]
pub fn missing() -> Problem {
    let detail = "send the API key as `Authorization: Bearer <key>`, or as the user name of `Basic`";
    Problem::new(Code::MissingKey, detail).at("authorization")
}

fn malformed() -> Problem {
    let detail = "`Authorization` must be `Bearer <key>`, or `Basic` with the key as the user name";
    Problem::new(Code::MalformedKey, detail).at("authorization")
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use schemas::key::ApiKey;

    use super::*;

    fn parse(value: &str) -> Result<Option<PresentedKey>, Problem> {
        from_header(&HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())]))
    }

    #[test]
    fn bearer_and_basic_present_the_same_key() {
        let key = ApiKey::generate();
        let expected = PresentedKey::parse(key.expose()).unwrap().id;
        for credentials in
            [format!("{}:", key.expose()), format!("{}:x", key.expose()), key.expose().to_owned()]
        {
            let basic = format!("basic {}", STANDARD.encode(credentials));
            assert_eq!(parse(&basic).unwrap().unwrap().id, expected);
        }
        assert_eq!(parse(&format!("Bearer  {}", key.expose())).unwrap().unwrap().id, expected);
        assert!(from_header(&HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn a_query_presents_a_key_under_each_name_that_sdks_use() {
        let key = ApiKey::generate();
        let expected = PresentedKey::parse(key.expose()).unwrap().id;
        for name in QUERY_NAMES {
            let query = format!("ip=0&{name}=&compression=gzip-js&{name}={}&_=1", key.expose());
            assert_eq!(from_query(&query).unwrap().unwrap().id, expected, "{name}");
        }
        for none in ["", "&&", "key", "key=", "monkey=x", "Key=x"] {
            assert!(from_query(none).unwrap().is_none(), "{none}");
        }
        assert_eq!(from_query("key=x").err().map(|problem| problem.code), Some(Code::MalformedKey));
    }

    #[test]
    fn other_headers_are_malformed_and_never_missing() {
        let long = format!("Bearer {}", "x".repeat(HEADER_BYTES_MAX));
        for value in ["", "Bearer", "Bearer x", "Digest x", "Basic !!!", "Basic /w==", long.as_str()] {
            assert_eq!(parse(value).err().map(|problem| problem.code), Some(Code::MalformedKey), "{value}");
        }
    }
}
