//! Access tokens: JWTs, signed with Ed25519, good for 15 minutes. And the keys that sign them.

mod key;
mod ring;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use schemas::public_id::{PersonId, PublicTenantId, SessionId};
use serde::{Deserialize, Serialize};

use crate::realm::Realm;

pub(crate) use key::{MadeKey, NotMade, SigningKey, VerifyingKey};
pub(crate) use ring::KeyRing;
pub use ring::{Jwk, Jwks};

/// Seconds that an access token is good for.
pub const ACCESS_TOKEN_SECONDS: i64 = 15 * 60;
/// RFC 9068: no other kind of JWT is taken for an access token.
const TYPE: &str = "at+jwt";
/// Seconds that the token of an impersonation is good for.
pub const IMPERSONATION_SECONDS: i64 = 30 * 60;

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who made it: the URL of this weir.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// The person.
    pub sub: PersonId,
    /// The session, which must be open.
    pub sid: SessionId,
    /// The tenant it is for, if the person is a member of any.
    pub tenant: Option<PublicTenantId>,
    /// The role there when it was made. For who reads the token: what is allowed is looked up.
    pub role: Option<String>,
    /// Unix seconds from which it is refused.
    pub exp: i64,
    /// Unix seconds at which it was made.
    pub iat: i64,
    /// Its own id.
    pub jti: String,
    /// Of an impersonation alone: who acts (RFC 8693), one of the platform's people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Acting>,
}

/// Somebody of the platform who acts in a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acting {
    /// The person.
    pub sub: PersonId,
}

impl Claims {
    /// Seconds from its making that it may be good for.
    fn life_seconds(&self) -> i64 {
        if self.act.is_some() { IMPERSONATION_SECONDS } else { ACCESS_TOKEN_SECONDS }
    }
}

/// Why a token is not taken. For the log alone: who presents it learns nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// No JWT, another algorithm, another kind, or without the id of a key.
    #[error("it is no access token")]
    Shape,
    /// No key has this id.
    #[error("no key has its key id")]
    UnknownKey,
    /// Signature, issuer, audience, or a claim is missing or of another type.
    #[error("its signature or claims are wrong")]
    Wrong,
    /// It is too old, or from the future.
    #[error("it is not good at this time")]
    Expired,
}

/// What is to stand in a token.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) person: PersonId,
    pub(crate) session: SessionId,
    pub(crate) tenant: Option<PublicTenantId>,
    pub(crate) role: Option<String>,
    pub(crate) act: Option<Acting>,
}

/// Makes a token for that listener. `None`: the key can't sign.
pub(crate) fn sign(
    key: &SigningKey,
    issuer: &str,
    realm: Realm,
    subject: Subject,
    now: DateTime<Utc>,
    jti: String,
) -> Option<String> {
    let Subject { person, session, tenant, role, act } = subject;
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(TYPE.to_owned());
    header.kid = Some(key.kid().to_owned());
    let iat = now.timestamp();
    let (iss, aud) = (issuer.to_owned(), realm.audience().to_owned());
    let mut claims = Claims { iss, aud, sub: person, sid: session, tenant, role, exp: iat, iat, jti, act };
    claims.exp += claims.life_seconds();
    encode(&header, &claims, key.encoding()).ok()
}

/// The id of the key that a token names. Nothing else is read of its header, least of all where keys might be.
pub(crate) fn kid_of(token: &str) -> Result<String, NotTaken> {
    let header = decode_header(token).map_err(|_| NotTaken::Shape)?;
    if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TYPE) {
        return Err(NotTaken::Shape);
    }
    header.kid.ok_or(NotTaken::Shape)
}

/// What a token says, if `key` signed it for that listener and it is good at `now`.
pub(crate) fn verify(
    key: &VerifyingKey,
    issuer: &str,
    realm: Realm,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Claims, NotTaken> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[realm.audience()]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // By our own clock, below: this crate would ask the system's.
    validation.validate_exp = false;
    let claims: Claims = decode(token, key.decoding(), &validation).map_err(|_| NotTaken::Wrong)?.claims;
    // A key is ours alone, so a token of the future is one of a clock that was wrong.
    let made = claims.iat..=claims.iat.saturating_add(claims.life_seconds());
    if claims.exp <= now.timestamp() || claims.iat > now.timestamp() + 60 || !made.contains(&claims.exp) {
        return Err(NotTaken::Expired);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests;
