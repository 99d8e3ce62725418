//! Signing in with passkeys.

use accounts::{AuthError, Login, PageRequest, ProposedPasskey, SignedIn, people};
use passkeys::{Assertion, NewCredential};
use schemas::permission::PlatformRole;
use schemas::public_id::PersonId;
use serde_json::Value;
use testkit::{KeyKind, SoftAuthenticator};

use crate::house::{CHEAP, House, PASSWORD, another, client, is_refused, password, secret};
use crate::place::SECOND;

/// As [`House::fresh`] has it.
const ORIGIN: &str = "https://weir.example";

struct Keyed {
    house: House,
    id: PersonId,
    key: SoftAuthenticator,
    recovery: Vec<String>,
}

fn key() -> SoftAuthenticator {
    SoftAuthenticator::new(KeyKind::P256, ORIGIN, "weir.example")
}

fn made(key: &mut SoftAuthenticator, options: &impl serde::Serialize) -> NewCredential {
    serde_json::from_value(key.make(&serde_json::to_value(options).unwrap())).unwrap()
}

fn signed(key: &mut SoftAuthenticator, options: &Value) -> Assertion {
    serde_json::from_value(key.sign(options)).unwrap()
}

impl Keyed {
    /// Somebody with a passkey.
    async fn fresh() -> Self {
        let house = House::fresh().await;
        let id = house.person("ada@example.com", "acme").await;
        let mut key = key();
        let ProposedPasskey { challenge, options } =
            house.auth.propose_passkey(id, password(), &client(1)).await.unwrap();
        let made = made(&mut key, &options);
        key.sign_count += 1;
        let added = house.auth.add_passkey(id, &challenge, "phone", &made, &client(1)).await.unwrap();
        Self { house, id, key, recovery: added.recovery_codes.unwrap() }
    }

    /// After the password: the challenge, and what a browser is given.
    async fn challenge(&self) -> (String, Value) {
        match self.house.auth.login("ada@example.com", secret(PASSWORD), &client(1)).await.unwrap() {
            Login::Challenge { challenge, methods, passkey: Some(options) } => {
                assert_eq!(methods, ["passkey", "recovery_code"]);
                (challenge.expose().to_owned(), serde_json::to_value(options).unwrap())
            }
            Login::SignedIn(_) | Login::Challenge { .. } => panic!("no passkey was asked for"),
        }
    }

    fn alone(&self) -> (String, Value) {
        let begun = self.house.auth.begin_passkey_login().unwrap();
        (begun.challenge, serde_json::to_value(begun.options).unwrap())
    }

    async fn show(&self, challenge: &str, shown: &Assertion) -> Result<SignedIn, AuthError> {
        self.house.auth.login_passkey(challenge, shown, &client(1)).await
    }
}

#[tokio::test]
async fn a_passkey_is_asked_for_after_the_password_and_taken_once() {
    let mut keyed = Keyed::fresh().await;
    assert_eq!(keyed.house.mails_of("second_factor_changed", "ada@example.com").await, 1);
    let (challenge, options) = keyed.challenge().await;
    assert_eq!(options["allowCredentials"][0]["type"], "public-key");
    let shown = signed(&mut keyed.key, &options);
    assert_eq!(keyed.show(&challenge, &shown).await.unwrap().person.id, keyed.id);
    assert!(is_refused(&keyed.show(&challenge, &shown).await), "a replay");
    let (other, _) = keyed.challenge().await;
    assert!(is_refused(&keyed.show(&other, &shown).await), "a signature of another challenge");
    let (challenge, _) = keyed.challenge().await;
    let auth = &keyed.house.auth;
    assert!(auth.login_recovery_code(&challenge, &keyed.recovery[0], &client(1)).await.is_ok());
}

#[tokio::test]
async fn a_passkey_alone_signs_in_where_it_verifies_its_person() {
    let mut keyed = Keyed::fresh().await;
    let (challenge, options) = keyed.alone();
    assert_eq!(options["allowCredentials"], serde_json::json!([]));
    keyed.key.is_verified = false;
    let unverified = signed(&mut keyed.key, &options);
    assert!(is_refused(&keyed.show(&challenge, &unverified).await));
    keyed.key.is_verified = true;
    let shown = signed(&mut keyed.key, &options);
    let (one, two) = tokio::join!(keyed.show(&challenge, &shown), keyed.show(&challenge, &shown));
    assert_eq!(u8::from(one.is_ok()) + u8::from(two.is_ok()), 1, "two at once with one signature");
    let second = signed(&mut keyed.key, &options);
    assert!(is_refused(&keyed.show(&challenge, &second).await), "a second signature");
    let (challenge, options) = keyed.alone();
    let shown = signed(&mut keyed.key, &options);
    keyed.house.wait(300);
    assert!(is_refused(&keyed.show(&challenge, &shown).await), "five minutes later");
}

#[tokio::test]
async fn a_challenge_that_somebody_made_up_or_of_another_weir_is_none() {
    let mut keyed = Keyed::fresh().await;
    let (challenge, options) = keyed.alone();
    for text in ["", "wp_", "wp_AAAA", &challenge[..challenge.len() - 1], &format!("{challenge}A")] {
        let shown = signed(&mut keyed.key, &options);
        assert!(is_refused(&keyed.show(text, &shown).await), "{text}");
    }
    let elsewhere = another(&keyed.house.place, CHEAP, "https://other.example");
    let begun = elsewhere.begin_passkey_login().unwrap();
    let shown = signed(&mut keyed.key, &serde_json::to_value(begun.options).unwrap());
    let other = elsewhere.login_passkey(&begun.challenge, &shown, &client(1)).await;
    assert!(is_refused(&other), "made on a page of ours, for another site");
    let by_address = another(&keyed.house.place, CHEAP, "http://127.0.0.1:7401");
    assert!(matches!(by_address.begin_passkey_login(), Err(AuthError::Invalid(_))));
}

#[tokio::test]
async fn another_persons_passkey_is_no_second_factor_and_signs_in_its_own_person_alone() {
    let mut keyed = Keyed::fresh().await;
    let bob = keyed.house.person("bob@example.com", "bobs").await;
    let ProposedPasskey { challenge, options } =
        keyed.house.auth.propose_passkey(bob, password(), &client(1)).await.unwrap();
    let mut bobs = key();
    let new = made(&mut bobs, &options);
    let to_ada = keyed.house.auth.add_passkey(keyed.id, &challenge, "x", &new, &client(1)).await;
    assert!(is_refused(&to_ada), "the challenge is bob's");
    keyed.house.auth.add_passkey(bob, &challenge, "key", &new, &client(1)).await.unwrap();
    bobs.sign_count += 1;
    let (challenge, options) = keyed.challenge().await;
    assert!(is_refused(&keyed.show(&challenge, &signed(&mut bobs, &options)).await));
    let (challenge, options) = keyed.alone();
    bobs.user_handle = Some(keyed.id.uuid().as_bytes().to_vec());
    assert!(
        is_refused(&keyed.show(&challenge, &signed(&mut bobs, &options)).await),
        "it says that it is ada's"
    );
    bobs.user_handle = Some(bob.uuid().as_bytes().to_vec());
    assert_eq!(keyed.show(&challenge, &signed(&mut bobs, &options)).await.unwrap().person.id, bob);
    // A passkey is one person's.
    let ProposedPasskey { challenge, options } =
        keyed.house.auth.propose_passkey(bob, password(), &client(1)).await.unwrap();
    let again = made(&mut keyed.key, &options);
    let taken = keyed.house.auth.add_passkey(bob, &challenge, "stolen", &again, &client(1)).await;
    assert!(matches!(taken, Err(AuthError::Invalid(_))));
}

#[tokio::test]
async fn a_counter_that_goes_back_is_refused_and_noted() {
    let mut keyed = Keyed::fresh().await;
    let (challenge, options) = keyed.challenge().await;
    keyed.key.sign_count = 9;
    let shown = signed(&mut keyed.key, &options);
    keyed.show(&challenge, &shown).await.unwrap();
    for alone in [false, true] {
        let (challenge, options) = if alone { keyed.alone() } else { keyed.challenge().await };
        keyed.key.sign_count = 9;
        let shown = signed(&mut keyed.key, &options);
        assert!(is_refused(&keyed.show(&challenge, &shown).await));
    }
    let noted = "SELECT count(*) FROM audit_entry WHERE action = 'passkey.copied'";
    assert_eq!(keyed.house.place.number(noted).await, 2);
}

#[tokio::test]
async fn passkeys_are_listed_and_removed_by_who_shows_the_password_again() {
    let keyed = Keyed::fresh().await;
    let who = keyed.house.auth.signed_in(&access(&keyed).await, &client(1)).await.unwrap();
    let auth = &keyed.house.auth;
    let listed = auth.passkeys(&who, &client(1), &PageRequest::default()).await.unwrap().items;
    assert_eq!((listed.len(), listed[0].name.as_str()), (1, "phone"));
    let wrong = accounts::Proof::Password(secret("wrong-wrong-wrong"));
    assert!(is_refused(&auth.remove_passkey(keyed.id, listed[0].id, wrong, &client(1)).await));
    let bob = keyed.house.person("bob@example.com", "bobs").await;
    assert!(
        !auth.remove_passkey(bob, listed[0].id, password(), &client(1)).await.unwrap(),
        "it is not bob's"
    );
    assert!(auth.remove_passkey(keyed.id, listed[0].id, password(), &client(1)).await.unwrap());
    keyed.house.login("ada@example.com").await;
    assert_eq!(keyed.house.place.number("SELECT count(*) FROM recovery_code").await, 0);
}

async fn access(keyed: &Keyed) -> String {
    let (challenge, _) = keyed.challenge().await;
    let auth = &keyed.house.auth;
    let signed_in = auth.login_recovery_code(&challenge, &keyed.recovery[1], &client(1)).await;
    signed_in.unwrap().access_token
}

#[tokio::test]
async fn somebody_has_twenty_passkeys_and_no_more() {
    let house = House::fresh().await;
    let id = house.person("ada@example.com", "acme").await;
    for n in 0..20 {
        let proposed = house.auth.propose_passkey(id, password(), &client(1)).await.unwrap();
        let new = made(&mut key(), &proposed.options);
        let added = house.auth.add_passkey(id, &proposed.challenge, "key", &new, &client(1)).await.unwrap();
        assert_eq!(added.recovery_codes.is_some(), n == 0, "codes come with the first");
    }
    let more = house.auth.propose_passkey(id, password(), &client(1)).await;
    assert!(matches!(more, Err(AuthError::Invalid(_))));
}

#[tokio::test]
async fn a_secret_that_is_not_confirmed_stands_in_for_no_passkey() {
    let house = House::fresh().await;
    let id = house.person("ada@example.com", "acme").await;
    house.auth.propose_totp(id, password(), &client(1)).await.unwrap();
    let mut key = key();
    let proposed = house.auth.propose_passkey(id, password(), &client(1)).await.unwrap();
    let made = made(&mut key, &proposed.options);
    house.auth.add_passkey(id, &proposed.challenge, "phone", &made, &client(1)).await.unwrap();
    assert_eq!(house.place.number("SELECT count(*) FROM second_factor").await, 0);

    let keyed = Keyed::fresh().await;
    let app = keyed.house.auth.propose_totp(keyed.id, password(), &client(1)).await.unwrap();
    let (challenge, _) = keyed.challenge().await;
    let code = testkit::app_code(&app.secret, keyed.house.place.clock.now_micros() / SECOND);
    assert!(is_refused(&keyed.house.auth.login_totp(&challenge, &code, &client(1)).await));
}

#[tokio::test]
async fn an_operator_takes_passkeys_away_from_who_has_lost_them() {
    let keyed = Keyed::fresh().await;
    let house = &keyed.house;
    let mut scope = house.place.platform().await;
    assert!(people::find(&mut scope, "ada@example.com").await.unwrap().person.has_second_factor);
    let shown = people::remove_second_factor(&mut scope, "ada@example.com", "lost").await.unwrap();
    assert!(!shown.person.has_second_factor);
    house.auth.mail_factor_removed(&mut scope, &shown.person).await.unwrap();
    scope.commit().await.unwrap();
    house.login("ada@example.com").await;
    assert_eq!(house.mails_of("second_factor_changed", "ada@example.com").await, 2);
    assert_eq!(house.place.number("SELECT count(*) FROM recovery_code").await, 0);
}

#[tokio::test]
async fn an_operator_with_nothing_but_a_passkey_learns_what_to_do() {
    let keyed = Keyed::fresh().await;
    let place = &keyed.house.place;
    let mut scope = place.platform().await;
    people::grant(&mut scope, "ada@example.com", PlatformRole::Operator).await.unwrap();
    scope.commit().await.unwrap();
    let operators = another(place, CHEAP, "https://weir.example").of_platform();
    let refused = operators.login("ada@example.com", secret(PASSWORD), &client(1)).await.unwrap_err();
    assert!(refused.to_string().contains("add an app"), "{refused}");
}
