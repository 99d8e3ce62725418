use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_796_040_000;

struct Signer {
    private: EncodingKey,
    public: Jwk,
}

fn signer(kid: &str) -> Signer {
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let public = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": "EdDSA"});
    let private = EncodingKey::from_ed_der(pair.to_pkcs8().unwrap().as_ref());
    Signer { private, public: serde_json::from_value(public).unwrap() }
}

fn good() -> Value {
    json!({
        "iss": "https://sso.example", "aud": "weir", "sub": "248289761001", "nonce": "n-0S6_WzA2Mj",
        "iat": NOW - 5, "exp": NOW + 300, "email": "ada@example.com", "email_verified": true,
    })
}

fn signed(signer: &Signer, claims: &Value) -> String {
    encode(&Header::new(Algorithm::EdDSA), claims, &signer.private).unwrap()
}

fn taken(token: &str, key: &Jwk) -> Result<IdToken, OpenIdError> {
    let expected = Expected {
        issuer: "https://sso.example",
        client_id: "weir",
        nonce: "n-0S6_WzA2Mj",
        now: DateTime::from_timestamp(NOW, 0).unwrap(),
    };
    verify(token, key, &expected)
}

/// `good` with some claims of another value, or without them where that is null.
fn with(changes: &Value) -> Value {
    let mut claims = good();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

#[test]
fn a_token_for_this_sign_in_says_who_it_is() {
    let signer = signer("1");
    let token = taken(&signed(&signer, &good()), &signer.public).unwrap();
    assert_eq!(
        (token.sub.as_str(), token.profile.email.as_deref()),
        ("248289761001", Some("ada@example.com"))
    );
    for (changes, verified) in [
        (json!({"email_verified": "true"}), true),
        (json!({"email_verified": "false"}), false),
        (json!({"email_verified": 1}), false),
        (json!({"email_verified": null}), false),
    ] {
        let token = taken(&signed(&signer, &with(&changes)), &signer.public).unwrap();
        assert_eq!(token.profile.email_verified, verified, "{changes}");
    }
    for changes in [
        json!({"aud": ["weir"]}),
        json!({"aud": ["weir", "other"], "azp": "weir"}),
        json!({"exp": NOW - 59, "iat": NOW - 300}),
        json!({"iat": NOW + 60}),
    ] {
        assert!(taken(&signed(&signer, &with(&changes)), &signer.public).is_ok(), "{changes}");
    }
}

#[test]
fn a_token_for_another_sign_in_client_issuer_or_time_is_refused() {
    let signer = signer("1");
    for changes in [
        json!({"iss": "https://evil.example"}),
        json!({"iss": "https://sso.example/"}),
        json!({"iss": null}),
        json!({"aud": "other"}),
        json!({"aud": []}),
        json!({"aud": null}),
        json!({"aud": ["weir", "other"]}),
        json!({"aud": ["weir", "other"], "azp": "other"}),
        json!({"azp": "other"}),
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"exp": NOW - 60}),
        json!({"exp": null}),
        json!({"exp": "2000000000"}),
        json!({"iat": NOW + 61}),
        json!({"iat": NOW - 601}),
        json!({"iat": null}),
        json!({"sub": ""}),
        json!({"sub": null}),
        json!({"sub": "x".repeat(256)}),
        json!({"sub": "é"}),
    ] {
        assert!(taken(&signed(&signer, &with(&changes)), &signer.public).is_err(), "{changes}");
    }
}

#[test]
fn no_other_key_or_algorithm_signs() {
    let (signer, other) = (signer("1"), self::signer("1"));
    assert!(taken(&signed(&other, &good()), &signer.public).is_err());
    // The public key as a shared secret.
    let AlgorithmParameters::OctetKeyPair(pair) = &signer.public.algorithm else { panic!("Ed25519") };
    for secret in [pair.x.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(&pair.x).unwrap()] {
        let header = Header::new(Algorithm::HS256);
        let forged = encode(&header, &good(), &EncodingKey::from_secret(&secret).unwrap()).unwrap();
        assert!(taken(&forged, &signer.public).is_err());
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in ["none", "None", "RS256", "ES256"] {
        let bare = format!("{}.{}.", part(&json!({"alg": algorithm, "typ": "JWT"})), part(&good()));
        assert!(taken(&bare, &signer.public).is_err(), "{algorithm}");
    }
    let token = signed(&signer, &good());
    let (signed_part, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = signed_part.split_once('.').unwrap();
    let swapped = format!("{header}.{}.{signature}", part(&with(&json!({"sub": "1"}))));
    assert!(taken(&swapped, &signer.public).is_err());
    for text in ["", ".", "..", "a.b.c", signed_part] {
        assert!(taken(text, &signer.public).is_err(), "{text}");
    }
}

#[test]
fn a_key_is_found_by_its_id_or_because_it_is_the_only_one() {
    let keys = [signer("1").public, signer("2").public];
    assert!(key_of(&keys, Some("2")).is_some_and(|key| key.common.key_id.as_deref() == Some("2")));
    assert!(key_of(&keys, Some("3")).is_none() && key_of(&keys, None).is_none());
    assert!(key_of(&keys[..1], None).is_some());
    let mut for_encryption = keys[0].clone();
    for_encryption.common.public_key_use = Some(PublicKeyUse::Encryption);
    assert!(key_of(&[for_encryption], Some("1")).is_none());
}
