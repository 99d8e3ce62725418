//! ID tokens (OpenID Connect Core 1.0, section 3.1.3.7).

use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::OpenIdError;

/// Seconds that the provider's clock may differ from ours.
const CLOCKS_APART_MAX: i64 = 60;
/// Seconds ago that a token for a sign-in may have been made.
const AGE_MAX: i64 = 600;

/// What an ID token says, as far as it is needed.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct IdToken {
    pub(crate) sub: String,
    #[serde(rename = "aud", deserialize_with = "parties")]
    parties: usize,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nonce: Option<String>,
    #[serde(flatten)]
    pub(crate) profile: Profile,
}

/// What a provider says of a person, in the token or at its endpoint for that.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Profile {
    pub(crate) email: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub(crate) email_verified: bool,
    pub(crate) name: Option<String>,
}

/// How many parties the token is for: it names one, or a list of them.
fn parties<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let named = serde_json::Value::deserialize(deserializer)?;
    Ok(named.as_array().map_or(1, Vec::len))
}

/// Some providers write it as a text.
fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value == true || value == "true")
}

/// Whom the token must be for.
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) now: DateTime<Utc>,
}

/// The id of the key that signed it, if the token says so.
pub(crate) fn kid_of(token: &str) -> Result<Option<String>, OpenIdError> {
    let header = decode_header(token).map_err(|_| OpenIdError::Token("it is no JWT"))?;
    Ok(header.kid)
}

/// Of the provider's keys the one that a token names; or the only one there is, if it names none.
pub(crate) fn key_of<'k>(keys: &'k [Jwk], kid: Option<&str>) -> Option<&'k Jwk> {
    let signs = |key: &&Jwk| !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
    match (kid, keys) {
        (Some(kid), _) => keys.iter().filter(signs).find(|key| key.common.key_id.as_deref() == Some(kid)),
        (None, [key]) => Some(key).filter(signs),
        (None, _) => None,
    }
}

/// What the token says, if that key signed it and it is for this sign-in.
pub(crate) fn verify(token: &str, key: &Jwk, expected: &Expected<'_>) -> Result<IdToken, OpenIdError> {
    let algorithm = decode_header(token).map_err(|_| OpenIdError::Token("it is no JWT"))?.alg;
    if !fits(&key.algorithm, algorithm) {
        return Err(OpenIdError::Token("its algorithm does not fit its key"));
    }
    let decoding = DecodingKey::from_jwk(key).map_err(|_| OpenIdError::Token("its key can't be used"))?;
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // By our own clock, below: this crate would ask the system's.
    validation.validate_exp = false;
    let decoded = decode::<IdToken>(token, &decoding, &validation);
    let token = decoded.map_err(|_| OpenIdError::Token("its signature or claims are wrong"))?.claims;
    if token.azp.as_deref().map_or(token.parties > 1, |azp| azp != expected.client_id) {
        return Err(OpenIdError::Token("it was made for another client"));
    }
    let now = expected.now.timestamp();
    if token.exp <= now - CLOCKS_APART_MAX || token.iat > now + CLOCKS_APART_MAX || token.iat < now - AGE_MAX
    {
        return Err(OpenIdError::Token("it is not good at this time"));
    }
    let nonce = token.nonce.as_deref().unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(OpenIdError::Token("it answers another sign-in"));
    }
    // Core, section 2: at most 255 ASCII characters.
    if token.sub.is_empty() || token.sub.len() > 255 || !token.sub.is_ascii() {
        return Err(OpenIdError::Token("it names nobody"));
    }
    Ok(token)
}

/// The key decides which algorithms there are; the token chooses one of these.
fn fits(key: &AlgorithmParameters, algorithm: Algorithm) -> bool {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let fitting: &[Algorithm] = if let AlgorithmParameters::RSA(_) = key {
        &[RS256, RS384, RS512, PS256, PS384, PS512]
    } else if let AlgorithmParameters::OctetKeyPair(_) = key {
        &[EdDSA]
    } else if let AlgorithmParameters::EllipticCurve(key) = key {
        if key.curve == EllipticCurve::P256 { &[ES256] } else { &[ES384] }
    } else {
        &[]
    };
    fitting.contains(&algorithm)
}

#[cfg(test)]
mod tests;
