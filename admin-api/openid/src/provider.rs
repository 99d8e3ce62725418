use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use hyper::StatusCode;
use jsonwebtoken::jwk::Jwk;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::http::{Http, Send};
use crate::metadata::{self, Metadata};
use crate::token::{self, Expected, Profile};
use crate::{OpenIdError, ProviderConfig};

/// How old what is known of a provider may be.
const READ_AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);
/// How often its keys are read at most because a token names one that is not known.
const UNKNOWN_EVERY: TimeDelta = TimeDelta::seconds(10);

/// A provider through which people may sign in.
pub struct Provider {
    config: ProviderConfig,
    redirect_uri: String,
    http: Http,
    known: Mutex<Option<Known>>,
}

/// What the provider has published, and when it was read.
#[derive(Clone)]
struct Known {
    metadata: Arc<Metadata>,
    keys: Arc<Vec<Jwk>>,
    at: DateTime<Utc>,
}

/// A sign-in under way. It belongs to one browser, and is a secret between it and weir.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pending {
    /// The provider's name.
    pub provider: String,
    state: String,
    nonce: String,
    verifier: String,
}

/// What the provider sent the browser back with.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
pub struct Answer {
    /// What the provider gives an identity for.
    code: Option<String>,
    /// What the browser was sent to the provider with.
    state: Option<String>,
    /// The provider's issuer (RFC 9207).
    iss: Option<String>,
    /// Why the provider gives none.
    error: Option<String>,
}

/// Who somebody is, by what a provider says.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The provider's issuer.
    pub issuer: String,
    /// Whom it means: for this issuer always the same person.
    pub subject: String,
    /// An address for mails, if it says that it has verified it.
    pub verified_email: Option<String>,
    /// What the person is called.
    pub name: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
    access_token: String,
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    profile: Profile,
}

#[derive(Default, Deserialize)]
struct TokenError {
    #[serde(default)]
    error: String,
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

impl Provider {
    /// A provider for the weir that people reach under `public_url`. It is asked nothing before somebody signs in.
    #[must_use]
    pub fn new(config: ProviderConfig, public_url: &str) -> Self {
        let base = public_url.trim_end_matches('/');
        let redirect_uri = format!("{base}/v1/auth/oidc/{}/callback", config.name);
        Self { config, redirect_uri, http: Http::new(), known: Mutex::default() }
    }

    /// How it is configured.
    #[must_use]
    pub fn config(&self) -> &ProviderConfig {
        &self.config
    }

    /// Where a browser is to go, and what it must bring back.
    ///
    /// # Errors
    /// If the provider does not answer.
    pub async fn begin(&self, now: DateTime<Utc>) -> Result<(String, Pending), OpenIdError> {
        let Known { metadata, .. } = self.known(now, READ_AGAIN_AFTER).await?;
        let pending = Pending {
            provider: self.config.name.clone(),
            state: random(),
            nonce: random(),
            verifier: random(),
        };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&pending.verifier));
        let query = form(&[
            ("response_type", "code"),
            ("scope", "openid email profile"),
            ("client_id", &self.config.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("state", &pending.state),
            ("nonce", &pending.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let endpoint = &metadata.authorization_endpoint;
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        Ok((format!("{endpoint}{separator}{query}"), pending))
    }

    /// Who it is that the provider sent back to us.
    ///
    /// # Errors
    /// [`OpenIdError`].
    pub async fn finish(
        &self,
        pending: &Pending,
        answer: &Answer,
        now: DateTime<Utc>,
    ) -> Result<Identity, OpenIdError> {
        let state = answer.state.as_deref().unwrap_or_default();
        let is_ours = bool::from(state.as_bytes().ct_eq(pending.state.as_bytes()));
        if !is_ours || pending.provider != self.config.name {
            return Err(OpenIdError::Token("the answer belongs to another sign-in"));
        }
        let known = self.known(now, READ_AGAIN_AFTER).await?;
        let must_name = known.metadata.authorization_response_iss_parameter_supported;
        if answer.iss.as_ref().map_or(must_name, |iss| *iss != self.config.issuer) {
            return Err(OpenIdError::Token("the answer comes from another provider"));
        }
        if let Some(error) = &answer.error {
            return Err(OpenIdError::Refused(
                error.chars().filter(char::is_ascii_graphic).take(60).collect(),
            ));
        }
        let code = answer.code.as_deref().ok_or(OpenIdError::Answer("it sent no code"))?;
        let tokens = self.exchange(&known.metadata, code, &pending.verifier).await?;
        let id_token = tokens.id_token.ok_or(OpenIdError::Answer("it gave no ID token"))?;
        let key = self.key(known.clone(), &id_token, now).await?;
        let (issuer, client_id) = (self.config.issuer.as_str(), self.config.client_id.as_str());
        let expected = Expected { issuer, client_id, nonce: &pending.nonce, now };
        let token = token::verify(&id_token, &key, &expected)?;
        let profile = match (&token.profile.email, &known.metadata.userinfo_endpoint) {
            (None, Some(endpoint)) => self.user_info(endpoint, &tokens.access_token, &token.sub).await?,
            _ => token.profile,
        };
        Ok(Identity {
            issuer: self.config.issuer.clone(),
            subject: token.sub,
            verified_email: profile.email.filter(|_| profile.email_verified),
            name: profile.name,
        })
    }

    /// Exchanges the code for tokens, with the verifier that no other browser has.
    async fn exchange(&self, of: &Metadata, code: &str, verifier: &str) -> Result<Tokens, OpenIdError> {
        let (id, secret) = (self.config.client_id.as_str(), self.config.client_secret.expose());
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", verifier),
        ];
        // RFC 6749, section 2.3.1: both are encoded as in a form first.
        let basic = format!("{}:{}", encoded(id), encoded(secret));
        let mut authorization = Some(format!("Basic {}", STANDARD.encode(basic)));
        if of.wants_secret_in_body() {
            authorization = None;
            fields.extend([("client_id", id), ("client_secret", secret)]);
        }
        let send = Send::Form { authorization, body: form(&fields) };
        let (status, body) = self.http.send(&of.token_endpoint, send).await?;
        if status != StatusCode::OK {
            let said: TokenError = serde_json::from_slice(&body).unwrap_or_default();
            let why: String = said.error.chars().filter(char::is_ascii_graphic).take(60).collect();
            return Err(OpenIdError::Refused(format!("status {}, {why}", status.as_u16())));
        }
        serde_json::from_slice(&body).map_err(|_| OpenIdError::Answer("its tokens can't be read"))
    }

    /// What it says of the person, where that does not stand in the token.
    async fn user_info(&self, url: &str, bearer: &str, subject: &str) -> Result<Profile, OpenIdError> {
        let UserInfo { sub, profile } = metadata::json(&self.http, url, Some(bearer)).await?;
        if sub == subject { Ok(profile) } else { Err(OpenIdError::Answer("it speaks of somebody else")) }
    }

    /// The key that signed the token. The provider may have made it a moment ago.
    async fn key(&self, mut known: Known, token: &str, now: DateTime<Utc>) -> Result<Jwk, OpenIdError> {
        let kid = token::kid_of(token)?;
        if token::key_of(&known.keys, kid.as_deref()).is_none() {
            known = self.known(now, UNKNOWN_EVERY).await?;
        }
        let key = token::key_of(&known.keys, kid.as_deref()).cloned();
        key.ok_or(OpenIdError::Token("no key of the provider signed it"))
    }

    async fn known(&self, now: DateTime<Utc>, age_max: TimeDelta) -> Result<Known, OpenIdError> {
        let known = self.known.lock().clone();
        if let Some(known) = known.filter(|known| (now - known.at).abs() < age_max) {
            return Ok(known);
        }
        let metadata = Metadata::read(&self.http, &self.config.issuer).await?;
        let keys = Arc::new(metadata.keys(&self.http).await?);
        let known = Known { metadata: Arc::new(metadata), keys, at: now };
        *self.known.lock() = Some(known.clone());
        Ok(known)
    }
}

/// Names and values as a form has them, and as a query may.
fn form(fields: &[(&str, &str)]) -> String {
    let pairs = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            // Writing to a string does not fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}
