//! Signing in with a password: nobody learns who has an account, and nobody is locked out for good.

use accounts::audit::{self, Filter};
use accounts::failed_login::{self, FailedLogin};
use accounts::{AuthError, Client, HashCost, PageRequest, PlatformScope};

use crate::house::{CHEAP, House, PASSWORD, VIEWER, another, client, is_refused, secret, signed_in};

async fn wrong(house: &House, email: &str, from: &Client) -> AuthError {
    house.auth.login(email, secret("wrong-wrong-wrong"), from).await.unwrap_err()
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_answered_alike() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let known = wrong(&house, "ada@example.com", &client(9)).await;
    let unknown = wrong(&house, "eve@example.com", &client(9)).await;
    let none = wrong(&house, "no address", &client(9)).await;
    assert_eq!((known.to_string(), unknown.to_string()), (unknown.to_string(), none.to_string()));
    assert!(matches!((known, unknown), (AuthError::Refused(_), AuthError::Refused(_))));
    assert_eq!(house.place.number("SELECT count(*) FROM audit_entry WHERE action = 'login.fail'").await, 2);
}

#[tokio::test]
async fn a_failed_sign_in_is_noted_for_the_tenants_of_a_person_and_for_no_others() {
    let house = House::fresh().await;
    let ada = house.person("ada@example.com", "acme").await;
    house.person("zoe@example.com", "zeta").await;
    house.joins("bob@example.com", VIEWER).await;
    for email in ["ada@example.com", "bob@example.com", "eve@example.com"] {
        wrong(&house, email, &client(9)).await;
    }
    // She joins another tenant before the jobs are done.
    house.wait(1);
    house
        .place
        .forge(
            "INSERT INTO membership (tenant_id, id, person_id, built_in, created_at)
             SELECT t.id, gen_random_uuid(), p.id, 'viewer', '2026-11-30 12:01Z' FROM tenant t, person p
             WHERE t.name = 'zeta' AND p.email = 'ada@example.com'",
        )
        .await;
    let jobs: Vec<String> =
        sqlx::query_scalar("SELECT payload FROM job WHERE kind = 'login.failed' ORDER BY payload")
            .fetch_all(&house.place.database.pool)
            .await
            .unwrap();
    assert_eq!(jobs.len(), 3, "for an unknown address as for a known one");
    for job in jobs {
        let failed: FailedLogin = serde_json::from_str(&job).unwrap();
        let scope = PlatformScope::open_platform(&house.place.pool, &house.place.clock, failed.caller());
        let mut scope = scope.await.unwrap();
        failed_login::note(&mut scope, &failed).await.unwrap();
        scope.commit().await.unwrap();
    }
    let noted = async |email: &str| {
        let mut scope = house.works(email).await.scope;
        let filter = Filter { action: Some("login.fail".to_owned()), ..Filter::default() };
        audit::list(&mut scope, &filter, &PageRequest::default()).await.unwrap().items
    };
    let in_acme = noted("ada@example.com").await;
    assert_eq!(in_acme.len(), 2);
    let of_ada = in_acme.iter().find(|entry| entry.target == ada.to_string()).unwrap();
    assert_eq!((of_ada.actor.as_str(), of_ada.address.as_deref()), ("system", Some("192.0.2.9")));
    assert!(noted("zoe@example.com").await.is_empty());
}

#[tokio::test]
async fn an_unknown_address_takes_as_long() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let dear =
        another(&house.place, HashCost { memory_kib: 19_456, passes: 4, lanes: 1 }, "https://weir.example");
    // The person's hash is of that cost too, once she has signed in.
    signed_in(dear.login("ada@example.com", secret(PASSWORD), &client(1)).await);
    let mut fastest = [u128::MAX; 2];
    for round in 0..6 {
        // Longer than any attempt has to wait.
        house.wait(900);
        for (at, email) in ["ada@example.com", "eve@example.com"].into_iter().enumerate() {
            let began = std::time::Instant::now();
            assert!(is_refused(&dear.login(email, secret("wrong"), &client(10 + round)).await));
            fastest[at] = fastest[at].min(began.elapsed().as_micros());
        }
    }
    // Only the fastest of each says something: other tests run at the same time. Without a hash it is some
    // milliseconds.
    let [known, unknown] = fastest;
    assert!(unknown * 3 > known, "{known} µs and {unknown} µs");
}

#[tokio::test]
async fn attempts_wait_longer_and_longer_for_known_and_unknown_addresses_alike() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    for email in ["ada@example.com", "eve@example.com"] {
        let mut waits = Vec::new();
        for _ in 0..20 {
            let error = wrong(&house, email, &Client::default()).await;
            if let AuthError::Wait { seconds } = error {
                waits.push(seconds);
                house.wait(seconds);
            } else {
                assert!(matches!(error, AuthError::Refused(_)), "{error}");
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128], "{email}");
    }
}

#[tokio::test]
async fn a_wait_ends_and_is_never_longer_than_a_quarter_of_an_hour() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let mut longest = 0;
    for _ in 0..80 {
        if let AuthError::Wait { seconds } = wrong(&house, "ada@example.com", &Client::default()).await {
            longest = longest.max(seconds);
            house.wait(seconds);
        }
    }
    assert_eq!(longest, 900);
    let blocked = house.auth.login("ada@example.com", secret(PASSWORD), &Client::default()).await;
    if let Err(AuthError::Wait { seconds }) = blocked {
        house.wait(seconds);
    }
    house.wait(900);
    signed_in(house.auth.login("ada@example.com", secret(PASSWORD), &Client::default()).await);
    // Nothing stands against her any more.
    for _ in 0..4 {
        assert!(matches!(wrong(&house, "ada@example.com", &Client::default()).await, AuthError::Refused(_)));
    }
}

#[tokio::test]
async fn a_device_that_signed_in_before_gets_in_while_the_account_is_under_attack() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let device = house.login("ada@example.com").await.device.unwrap();
    for _ in 0..6 {
        wrong(&house, "ada@example.com", &client(66)).await;
    }
    let from_elsewhere = house.auth.login("ada@example.com", secret(PASSWORD), &client(7)).await;
    assert!(matches!(from_elsewhere, Err(AuthError::Wait { .. })));
    let known = Client { device: Some(device.expose().to_owned()), ..client(7) };
    let signed = signed_in(house.auth.login("ada@example.com", secret(PASSWORD), &known).await);
    assert!(signed.device.is_none(), "it has its cookie");
    // The cookie is of this account alone.
    house.person("bob@example.com", "bobs").await;
    for _ in 0..6 {
        wrong(&house, "bob@example.com", &client(66)).await;
    }
    let other = house.auth.login("bob@example.com", secret(PASSWORD), &known).await;
    assert!(matches!(other, Err(AuthError::Wait { .. })));
}

#[tokio::test]
async fn who_follows_a_link_of_a_mail_gets_in_while_the_account_is_under_attack() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let attack = async || {
        for _ in 0..6 {
            wrong(&house, "ada@example.com", &client(66)).await;
        }
    };
    attack().await;
    let kept_out = house.auth.login("ada@example.com", secret(PASSWORD), &client(7)).await;
    assert!(matches!(kept_out, Err(AuthError::Wait { .. })));
    house.auth.forgot_password("ada@example.com", &client(7)).await.unwrap();
    house.wait(1);
    let (link, new) = (house.link_to("ada@example.com").await, || secret("velvet-quartz-74-lamp"));
    let device = house.auth.reset_password(&link, new(), &client(7)).await.unwrap();
    attack().await;
    let known = Client { device: Some(device.expose().to_owned()), ..client(7) };
    for _ in 0..2 {
        signed_in(house.auth.login("ada@example.com", new(), &known).await);
        let warned = house.mails_of("new_device", "ada@example.com").await;
        assert_eq!(warned, 1, "the first sign-in after the link shows no more than the link did");
    }
    let attacker = Client { device: Some("wd_none".to_owned()), ..client(66) };
    let guessed = house.auth.login("ada@example.com", new(), &attacker).await;
    assert!(matches!(guessed, Err(AuthError::Wait { .. })), "guesses stay as few as they were");
    for _ in 0..5 {
        assert!(is_refused(&house.auth.login("ada@example.com", secret("wrong"), &known).await));
    }
    let guessing = house.auth.login("ada@example.com", new(), &known).await;
    assert!(matches!(guessing, Err(AuthError::Wait { .. })), "a known device guesses no more often");
}

#[tokio::test]
async fn many_attempts_at_once_are_no_more_than_so_many_one_after_another() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let attempts = (0..50).map(|n| {
        let auth = &house.auth;
        async move { auth.login("ada@example.com", secret(&format!("wrong-{n}")), &client(n)).await }
    });
    let results = futures_util::future::join_all(attempts).await;
    let looked_at = results.iter().filter(|result| is_refused(result)).count();
    assert_eq!(looked_at, 5);
}

#[tokio::test]
async fn a_source_that_tries_many_accounts_waits_and_does_not_count_against_them() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let mut waits = 0;
    for n in 0..130 {
        waits += u32::from(matches!(
            wrong(&house, &format!("p{n}@example.com"), &client(66)).await,
            AuthError::Wait { .. }
        ));
    }
    assert!(waits >= 29, "{waits}");
    assert!(matches!(wrong(&house, "ada@example.com", &client(66)).await, AuthError::Wait { .. }));
    house.login("ada@example.com").await;
}

#[tokio::test]
async fn a_hash_of_another_cost_is_replaced_at_the_next_sign_in() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let count = async |like: &str| -> i64 {
        let query = "SELECT count(*) FROM person WHERE password_hash LIKE $1";
        sqlx::query_scalar(query).bind(like).fetch_one(&house.place.database.pool).await.unwrap()
    };
    assert_eq!(count("$argon2id$v=19$m=64,t=1,p=1$%").await, 1);
    let dear = another(&house.place, HashCost { passes: 2, ..CHEAP }, "https://weir.example");
    signed_in(dear.login("ada@example.com", secret(PASSWORD), &client(1)).await);
    assert_eq!(count("$argon2id$v=19$m=64,t=2,p=1$%").await, 1);
    signed_in(dear.login("ada@example.com", secret(PASSWORD), &client(1)).await);
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_once_and_ends_all_sessions() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let before = house.login("ada@example.com").await;
    house.auth.forgot_password("ada@example.com", &client(1)).await.unwrap();
    house.auth.forgot_password("eve@example.com", &client(1)).await.unwrap();
    house.wait(1);
    assert!(house.mail_to("eve@example.com").await.token.is_none());
    let link = house.link_to("ada@example.com").await;
    let set = async |password: &str| house.auth.reset_password(&link, secret(password), &client(1)).await;
    assert!(matches!(set("password1234").await, Err(AuthError::InvalidAt(..))), "the link stays good");
    let (one, other) = tokio::join!(set("velvet-quartz-74-lamp"), set("brandy-ladder-29-moss"));
    assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1);
    assert!(is_refused(&set("velvet-quartz-74-lamp").await));
    assert!(is_refused(&house.auth.login("ada@example.com", secret(PASSWORD), &client(1)).await));
    assert!(is_refused(&house.auth.refresh(before.refresh.expose(), &client(1)).await));
    assert!(is_refused(&house.admit(&before.access_token).await));
}

#[tokio::test]
async fn a_reset_link_is_good_for_an_hour() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    house.auth.forgot_password("ada@example.com", &client(1)).await.unwrap();
    house.wait(1);
    let link = house.link_to("ada@example.com").await;
    house.wait(3600);
    assert!(is_refused(&house.auth.reset_password(&link, secret("velvet-quartz-74-lamp"), &client(1)).await));
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it_and_other_sessions_end() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let (here, there) = (house.login("ada@example.com").await, house.login("ada@example.com").await);
    let who = house.auth.signed_in(&here.access_token, &client(1)).await.unwrap();
    let new = || secret("velvet-quartz-74-lamp");
    assert!(is_refused(&house.auth.change_password(&who, secret("wrong"), new(), &client(1)).await));
    house.auth.change_password(&who, secret(PASSWORD), new(), &client(1)).await.unwrap();
    assert!(house.admit(&here.access_token).await.is_ok());
    assert!(is_refused(&house.admit(&there.access_token).await));
    signed_in(house.auth.login("ada@example.com", new(), &client(1)).await);
}

#[tokio::test]
async fn many_good_and_bad_sign_ins_from_one_source_do_not_wait_for_each_other() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let device = house.login("ada@example.com").await.device.unwrap();
    let known = Client { device: Some(device.expose().to_owned()), ..client(1) };
    for _ in 0..3 {
        let attempts = (0..12).map(|n| {
            let (auth, from) = (&house.auth, &known);
            let password = if n % 4 == 0 { "wrong-wrong-wrong" } else { PASSWORD };
            async move { auth.login("ada@example.com", secret(password), from).await }
        });
        for result in futures_util::future::join_all(attempts).await {
            assert!(!matches!(result, Err(AuthError::Store(_))), "{result:?}");
        }
        house.wait(900);
    }
}

/// How many of a thousand pairs have the smaller value in `a`: 500 if nothing distinguishes the two.
fn below(a: &[u128], b: &[u128]) -> usize {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| a.cmp(b)));
    let halves: usize = pairs.map(|order| usize::from(order.is_le()) + usize::from(order.is_lt())).sum();
    halves * 500 / (a.len() * b.len())
}

#[tokio::test]
async fn how_long_it_takes_does_not_say_who_has_an_account() {
    const ROUNDS: usize = 60;
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    for what in ["login", "forgot", "register"] {
        let mut took = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS {
            // Neither waits, and neither is the first to fill a cache: they take turns in going first.
            house.place.forge("DELETE FROM attempt").await;
            for turn in 0..2 {
                let at = (round + turn) % 2;
                let email = ["ada@example.com", "eve@example.com"][at];
                let began = std::time::Instant::now();
                match what {
                    "login" => drop(house.auth.login(email, secret("wrong-wrong-wrong"), &client(9)).await),
                    "forgot" => house.auth.forgot_password(email, &client(9)).await.unwrap(),
                    _ => house.register(email, "acme").await,
                }
                took[at].push(began.elapsed().as_micros());
            }
        }
        let [known, unknown] = took;
        let share = below(&known, &unknown);
        // Of two samples of 60 from one distribution, four in a hundred thousand are farther apart.
        assert!((280..720).contains(&share), "{what}: {share}");
    }
}
