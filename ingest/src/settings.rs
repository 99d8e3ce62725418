//! What SDKs ask for before they send a first event: which destinations the project has.
//!
//! The browser SDKs of Segment and RudderStack, and their mobile ones, send nothing until they know. The answer is the
//! same for every key: there are none but weir. So it is made from the request alone, and does not disclose whether a
//! key is good: events are refused where it is not.

use hyper::StatusCode;
use hyper::http::request::Parts;
use schemas::key::PresentedKey;
use schemas::problem::Problem;
use serde_json::json;
use uuid::Uuid;

use crate::reply::{self, Reply};
use crate::routes::SettingsDialect;
use crate::{auth, host};

/// The settings of a project in the shape that a family of SDKs reads.
///
/// # Errors
/// A 401 for a key that is missing or is none.
pub fn settings(request_id: Uuid, family: SettingsDialect, parts: &Parts) -> Result<Reply, Problem> {
    let Parts { uri, headers, .. } = parts;
    let document = match family {
        SettingsDialect::Segment => {
            let key = uri.path().trim_matches('/').split('/').nth(2).unwrap_or_default();
            auth::from_text(key)?;
            segment(key, host::asked(parts))
        }
        SettingsDialect::RudderStack => {
            let key = match auth::from_header(headers)? {
                Some(key) => Some(key),
                None => auth::from_query(uri.query().unwrap_or_default())?,
            };
            rudderstack(&key.ok_or_else(auth::missing)?)
        }
    };
    Ok(reply::json(StatusCode::OK, "application/json", document.to_string().into_bytes(), request_id))
}

/// `apiHost` is where the SDK sends events: to the host that it asked. Without it they would go to Segment, with the
/// key.
fn segment(key: &str, host: Option<&str>) -> serde_json::Value {
    let mut own = json!({"apiKey": key});
    if let Some(host) = host {
        own["apiHost"] = format!("{host}/v1").into();
    }
    json!({"integrations": {"Segment.io": own}})
}

/// The source's id is the key's, which is public.
fn rudderstack(key: &PresentedKey) -> serde_json::Value {
    let id = key.id.to_string();
    json!({"source": {"id": id, "name": "weir", "enabled": true, "config": {}, "destinations": []}})
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use http_body_util::BodyExt;
    use hyper::header::{AUTHORIZATION, HOST};
    use hyper::{Request, Version};
    use schemas::key::ApiKey;
    use schemas::problem::Code;
    use serde_json::Value;

    use super::*;

    fn ask(family: SettingsDialect, uri: &str, authorization: Option<String>) -> Result<Value, Code> {
        let mut request = Request::builder().uri(uri).header(HOST, "events.example.com");
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        document(family, request.body(()).unwrap())
    }

    fn document(family: SettingsDialect, request: Request<()>) -> Result<Value, Code> {
        let (parts, ()) = request.into_parts();
        let reply = settings(Uuid::nil(), family, &parts).map_err(|problem| problem.code)?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let collected = runtime.block_on(reply.into_body().collect()).unwrap();
        Ok(serde_json::from_slice(&collected.to_bytes()).unwrap())
    }

    #[test]
    fn the_settings_of_analytics_js_name_the_host_that_it_asked() {
        let key = ApiKey::generate();
        let document =
            ask(SettingsDialect::Segment, &format!("/v1/projects/{}/settings", key.expose()), None);
        let own = json!({"apiKey": key.expose(), "apiHost": "events.example.com/v1"});
        assert_eq!(document, Ok(json!({"integrations": {"Segment.io": own}})));
        assert_eq!(ask(SettingsDialect::Segment, "/v1/projects/x/settings", None), Err(Code::MalformedKey));
    }

    #[test]
    fn the_host_is_that_of_the_uri_where_http2_and_absolute_form_have_it() {
        let key = ApiKey::generate();
        let uri = format!("https://localhost:8443/v1/projects/{}/settings", key.expose());
        for (version, hosts) in [(Version::HTTP_2, &[][..]), (Version::HTTP_11, &["elsewhere"])] {
            let mut request = Request::builder().version(version).uri(&uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let document = document(SettingsDialect::Segment, request.body(()).unwrap()).unwrap();
            assert_eq!(document["integrations"]["Segment.io"]["apiHost"], "localhost:8443/v1", "{version:?}");
        }
    }

    #[test]
    fn the_settings_of_rudderstacks_sdks_have_no_destinations() {
        let key = ApiKey::generate();
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:", key.expose())));
        let in_query = format!("/sourceConfig/?p=web&writeKey={}", key.expose());
        let by_header = ask(SettingsDialect::RudderStack, "/sourceConfig/?p=web", Some(basic)).unwrap();
        assert_eq!(ask(SettingsDialect::RudderStack, &in_query, None), Ok(by_header.clone()));
        let source = &by_header["source"];
        // What these SDKs look at before they start.
        assert!(source["id"].is_string() && source["enabled"] == true && source["config"].is_object());
        assert_eq!(source["destinations"], json!([]));
        assert!(!by_header.to_string().contains(&key.expose()[20..]), "the secret is not repeated");
        assert_eq!(ask(SettingsDialect::RudderStack, "/sourceConfig/?p=web", None), Err(Code::MissingKey));
    }
}
