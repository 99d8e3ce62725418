//! An authenticator for passkeys that makes and signs as real ones do, on a page that may be an attacker's.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// With which kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256, as phones and most keys have it.
    P256,
    /// Ed25519.
    Ed25519,
    /// RSA with 2048 bits, as older Windows has it.
    Rsa,
}

enum Key {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// An authenticator with one passkey, in a browser that shows a page. A test may set what either says.
pub struct SoftAuthenticator {
    key: Key,
    /// The passkey's id.
    pub credential_id: Vec<u8>,
    /// Where the page is from.
    pub origin: String,
    /// Which site the authenticator takes it for.
    pub party: String,
    /// Whether somebody touches it.
    pub is_present: bool,
    /// Whether it finds out who.
    pub is_verified: bool,
    /// What the next signature says of how many there were. It goes on by itself; 0 stays.
    pub sign_count: u32,
    /// Whether the page stands in another page.
    pub is_framed: bool,
    /// Whose passkey it is, once it knows.
    pub user_handle: Option<Vec<u8>>,
}

const PRESENT: u8 = 1;
const VERIFIED: u8 = 4;
const HAS_KEY: u8 = 64;

impl SoftAuthenticator {
    /// A new key, on the page of an honest site.
    #[must_use]
    pub fn new(kind: KeyKind, origin: &str, party: &str) -> Self {
        let key = match kind {
            KeyKind::P256 => Key::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()),
            KeyKind::Ed25519 => Key::Ed25519(Ed25519KeyPair::generate().unwrap()),
            KeyKind::Rsa => Key::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
        };
        let mut authenticator = Self {
            key,
            credential_id: Vec::new(),
            origin: origin.to_owned(),
            party: party.to_owned(),
            is_present: true,
            is_verified: true,
            sign_count: 1,
            is_framed: false,
            user_handle: None,
        };
        authenticator.credential_id = Sha256::digest(authenticator.cose_key()).to_vec();
        authenticator
    }

    /// What the browser gives the page after `navigator.credentials.create` with these options.
    pub fn make(&mut self, options: &Value) -> Value {
        self.user_handle = Some(decoded(&options["user"]["id"]));
        let client_data = self.client_data("webauthn.create", &options["challenge"]);
        let mut data = self.data(HAS_KEY);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.credential_id.len()).unwrap().to_be_bytes());
        data.extend(&self.credential_id);
        data.extend(self.cose_key());
        let mut object = head(5, 3);
        for (name, value) in [("fmt", text("none")), ("attStmt", head(5, 0)), ("authData", bytes(&data))] {
            object.extend(text(name));
            object.extend(value);
        }
        let id = encoded(&self.credential_id);
        json!({
            "id": id, "rawId": id, "type": "public-key", "authenticatorAttachment": "platform",
            "clientExtensionResults": {"credProps": {"rk": true}},
            "response": {
                "clientDataJSON": encoded(&client_data), "attestationObject": encoded(&object),
                "transports": ["internal", "hybrid"], "publicKeyAlgorithm": -7,
            },
        })
    }

    /// What the browser gives the page after `navigator.credentials.get` with these options.
    pub fn sign(&mut self, options: &Value) -> Value {
        let client_data = self.client_data("webauthn.get", &options["challenge"]);
        let data = self.data(0);
        if self.sign_count > 0 {
            self.sign_count = self.sign_count.saturating_add(1);
        }
        let signed = [data.as_slice(), Sha256::digest(&client_data).as_slice()].concat();
        let id = encoded(&self.credential_id);
        json!({
            "id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encoded(&client_data), "authenticatorData": encoded(&data),
                "signature": encoded(&self.signature(&signed)),
                "userHandle": self.user_handle.as_deref().map(encoded),
            },
        })
    }

    fn client_data(&self, kind: &str, challenge: &Value) -> Vec<u8> {
        let data = json!({
            "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.is_framed,
            "other_keys_can_be_added_here": "do not compare clientDataJSON against a template",
        });
        data.to_string().into_bytes()
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        let present = u8::from(self.is_present) * PRESENT;
        let verified = u8::from(self.is_verified) * VERIFIED;
        let mut data = Sha256::digest(self.party.as_bytes()).to_vec();
        data.push(flags | present | verified);
        data.extend(self.sign_count.to_be_bytes());
        data
    }

    fn cose_key(&self) -> Vec<u8> {
        match &self.key {
            Key::P256(pair) => {
                let point = pair.public_key().as_ref();
                // Kind 2, algorithm -7, curve 1, x, y.
                let mut key = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21];
                key.extend(bytes(&point[1..33]));
                key.push(0x22);
                key.extend(bytes(&point[33..]));
                key
            }
            Key::Ed25519(pair) => {
                // Kind 1, algorithm -8, curve 6, x.
                let mut key = vec![0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21];
                key.extend(bytes(pair.public_key().as_ref()));
                key
            }
            Key::Rsa(pair) => {
                // DER: a sequence of two numbers, the modulus with a zero before it.
                let der = pair.public_key().as_ref();
                // Kind 3, algorithm -257, n, e.
                let mut key = vec![0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20];
                key.extend(bytes(&der[9..265]));
                key.push(0x21);
                key.extend(bytes(&der[267..]));
                key
            }
        }
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Key::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decoded(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

/// CBOR's first bytes of a value of that kind and length.
fn head(kind: u8, length: usize) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(length @ 0..=23) => vec![kind << 5 | length],
        Ok(length) => vec![kind << 5 | 24, length],
        Err(_) => [vec![kind << 5 | 25], u16::try_from(length).unwrap().to_be_bytes().to_vec()].concat(),
    }
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len()), bytes.to_vec()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [head(3, text.len()), text.as_bytes().to_vec()].concat()
}
