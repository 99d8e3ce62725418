use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::*;
use crate::random::Random;
use crate::secret::{Purpose, SecretText};

const ISSUER: &str = "https://weir.example";
const NOW: i64 = 1_796_040_000;

struct Keys {
    signs: SigningKey,
    verifies: VerifyingKey,
}

fn keys() -> Keys {
    let MadeKey { kid, public, private } = MadeKey::make().unwrap();
    Keys { signs: SigningKey::new(kid, &private), verifies: VerifyingKey::new(public) }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn good(keys: &Keys) -> String {
    let subject = Subject {
        person: PersonId::of_random([1; 16]),
        session: SessionId::of_random([2; 16]),
        tenant: Some(PublicTenantId::of_random([3; 16])),
        role: Some("owner".to_owned()),
        act: None,
    };
    sign(&keys.signs, ISSUER, Realm::Tenants, subject, at(NOW), "j".to_owned()).unwrap()
}

/// As a node does: first the header, then the rest with the key that it names.
fn taken(keys: &Keys, token: &str, now: i64) -> Result<Claims, NotTaken> {
    let kid = kid_of(token)?;
    if kid != keys.signs.kid() {
        return Err(NotTaken::UnknownKey);
    }
    verify(&keys.verifies, ISSUER, Realm::Tenants, token, at(now))
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Signed as ours are, with any header and any claims.
fn forged(keys: &Keys, header: &Value, claims: &Value) -> String {
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", text(header), text(claims));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), keys.signs.encoding(), Algorithm::EdDSA).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn a_token_is_good_from_its_making_for_fifteen_minutes() {
    let keys = keys();
    let token = good(&keys);
    let claims = taken(&keys, &token, NOW).unwrap();
    assert_eq!((claims.iat, claims.exp, claims.role.as_deref()), (NOW, NOW + 900, Some("owner")));
    assert!(taken(&keys, &token, NOW + 899).is_ok());
    assert_eq!(taken(&keys, &token, NOW + 900), Err(NotTaken::Expired));
    assert_eq!(taken(&keys, &token, NOW - 61), Err(NotTaken::Expired));
    assert_eq!(part(&token, 0), json!({"typ": "at+jwt", "alg": "EdDSA", "kid": keys.signs.kid()}));
}

#[test]
fn a_token_of_one_listener_is_none_on_the_other() {
    let keys = keys();
    let token = good(&keys);
    assert!(verify(&keys.verifies, ISSUER, Realm::Platform, &token, at(NOW)).is_err());
    let mut claims = part(&token, 1);
    claims["aud"] = json!("weir-operator");
    let other = forged(&keys, &part(&token, 0), &claims);
    assert!(verify(&keys.verifies, ISSUER, Realm::Platform, &other, at(NOW)).is_ok());
    assert_eq!(taken(&keys, &other, NOW), Err(NotTaken::Wrong));
}

#[test]
fn a_token_of_an_impersonation_is_good_for_thirty_minutes_and_no_other_is() {
    let keys = keys();
    let token = good(&keys);
    let (header, mut claims) = (part(&token, 0), part(&token, 1));
    claims["exp"] = json!(NOW + IMPERSONATION_SECONDS);
    assert_eq!(taken(&keys, &forged(&keys, &header, &claims), NOW), Err(NotTaken::Expired));
    claims["act"] = json!({"sub": claims["sub"]});
    let acting = forged(&keys, &header, &claims);
    assert!(taken(&keys, &acting, NOW + IMPERSONATION_SECONDS - 1).is_ok());
    assert_eq!(taken(&keys, &acting, NOW + IMPERSONATION_SECONDS), Err(NotTaken::Expired));
    claims["exp"] = json!(NOW + IMPERSONATION_SECONDS + 1);
    assert_eq!(taken(&keys, &forged(&keys, &header, &claims), NOW), Err(NotTaken::Expired));
}

#[test]
fn no_other_claims_are_taken_even_if_a_known_key_signed_them() {
    let keys = keys();
    let token = good(&keys);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    assert!(taken(&keys, &forged(&keys, &header, &claims), NOW).is_ok(), "the forger works");
    for (claim, value) in [
        ("exp", json!("1796040900")),
        ("exp", json!(1_796_040_900.5)),
        ("exp", json!(NOW + 901)),
        ("exp", json!(i64::MAX)),
        ("exp", json!([NOW + 900])),
        ("iat", json!("1796040000")),
        ("iat", json!(NOW + 61)),
        ("iat", json!(i64::MAX)),
        ("aud", json!("other")),
        ("aud", json!(["weir", "other"])),
        ("aud", json!([])),
        ("iss", json!("https://evil.example")),
        ("iss", json!(["https://weir.example"])),
        ("sub", json!("ses_0000000000000000000000")),
        ("sid", json!("usr_0000000000000000000000")),
        ("tenant", json!(1)),
        ("jti", json!(null)),
    ] {
        let mut other = claims.clone();
        other[claim] = value.clone();
        assert!(taken(&keys, &forged(&keys, &header, &other), NOW).is_err(), "{claim} {value}");
    }
    for claim in ["iss", "aud", "sub", "sid", "exp", "iat", "jti"] {
        let mut other = claims.clone();
        other.as_object_mut().unwrap().remove(claim);
        assert!(taken(&keys, &forged(&keys, &header, &other), NOW).is_err(), "without {claim}");
    }
}

#[test]
fn no_other_header_is_taken() {
    let keys = keys();
    let token = good(&keys);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    for (field, value) in [
        ("typ", json!("JWT")),
        ("typ", json!(null)),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("ES256")),
        ("kid", json!("0000000000000000")),
        ("kid", json!(null)),
        ("kid", json!("../../etc/passwd")),
        ("crit", json!(["exp"])),
    ] {
        let mut other = header.clone();
        other[field] = value.clone();
        assert!(taken(&keys, &forged(&keys, &other, &claims), NOW).is_err(), "{field} {value}");
    }
}

#[test]
fn a_key_that_a_token_brings_along_is_not_looked_at() {
    let (ours, theirs) = (keys(), keys());
    let token = good(&ours);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    let x = URL_SAFE_NO_PAD.encode(theirs.verifies.public());
    for (field, value) in [
        ("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": x})),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/chain.pem")),
    ] {
        let mut other = header.clone();
        other[field] = value;
        assert!(taken(&ours, &forged(&theirs, &other, &claims), NOW).is_err(), "{field}");
    }
}

#[test]
fn the_public_key_is_no_secret_to_sign_with() {
    let keys = keys();
    let token = good(&keys);
    let claims: Claims = taken(&keys, &token, NOW).unwrap();
    let mut header = Header::new(Algorithm::HS256);
    header.typ = Some(TYPE.to_owned());
    header.kid = Some(keys.signs.kid().to_owned());
    let secret = EncodingKey::from_secret(keys.verifies.public()).unwrap();
    let confused = encode(&header, &claims, &secret).unwrap();
    assert_eq!(taken(&keys, &confused, NOW), Err(NotTaken::Shape));
    assert!(
        verify(&keys.verifies, ISSUER, Realm::Tenants, &confused, at(NOW)).is_err(),
        "nor if its header were not read first"
    );
}

#[test]
fn what_was_changed_cut_or_is_another_secret_is_refused() {
    let keys = keys();
    let token = good(&keys);
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        // The last digit of a base-64 part has bits that are not used; the crate refuses these as well.
        assert!(taken(&keys, &changed, NOW).is_err(), "{at}");
    }
    let unsigned = token.rsplit_once('.').unwrap().0;
    for other in ["", ".", "..", "a.b.c", unsigned, &format!("{unsigned}."), &format!("{token}.x")] {
        assert!(taken(&keys, other, NOW).is_err(), "{other}");
    }
    for purpose in [Purpose::Refresh, Purpose::OneTime, Purpose::MachineToken] {
        let secret = SecretText::make(purpose, &Random::seeded(1));
        assert_eq!(taken(&keys, secret.expose(), NOW), Err(NotTaken::Shape));
    }
}
