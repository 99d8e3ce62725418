//! Passkeys of an authenticator that makes and signs as real ones do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is wrong")]

use passkeys::{
    Assertion, Authenticated, Base64Url, NewCredential, NotTaken, Registered, RelyingParty, StoredKey, User,
    UserVerification,
};
use serde_json::Value;
use testkit::{KeyKind, SoftAuthenticator};

const ORIGIN: &str = "https://weir.example";
const CHALLENGE: [u8; 32] = [7; 32];
const KINDS: [KeyKind; 3] = [KeyKind::P256, KeyKind::Ed25519, KeyKind::Rsa];

fn party() -> RelyingParty {
    RelyingParty::of_url(ORIGIN).unwrap()
}

fn authenticator(kind: KeyKind) -> SoftAuthenticator {
    SoftAuthenticator::new(kind, ORIGIN, "weir.example")
}

/// What a browser is given, as it gets it.
fn creation(challenge: &[u8]) -> Value {
    let user = User { handle: &[1; 16], name: "ada@example.com", display_name: "Ada" };
    serde_json::to_value(party().creation_options(challenge, &user, Vec::new())).unwrap()
}

fn request(challenge: &[u8]) -> Value {
    let options = party().request_options(challenge, Vec::new(), UserVerification::Required);
    serde_json::to_value(options).unwrap()
}

fn made(value: Value) -> NewCredential {
    serde_json::from_value(value).unwrap()
}

fn shown(value: Value) -> Assertion {
    serde_json::from_value(value).unwrap()
}

fn registered(authenticator: &mut SoftAuthenticator) -> Registered {
    party().register(&CHALLENGE, &made(authenticator.make(&creation(&CHALLENGE)))).unwrap()
}

fn authenticate(of: &Registered, shown: &Assertion) -> Result<Authenticated, NotTaken> {
    let key = StoredKey { public_key: &of.public_key, sign_count: of.sign_count };
    party().authenticate(&CHALLENGE, key, shown, UserVerification::Required)
}

#[test]
fn a_passkey_of_each_kind_is_made_and_signs() {
    for kind in KINDS {
        let mut authenticator = authenticator(kind);
        let registered = registered(&mut authenticator);
        assert_eq!(registered.credential_id, authenticator.credential_id);
        assert_eq!(registered.transports, ["internal", "hybrid"]);
        authenticator.sign_count += 1;
        let good = authenticate(&registered, &shown(authenticator.sign(&request(&CHALLENGE)))).unwrap();
        assert_eq!((good.sign_count, good.is_verified, good.is_backed_up), (2, true, false), "{kind:?}");
    }
}

#[test]
fn a_browser_is_asked_in_the_standards_words() {
    let options = creation(&CHALLENGE);
    assert_eq!(options["rp"], serde_json::json!({"id": "weir.example", "name": "weir"}));
    assert_eq!(options["challenge"], Base64Url(CHALLENGE.to_vec()).text());
    assert_eq!(options["attestation"], "none");
    let algorithms: Vec<_> =
        options["pubKeyCredParams"].as_array().unwrap().iter().map(|p| p["alg"].clone()).collect();
    assert_eq!(algorithms, [-8, -7, -257]);
    assert_eq!(options["authenticatorSelection"]["residentKey"], "preferred");
    let options = request(&CHALLENGE);
    assert_eq!(
        (options["rpId"].as_str(), options["userVerification"].as_str()),
        (Some("weir.example"), Some("required"))
    );
}

#[test]
fn what_was_made_elsewhere_or_for_something_else_is_not_taken() {
    type Spoil = fn(&mut SoftAuthenticator);
    let spoil: [(Spoil, NotTaken); 6] = [
        (|it| it.origin = "https://weir.example.evil.example".to_owned(), NotTaken::Origin),
        (|it| it.origin = "http://weir.example".to_owned(), NotTaken::Origin),
        (|it| it.origin = "https://weir.example:8443".to_owned(), NotTaken::Origin),
        (|it| it.is_framed = true, NotTaken::Origin),
        (|it| it.party = "example".to_owned(), NotTaken::Party),
        (|it| it.is_present = false, NotTaken::NotPresent),
    ];
    for (spoil, why) in spoil {
        let mut it = authenticator(KeyKind::P256);
        let good = registered(&mut it);
        it.sign_count += 1;
        spoil(&mut it);
        assert_eq!(party().register(&CHALLENGE, &made(it.make(&creation(&CHALLENGE)))), Err(why));
        assert_eq!(authenticate(&good, &shown(it.sign(&request(&CHALLENGE)))), Err(why));
    }
    let mut it = authenticator(KeyKind::P256);
    let good = registered(&mut it);
    it.sign_count += 1;
    assert_eq!(authenticate(&good, &shown(it.sign(&request(&[8; 32])))), Err(NotTaken::Challenge));
    let other = party().register(&CHALLENGE, &made(it.make(&creation(&[8; 32]))));
    assert_eq!(other, Err(NotTaken::Challenge));
}

#[test]
fn a_registration_is_no_sign_in_and_a_sign_in_no_registration() {
    let mut it = authenticator(KeyKind::P256);
    let good = registered(&mut it);
    it.sign_count += 1;
    let (mut creation, mut assertion) = (it.make(&creation(&CHALLENGE)), it.sign(&request(&CHALLENGE)));
    let client_data = creation["response"]["clientDataJSON"].take();
    creation["response"]["clientDataJSON"] = assertion["response"]["clientDataJSON"].take();
    assertion["response"]["clientDataJSON"] = client_data;
    assert_eq!(party().register(&CHALLENGE, &made(creation)), Err(NotTaken::Type));
    assert_eq!(authenticate(&good, &shown(assertion)), Err(NotTaken::Type));
}

#[test]
fn who_touches_it_is_asked_for_where_nothing_else_is_shown() {
    let mut it = authenticator(KeyKind::Ed25519);
    let good = registered(&mut it);
    it.sign_count += 1;
    it.is_verified = false;
    let shown = shown(it.sign(&request(&CHALLENGE)));
    assert_eq!(authenticate(&good, &shown), Err(NotTaken::NotVerified));
    let key = StoredKey { public_key: &good.public_key, sign_count: good.sign_count };
    let after_a_password = party().authenticate(&CHALLENGE, key, &shown, UserVerification::Preferred);
    assert!(!after_a_password.unwrap().is_verified);
}

#[test]
fn a_counter_goes_on_or_stays_at_nothing() {
    for (stored, signed, good) in [
        (0, 0, true),
        (0, 1, true),
        (1, 2, true),
        (5, 5, false),
        (5, 4, false),
        (5, 0, false),
        (u32::MAX - 1, u32::MAX, true),
        (u32::MAX, u32::MAX, false),
    ] {
        let mut it = authenticator(KeyKind::Ed25519);
        let mut registered = registered(&mut it);
        registered.sign_count = stored;
        it.sign_count = signed;
        let assertion = shown(it.sign(&request(&CHALLENGE)));
        let taken = authenticate(&registered, &assertion);
        assert_eq!(taken.is_ok(), good, "{stored} {signed}");
        assert!(good || taken == Err(NotTaken::Counter));
    }
}

#[test]
fn another_key_and_changed_bytes_sign_nothing() {
    for kind in KINDS {
        let (mut it, mut other) = (authenticator(kind), authenticator(kind));
        let good = registered(&mut it);
        other.sign_count += 1;
        let of_other = shown(other.sign(&request(&CHALLENGE)));
        assert_eq!(authenticate(&good, &of_other), Err(NotTaken::Signature), "{kind:?}");
        it.sign_count += 1;
        let right = shown(it.sign(&request(&CHALLENGE)));
        assert!(authenticate(&good, &right).is_ok());
        for at in [0, 5, right.response.signature.0.len() - 1] {
            let mut changed = right.clone();
            changed.response.signature.0[at] ^= 1;
            assert_eq!(authenticate(&good, &changed), Err(NotTaken::Signature), "{kind:?} {at}");
        }
        let mut counted = right.clone();
        counted.response.authenticator_data.0[36] ^= 64;
        assert_eq!(authenticate(&good, &counted), Err(NotTaken::Signature), "the counter is signed");
        let mut spaced = right.clone();
        spaced.response.client_data_json.0.push(b' ');
        assert_eq!(authenticate(&good, &spaced), Err(NotTaken::Signature), "so is what the browser says");
    }
}

#[test]
fn what_is_cut_off_or_followed_by_more_can_not_be_read() {
    let mut it = authenticator(KeyKind::P256);
    let whole = made(it.make(&creation(&CHALLENGE)));
    let length = whole.response.attestation_object.0.len();
    for at in 0..length {
        let mut cut = whole.clone();
        cut.response.attestation_object.0.truncate(at);
        assert!(party().register(&CHALLENGE, &cut).is_err(), "{at}");
    }
    let mut more = whole.clone();
    more.response.attestation_object.0.push(0);
    assert!(party().register(&CHALLENGE, &more).is_err());
    assert!(party().register(&CHALLENGE, &whole).is_ok());
    let good = registered(&mut it);
    it.sign_count += 1;
    let whole = shown(it.sign(&request(&CHALLENGE)));
    for at in 0..whole.response.authenticator_data.0.len() {
        let mut cut = whole.clone();
        cut.response.authenticator_data.0.truncate(at);
        assert!(authenticate(&good, &cut).is_err(), "{at}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_of_a_browser_panic(object: Vec<u8>, data: Vec<u8>, key: Vec<u8>) {
        let mut it = authenticator(KeyKind::Ed25519);
        let mut creation = made(it.make(&creation(&CHALLENGE)));
        creation.response.attestation_object = Base64Url(object);
        let _ = party().register(&CHALLENGE, &creation);
        let mut assertion = shown(it.sign(&request(&CHALLENGE)));
        assertion.response.authenticator_data = Base64Url(data);
        let key = StoredKey { public_key: &key, sign_count: 0 };
        let _ = party().authenticate(&CHALLENGE, key, &assertion, UserVerification::Required);
    }
}
