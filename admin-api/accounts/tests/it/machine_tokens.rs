//! Tokens for machines.

use accounts::machine_token::{self, NewToken};
use accounts::{AccountError, Admitted, PageRequest, Random};
use chrono::{DateTime, TimeDelta};
use schemas::permission::Permission;

use crate::house::{CHEAP, House, another, client, is_refused};

#[tokio::test]
async fn a_token_permits_what_it_was_made_for_until_it_expires_or_is_revoked() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let ada = house.login("ada@example.com").await.access_token;
    let Admitted { mut scope, grants } = house.admit(&ada).await.unwrap();
    let tenant = scope.tenant();
    let now = DateTime::from_timestamp_micros(house.place.clock.now_micros()).unwrap();
    let new = |days: i64| NewToken {
        name: "deploys".to_owned(),
        permissions: vec![Permission::KeysRead],
        expires_at: now + TimeDelta::days(days),
    };
    let random = Random::system();
    for days in [0, 367] {
        let refused = machine_token::create(&mut scope, &random, &grants, &new(days)).await;
        assert!(matches!(refused, Err(AccountError::Invalid(_))), "{days}");
    }
    let made = machine_token::create(&mut scope, &random, &grants, &new(366)).await.unwrap();
    let brief = machine_token::create(&mut scope, &random, &grants, &new(1)).await.unwrap();
    scope.commit().await.unwrap();
    let text = made.secret.expose();
    assert!(text.starts_with("wt_"));

    let Admitted { mut scope, grants } = house.admit(text).await.unwrap();
    assert_eq!((scope.tenant(), grants.permissions.as_slice()), (tenant, &[Permission::KeysRead][..]));
    let more = NewToken { permissions: vec![Permission::KeysManage], ..new(1) };
    assert!(
        machine_token::create(&mut scope, &random, &grants, &more).await.is_err(),
        "a token makes none with more"
    );
    drop(scope);

    house.wait(86_400);
    assert!(is_refused(&house.admit(brief.secret.expose()).await));
    let node = another(&house.place, CHEAP, "https://weir.example");
    assert!(node.admit(text, &client(1)).await.is_ok());
    let ada = house.login("ada@example.com").await.access_token;
    let Admitted { mut scope, .. } = house.admit(&ada).await.unwrap();
    let listed = machine_token::list(&mut scope, &PageRequest::default()).await.unwrap().items;
    assert!(listed.iter().find(|token| token.id == made.token.id).unwrap().last_used_at.is_some());
    machine_token::revoke(&mut scope, made.token.id).await.unwrap();
    scope.commit().await.unwrap();
    assert!(is_refused(&node.admit(text, &client(1)).await));
}

#[tokio::test]
async fn a_tenant_neither_sees_nor_revokes_the_tokens_of_another() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    house.person("zoe@example.com", "zeta").await;
    let (ada, zoe) = (house.login("ada@example.com").await, house.login("zoe@example.com").await);
    let Admitted { mut scope, grants } = house.admit(&ada.access_token).await.unwrap();
    let now = scope.now();
    let new =
        NewToken { name: "a".to_owned(), permissions: Vec::new(), expires_at: now + TimeDelta::days(1) };
    let made = machine_token::create(&mut scope, &Random::system(), &grants, &new).await.unwrap();
    scope.commit().await.unwrap();
    let Admitted { mut scope, .. } = house.admit(&zoe.access_token).await.unwrap();
    assert!(machine_token::list(&mut scope, &PageRequest::default()).await.unwrap().items.is_empty());
    let refused = machine_token::revoke(&mut scope, made.token.id).await;
    assert!(matches!(refused, Err(AccountError::NotFound(_))));
}
