//! Refresh tokens, access tokens, and the sessions they belong to.

use std::time::Duration;

use accounts::{AuthError, PageRequest, Refreshed};

use crate::house::{CHEAP, House, PASSWORD, another, client, is_refused, secret, signed_in};
use crate::place::Place;

async fn refresh(house: &House, token: &str) -> Result<Refreshed, AuthError> {
    house.auth.refresh(token, &client(1)).await
}

#[tokio::test]
async fn fifty_refreshes_at_once_make_one_child_and_all_get_an_access_token() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let signed_in = house.login("ada@example.com").await;
    let began = std::time::Instant::now();
    let all = (0..50).map(|_| refresh(&house, signed_in.refresh.expose()));
    let results = futures_util::future::join_all(all).await;
    println!("fifty refreshes of one token: {:?}", began.elapsed());
    let children = results.iter().filter(|result| result.as_ref().unwrap().refresh.is_some()).count();
    assert_eq!(children, 1);
    assert_eq!(house.place.number("SELECT count(*) FROM refresh_token WHERE superseded_at IS NULL").await, 1);
    assert_eq!(house.place.number("SELECT count(*) FROM refresh_token").await, 2);
    for result in results {
        assert!(house.admit(&result.unwrap().access_token).await.is_ok());
    }
}

#[tokio::test]
async fn a_superseded_token_gets_an_access_token_for_ten_seconds_and_then_ends_the_session() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let signed_in = house.login("ada@example.com").await;
    let old = signed_in.refresh.expose();
    let child = refresh(&house, old).await.unwrap().refresh.unwrap();
    house.wait(10);
    assert!(refresh(&house, old).await.unwrap().refresh.is_none());
    house.wait(1);
    assert!(is_refused(&refresh(&house, old).await));
    assert!(is_refused(&refresh(&house, child.expose()).await), "the family is gone");
    assert!(is_refused(&house.admit(&signed_in.access_token).await), "and its access tokens");
    assert_eq!(
        house.place.number("SELECT count(*) FROM audit_entry WHERE action = 'refresh.reuse'").await,
        1
    );
}

#[tokio::test]
async fn an_older_ancestor_ends_the_session_too() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let first = house.login("ada@example.com").await.refresh;
    let mut last = first.clone();
    for _ in 0..3 {
        house.wait(60);
        last = refresh(&house, last.expose()).await.unwrap().refresh.unwrap();
    }
    assert!(is_refused(&refresh(&house, first.expose()).await));
    assert!(is_refused(&refresh(&house, last.expose()).await));
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let signed_in = house.login("ada@example.com").await;
    let device = signed_in.device.unwrap();
    for text in ["", "wr_", signed_in.access_token.as_str(), device.expose()] {
        assert!(is_refused(&refresh(&house, text).await), "{text}");
    }
    for text in ["", signed_in.refresh.expose(), device.expose()] {
        assert!(is_refused(&house.admit(text).await), "{text}");
    }
}

#[tokio::test]
async fn a_session_ends_by_logout_at_once_on_every_node() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let node = another(&house.place, CHEAP, "https://weir.example");
    let signed_in = house.login("ada@example.com").await;
    assert!(node.admit(&signed_in.access_token, &client(1)).await.is_ok());
    let who = house.auth.signed_in(&signed_in.access_token, &client(1)).await.unwrap();
    house.auth.logout(&who, &client(1)).await.unwrap();
    assert!(is_refused(&node.admit(&signed_in.access_token, &client(1)).await));
    assert!(is_refused(&node.refresh(signed_in.refresh.expose(), &client(1)).await));
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_person_alone() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    house.person("bob@example.com", "bobs").await;
    let (one, two) = (house.login("ada@example.com").await, house.login("ada@example.com").await);
    let bob = house.login("bob@example.com").await;
    let who = house.auth.signed_in(&one.access_token, &client(1)).await.unwrap();
    let bobs = house.auth.signed_in(&bob.access_token, &client(1)).await.unwrap();
    let sessions = house.auth.sessions(&who, &client(1), &PageRequest::default()).await.unwrap().items;
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        assert!(!house.auth.end_session(&bobs, session.session.id, &client(1)).await.unwrap(), "not his");
    }
    house.auth.end_other_sessions(&who, &client(1)).await.unwrap();
    assert!(house.admit(&one.access_token).await.is_ok());
    assert!(is_refused(&house.admit(&two.access_token).await));
    assert!(house.admit(&bob.access_token).await.is_ok());
}

#[tokio::test]
async fn a_session_is_over_after_two_weeks_without_a_refresh_and_after_three_months_in_any_case() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let idle = house.login("ada@example.com").await.refresh;
    house.wait(14 * 86_400);
    assert!(is_refused(&refresh(&house, idle.expose()).await));
    let mut token = house.login("ada@example.com").await.refresh;
    for day in 1.. {
        house.wait(10 * 86_400);
        match refresh(&house, token.expose()).await {
            Ok(refreshed) => token = refreshed.refresh.unwrap(),
            Err(_) => {
                assert_eq!(day, 9);
                break;
            }
        }
    }
}

#[tokio::test]
async fn an_access_token_of_another_weir_is_refused_though_the_key_is_the_same() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let signed_in = house.login("ada@example.com").await;
    let other = another(&house.place, CHEAP, "https://other.example");
    assert!(is_refused(&other.admit(&signed_in.access_token, &client(1)).await));
}

#[tokio::test]
async fn keys_rotate_without_anybody_noticing() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let node = another(&house.place, CHEAP, "https://weir.example");
    let kids = async || -> Vec<String> {
        house.auth.jwks().await.unwrap().keys.into_iter().map(|key| key.kid).collect()
    };
    let before = house.login("ada@example.com").await.access_token;
    assert_eq!(kids().await.len(), 2, "one that signs and one that will");
    assert!(node.admit(&before, &client(1)).await.is_ok());
    let announced = kids().await;
    house.auth.rotate_keys().await.unwrap();
    let after = house.login("ada@example.com").await.access_token;
    assert_eq!(kids().await.len(), 3);
    let still = kids().await;
    assert!(announced.iter().all(|kid| still.contains(kid)), "both had been announced");
    for token in [&before, &after] {
        assert!(node.admit(token, &client(1)).await.is_ok(), "a node that has not read the keys again");
        assert!(house.admit(token).await.is_ok());
    }
    // For as long as an impersonation that it signed.
    house.wait(31 * 60);
    assert_eq!(kids().await.len(), 3);
    house.wait(60);
    assert_eq!(kids().await.len(), 2, "the old key goes with its last token");
    house.wait(30 * 86_400);
    let monthly = kids().await;
    assert!(monthly.len() == 3 && monthly.iter().filter(|kid| !announced.contains(kid)).count() >= 1);
}

#[tokio::test]
async fn many_first_starts_make_one_pair_of_keys() {
    let house = House::fresh().await;
    let nodes: Vec<_> = (0..8).map(|_| another(&house.place, CHEAP, "https://weir.example")).collect();
    let all = futures_util::future::join_all(nodes.iter().map(accounts::Authenticator::jwks)).await;
    let first = all[0].as_ref().unwrap();
    assert!(all.iter().all(|jwks| jwks.as_ref().unwrap() == first));
    assert_eq!(house.place.number("SELECT count(*) FROM signing_key").await, 2);
}

#[tokio::test]
async fn an_unreachable_database_lets_nobody_in() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let signed_in = house.login("ada@example.com").await;
    house.place.pool.close().await;
    assert!(matches!(house.admit(&signed_in.access_token).await, Err(AuthError::Store(_))));
    assert!(matches!(refresh(&house, signed_in.refresh.expose()).await, Err(AuthError::Store(_))));
}

#[tokio::test]
async fn keys_are_read_before_a_sign_in_takes_its_connection() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let one = house.place.database.pool_of(1, service::postgres::Role::Api);
    let node = another(&Place { pool: one, ..house.place }, CHEAP, "https://weir.example");
    signed_in(node.login("ada@example.com", secret(PASSWORD), &client(1)).await);
}

#[tokio::test]
async fn what_a_disabled_person_has_open_is_worth_nothing() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let signed_in = house.login("ada@example.com").await;
    // A session that was opened at the same moment, so that nothing ended it.
    house.place.forge("UPDATE person SET disabled_at = created_at").await;
    assert!(is_refused(&house.admit(&signed_in.access_token).await));
    assert!(is_refused(&refresh(&house, signed_in.refresh.expose()).await));
}

#[tokio::test]
async fn a_sign_in_under_way_does_not_survive_another_password() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let mut reset = house.place.database.pool.begin().await.unwrap();
    sqlx::query("UPDATE person SET password_hash = 'another'").execute(&mut *reset).await.unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let from = client(1);
    let (login, ()) = tokio::join!(house.auth.login("ada@example.com", secret(PASSWORD), &from), async {
        let is_waiting = async || house.place.number(waiting).await > 0;
        testkit::eventually("the sign-in waits", Duration::from_secs(30), is_waiting).await;
        reset.commit().await.unwrap();
    });
    assert!(matches!(login, Err(AuthError::Busy)));
    assert_eq!(house.place.number("SELECT count(*) FROM session").await, 0);
}
