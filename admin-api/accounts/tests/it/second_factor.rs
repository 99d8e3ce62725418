//! One-time codes and recovery codes: each is good once.

use accounts::{AuthError, Login, Proof, SealKey, SecretText, SignedIn};
use data_encoding::BASE32_NOPAD;
use schemas::public_id::PersonId;
use testkit::app_code as app;

use crate::house::{House, PASSWORD, client, is_refused, password, secret};
use crate::place::SECOND;

struct Guarded {
    house: House,
    id: PersonId,
    totp: String,
    recovery: Vec<String>,
}

impl Guarded {
    /// Somebody with a second factor.
    async fn fresh() -> Self {
        let house = House::fresh().await;
        let id = house.person("ada@example.com", "acme").await;
        let proposed = house.auth.propose_totp(id, password(), &client(1)).await.unwrap();
        let code = app(&proposed.secret, house.place.clock.now_micros() / SECOND);
        let recovery = house.auth.confirm_totp(id, &code, &client(1)).await.unwrap().recovery_codes;
        house.wait(60);
        Self { house, id, totp: proposed.secret, recovery }
    }

    fn code(&self) -> String {
        app(&self.totp, self.house.place.clock.now_micros() / SECOND)
    }

    async fn challenge(&self) -> SecretText {
        match self.house.auth.login("ada@example.com", secret(PASSWORD), &client(1)).await.unwrap() {
            Login::Challenge { challenge, methods, passkey: None } => {
                assert_eq!(methods, ["totp", "recovery_code"]);
                challenge
            }
            Login::SignedIn(_) | Login::Challenge { .. } => panic!("no second factor was asked for"),
        }
    }

    async fn show(&self, challenge: &SecretText, code: &str) -> Result<SignedIn, AuthError> {
        self.house.auth.login_totp(challenge.expose(), code, &client(1)).await
    }
}

#[tokio::test]
async fn a_code_is_taken_once_also_by_two_at_once() {
    let guarded = Guarded::fresh().await;
    let (one, other) = (guarded.challenge().await, guarded.challenge().await);
    let code = guarded.code();
    let (first, second) = tokio::join!(guarded.show(&one, &code), guarded.show(&other, &code));
    assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1);
    let third = guarded.challenge().await;
    assert!(is_refused(&guarded.show(&third, &code).await));
    guarded.house.wait(30);
    assert!(guarded.show(&third, &guarded.code()).await.is_ok());
}

#[tokio::test]
async fn a_challenge_is_good_once_for_five_minutes_and_opens_nothing_by_itself() {
    let guarded = Guarded::fresh().await;
    let challenge = guarded.challenge().await;
    assert!(is_refused(&guarded.house.admit(challenge.expose()).await));
    assert!(is_refused(&guarded.house.auth.verify_email(challenge.expose(), &client(1)).await));
    assert_eq!(guarded.house.place.number("SELECT count(*) FROM session").await, 0);
    assert!(guarded.show(&challenge, &guarded.code()).await.is_ok());
    guarded.house.wait(60);
    assert!(is_refused(&guarded.show(&challenge, &guarded.code()).await));
    let late = guarded.challenge().await;
    guarded.house.wait(300);
    assert!(is_refused(&guarded.show(&late, &guarded.code()).await));
}

#[tokio::test]
async fn codes_are_not_guessed() {
    let guarded = Guarded::fresh().await;
    let challenge = guarded.challenge().await;
    let right = guarded.code();
    let mut looked_at = 0;
    for guess in 0..40 {
        let code = format!("{guess:06}");
        if code != right {
            looked_at += u32::from(is_refused(&guarded.show(&challenge, &code).await));
        }
    }
    assert_eq!(looked_at, 5);
    assert!(matches!(guarded.show(&challenge, &right).await, Err(AuthError::Wait { .. })));
}

#[tokio::test]
async fn a_recovery_code_stands_in_once() {
    let guarded = Guarded::fresh().await;
    assert_eq!(guarded.recovery.len(), 10);
    let auth = &guarded.house.auth;
    let (one, other) = (guarded.challenge().await, guarded.challenge().await);
    let code = guarded.recovery[0].to_uppercase();
    let client = client(1);
    let (first, second) = tokio::join!(
        auth.login_recovery_code(one.expose(), &code, &client),
        auth.login_recovery_code(other.expose(), &code, &client)
    );
    assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1);
    let third = guarded.challenge().await;
    assert!(auth.login_recovery_code(third.expose(), &guarded.recovery[1], &client).await.is_ok());
}

#[tokio::test]
async fn a_second_factor_counts_when_it_is_confirmed_and_is_removed_with_the_password() {
    let house = House::fresh().await;
    let id = house.person("ada@example.com", "acme").await;
    assert!(is_refused(&house.auth.propose_totp(id, Proof::Password(secret("wrong")), &client(1)).await));
    house.auth.propose_totp(id, password(), &client(1)).await.unwrap();
    house.login("ada@example.com").await;
    assert!(is_refused(&house.auth.confirm_totp(id, "000000", &client(1)).await));
    let guarded = Guarded::fresh().await;
    let again = guarded.house.auth.propose_totp(guarded.id, password(), &client(1)).await;
    assert!(matches!(again, Err(AuthError::Invalid(_))), "one that is on is not replaced");
    let challenge = guarded.challenge().await;
    let (auth, from) = (&guarded.house.auth, client(1));
    let signed = auth.login_recovery_code(challenge.expose(), &guarded.recovery[0], &from).await.unwrap();
    let who = guarded.house.who(&signed.access_token).await;
    auth.remove_totp(&who, password(), &from).await.unwrap();
    guarded.house.login("ada@example.com").await;
}

#[tokio::test]
async fn the_secret_is_sealed() {
    let guarded = Guarded::fresh().await;
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT sealed_secret FROM second_factor")
        .fetch_one(&guarded.house.place.database.pool)
        .await
        .unwrap();
    let plain = BASE32_NOPAD.decode(guarded.totp.as_bytes()).unwrap();
    assert!(!sealed.windows(plain.len()).any(|window| window == plain));
    assert!(SealKey::read(&secret("00")).is_err());
}

#[tokio::test]
async fn a_secret_is_confirmed_within_ten_minutes() {
    let house = House::fresh().await;
    let id = house.person("ada@example.com", "acme").await;
    let proposed = house.auth.propose_totp(id, password(), &client(1)).await.unwrap();
    house.wait(600);
    let code = app(&proposed.secret, house.place.clock.now_micros() / SECOND);
    assert!(matches!(house.auth.confirm_totp(id, &code, &client(1)).await, Err(AuthError::Invalid(_))));
}
