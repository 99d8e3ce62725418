//! Mails that inform a person of what was done in their name. They are written in the transaction of what was done.

use accounts::Client;

use crate::house::{House, PASSWORD, client, is_refused, password, secret, signed_in};

#[tokio::test]
async fn somebody_is_welcomed_and_not_warned_of_their_first_device() {
    let house = House::fresh().await;
    house.person("ada@example.com", "Acme").await;
    let welcome = house.mail_to("ada@example.com").await;
    assert_eq!((welcome.kind.as_str(), welcome.token.is_none()), ("welcome", true));
    assert_eq!((welcome.details["name"].as_str(), welcome.details["tenant"].as_str()), ("Ada", "Acme"));
    house.login("ada@example.com").await;
    assert_eq!(house.mails_of("new_device", "ada@example.com").await, 0);
}

#[tokio::test]
async fn a_device_that_is_not_known_is_announced_once() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    house.login("ada@example.com").await;
    house.wait(1);
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let there = Client { user_agent: firefox.to_owned(), ..client(7) };
    let device =
        signed_in(house.auth.login("ada@example.com", secret(PASSWORD), &there).await).device.unwrap();
    let mail = house.mail_to("ada@example.com").await;
    assert_eq!(mail.kind, "new_device");
    assert_eq!(
        (mail.details["device"].as_str(), mail.details["address"].as_str(), mail.details["at"].as_str()),
        ("Firefox on Linux", "192.0.2.7", "2026-11-30T12:00:02Z")
    );
    let known = Client { device: Some(device.expose().to_owned()), ..there };
    signed_in(house.auth.login("ada@example.com", secret(PASSWORD), &known).await);
    let wrong = house.auth.login("ada@example.com", secret("wrong-wrong-wrong"), &client(8)).await;
    assert!(is_refused(&wrong));
    assert_eq!(house.mails_of("new_device", "ada@example.com").await, 1);
}

#[tokio::test]
async fn somebody_whose_sessions_were_swept_is_warned_all_the_same() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    house.login("ada@example.com").await;
    house.wait(130 * 86_400);
    accounts::sweep::sweep(&house.place.pool, &house.place.clock).await.unwrap();
    assert_eq!(house.place.number("SELECT count(*) FROM session").await, 0);
    house.login("ada@example.com").await;
    assert_eq!(house.mails_of("new_device", "ada@example.com").await, 1);
}

#[tokio::test]
async fn another_password_is_announced_whichever_way_it_was_set() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let who = house.who(&house.login("ada@example.com").await.access_token).await;
    let new = "velvet-quartz-74-lamp";
    house.auth.change_password(&who, secret(PASSWORD), secret(new), &client(1)).await.unwrap();
    assert_eq!(house.mails_of("password_changed", "ada@example.com").await, 1);
    house.auth.forgot_password("ada@example.com", &client(1)).await.unwrap();
    let link = house.link_to("ada@example.com").await;
    house.auth.reset_password(&link, secret("brandy-ladder-29-moss"), &client(1)).await.unwrap();
    assert_eq!(house.mails_of("password_changed", "ada@example.com").await, 2);
    assert!(is_refused(&house.auth.reset_password(&link, secret(new), &client(1)).await));
    assert_eq!(
        house.mails_of("password_changed", "ada@example.com").await,
        2,
        "what was not done has no mail"
    );
}

#[tokio::test]
async fn what_a_mail_says_is_sealed() {
    let house = House::fresh().await;
    let id = house.person("ada@example.com", "acme").await;
    house.auth.propose_totp(id, password(), &client(1)).await.unwrap();
    let readable = "SELECT count(*) FROM outbox WHERE encode(sealed_body, 'escape') LIKE '%acme%'";
    assert_eq!(house.place.number(readable).await, 0);
    assert!(house.place.number("SELECT count(*) FROM outbox").await >= 2);
}
