//! What a provider publishes of itself: OpenID Connect Discovery 1.0, and its keys.

use hyper::StatusCode;
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::OpenIdError;
use crate::config::is_allowed;
use crate::http::{Http, Send};

/// What a provider publishes of itself, as far as it is needed.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Metadata {
    issuer: String,
    pub(crate) authorization_endpoint: String,
    pub(crate) token_endpoint: String,
    pub(crate) userinfo_endpoint: Option<String>,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) authorization_response_iss_parameter_supported: bool,
}

/// Keys as they are published. Some may be of kinds that we do not know.
#[derive(Deserialize)]
struct Keys {
    keys: Vec<serde_json::Value>,
}

impl Metadata {
    pub(crate) async fn read(http: &Http, issuer: &str) -> Result<Self, OpenIdError> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let found: Self = json(http, &url, None).await?;
        if found.issuer != issuer {
            return Err(OpenIdError::Answer("it calls itself by another issuer than is configured"));
        }
        let endpoints = [&found.authorization_endpoint, &found.token_endpoint, &found.jwks_uri];
        if !endpoints.into_iter().chain(&found.userinfo_endpoint).all(|url| is_allowed(url)) {
            return Err(OpenIdError::Answer("one of its addresses is no HTTPS URL"));
        }
        Ok(found)
    }

    pub(crate) async fn keys(&self, http: &Http) -> Result<Vec<Jwk>, OpenIdError> {
        let Keys { keys } = json(http, &self.jwks_uri, None).await?;
        Ok(keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect())
    }

    /// Whether our secret goes into the body of the request for a token: only where the header is not taken.
    pub(crate) fn wants_secret_in_body(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let takes = |method: &str| methods.iter().any(|of| of == method);
        takes("client_secret_post") && !takes("client_secret_basic")
    }
}

/// What stands under that URL.
pub(crate) async fn json<T: DeserializeOwned>(
    http: &Http,
    url: &str,
    bearer: Option<&str>,
) -> Result<T, OpenIdError> {
    let (status, body) = http.send(url, Send::Get { bearer }).await?;
    if status != StatusCode::OK {
        return Err(OpenIdError::Answer("it does not give what it has to publish"));
    }
    serde_json::from_slice(&body).map_err(|_| OpenIdError::Answer("what it publishes can't be read"))
}
