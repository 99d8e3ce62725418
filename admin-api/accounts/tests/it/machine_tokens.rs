//! Tokens for machines.

use accounts::machine_token::{self, MadeToken, NewToken};
use accounts::membership::{self, Role};
use accounts::{AccountError, Admitted, PageRequest, Random, key, people, project};
use chrono::{DateTime, TimeDelta};
use schemas::permission::{BuiltInRole, Permission};

use crate::house::{ADMIN, CHEAP, House, VIEWER, another, client, is_refused, member};

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
        assert!(matches!(refused, Err(AccountError::InvalidAt(..))), "{days}");
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

/// `by` makes a token with these permissions, for a day.
async fn made(by: Admitted, permissions: &[Permission]) -> MadeToken {
    let Admitted { mut scope, grants } = by;
    let expires_at = scope.now() + TimeDelta::days(1);
    let new = NewToken { name: "deploys".to_owned(), permissions: permissions.to_vec(), expires_at };
    let made = machine_token::create(&mut scope, &Random::system(), &grants, &new).await.unwrap();
    scope.commit().await.unwrap();
    made
}

/// A tenant of ada, in which bob is an admin who has made a token.
async fn house_with_token() -> (House, String) {
    let house = House::acme().await;
    house.joins("bob@example.com", ADMIN).await;
    let permissions = [Permission::KeysRead, Permission::KeysManage, Permission::TokensManage];
    let token = made(house.works("bob@example.com").await, &permissions).await;
    (house, token.secret.expose().to_owned())
}

/// Bob gets another role and other projects, or is removed.
async fn change(house: &House, role: Option<Role>, only: Option<&[&str]>) {
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let bob = member(&mut scope, "bob@example.com").await.id;
    let all = project::list(&mut scope, &PageRequest::default()).await.unwrap().items;
    let named = |only: &[&str]| {
        all.iter().filter(|of| only.contains(&of.name.as_str())).map(|of| of.id).collect::<Vec<_>>()
    };
    let only = only.map(named);
    match role {
        Some(role) => {
            membership::change(&mut scope, &grants, bob, role, only.as_deref()).await.unwrap();
        }
        None => membership::remove(&mut scope, &grants, bob).await.unwrap(),
    }
    scope.commit().await.unwrap();
}

#[tokio::test]
async fn a_token_permits_no_more_than_its_maker_may_do_at_that_moment() {
    let (house, token) = house_with_token().await;
    let node = another(&house.place, CHEAP, "https://weir.example");
    let permitted = async || node.admit(&token, &client(1)).await.unwrap().grants.permissions;
    assert_eq!(permitted().await.len(), 3);
    change(&house, Some(VIEWER), None).await;
    assert_eq!(permitted().await, [Permission::KeysRead]);
    change(&house, Some(Role::BuiltIn(BuiltInRole::Billing)), None).await;
    assert_eq!(permitted().await, []);
    change(&house, Some(ADMIN), None).await;
    assert_eq!(permitted().await.len(), 3);
    change(&house, None, None).await;
    assert!(is_refused(&node.admit(&token, &client(1)).await), "its maker is no member any more");
}

#[tokio::test]
async fn the_token_of_somebody_who_is_disabled_is_refused() {
    let (house, token) = house_with_token().await;
    for (disabled, good) in [(true, false), (false, true)] {
        let mut scope = house.place.platform().await;
        people::set_disabled(&mut scope, "bob@example.com", disabled, "left").await.unwrap();
        scope.commit().await.unwrap();
        assert_eq!(is_refused(&house.admit(&token).await), !good);
    }
}

#[tokio::test]
async fn a_token_works_with_the_projects_of_its_maker_alone() {
    let (house, token) = house_with_token().await;
    let Admitted { mut scope, .. } = house.works("ada@example.com").await;
    project::create(&mut scope, "staging").await.unwrap();
    scope.commit().await.unwrap();
    let Admitted { mut scope, .. } = house.admit(&token).await.unwrap();
    assert_eq!(project::list(&mut scope, &PageRequest::default()).await.unwrap().items.len(), 2);
    drop(scope);
    change(&house, Some(ADMIN), Some(&["staging"])).await;
    let Admitted { mut scope, .. } = house.admit(&token).await.unwrap();
    let named = |project: &str| key::NewKey { project: Some(project.to_owned()), ..key::NewKey::default() };
    let elsewhere = key::create(&mut scope, &named("default")).await;
    assert!(matches!(elsewhere, Err(AccountError::NotFound(_))), "{elsewhere:?}");
    key::create(&mut scope, &named("staging")).await.unwrap();
}

#[tokio::test]
async fn a_token_of_a_token_ends_with_it_and_makes_no_other() {
    let (house, token) = house_with_token().await;
    let Admitted { mut scope, grants } = house.admit(&token).await.unwrap();
    let new = |hours: i64| NewToken {
        name: "child".to_owned(),
        permissions: vec![Permission::KeysRead, Permission::TokensManage],
        expires_at: DateTime::from_timestamp_micros(house.place.clock.now_micros()).unwrap()
            + TimeDelta::hours(hours),
    };
    let random = Random::system();
    let longer = machine_token::create(&mut scope, &random, &grants, &new(25)).await;
    assert!(matches!(longer, Err(AccountError::InvalidAt(..))), "no token renews itself: {longer:?}");
    let child = machine_token::create(&mut scope, &random, &grants, &new(23)).await.unwrap();
    scope.commit().await.unwrap();
    let child = child.secret.expose();
    let Admitted { mut scope, grants } = house.admit(child).await.unwrap();
    let grandchild = machine_token::create(&mut scope, &random, &grants, &new(1)).await;
    assert!(matches!(grandchild, Err(AccountError::Invalid(_))), "{grandchild:?}");
    drop(scope);
    change(&house, Some(VIEWER), None).await;
    assert_eq!(house.admit(child).await.unwrap().grants.permissions, [Permission::KeysRead]);
    let Admitted { mut scope, .. } = house.works("ada@example.com").await;
    let parent = machine_token::list(&mut scope, &PageRequest::default()).await.unwrap().items;
    let parent = parent.into_iter().find(|token| token.name == "deploys").unwrap();
    machine_token::revoke(&mut scope, parent.id).await.unwrap();
    scope.commit().await.unwrap();
    assert!(is_refused(&house.admit(child).await));
}

#[tokio::test]
async fn a_token_made_as_a_member_is_worth_nothing_to_somebody_of_the_platform_or_who_joins_again() {
    let (house, token) = house_with_token().await;
    house
        .place
        .forge(
            "INSERT INTO platform_member (person_id, role, created_at)
             SELECT id, 'operator', now() FROM person WHERE email = 'bob@example.com'",
        )
        .await;
    house
        .place
        .forge(
            "INSERT INTO second_factor (person_id, sealed_secret, confirmed_at, created_at)
             SELECT id, '\\x00', now(), now() FROM person WHERE email = 'bob@example.com'",
        )
        .await;
    assert!(house.admit(&token).await.is_ok());
    change(&house, None, None).await;
    assert!(is_refused(&house.admit(&token).await), "its maker works for the platform, and is no member");
    house
        .place
        .forge(
            "INSERT INTO membership (tenant_id, id, person_id, built_in, created_at)
             SELECT t.id, gen_random_uuid(), p.id, 'admin', now() FROM tenant t, person p
             WHERE t.name = 'acme' AND p.email = 'bob@example.com'",
        )
        .await;
    assert!(is_refused(&house.admit(&token).await), "another membership is another one");
    // As tokens are that were made before memberships were noted.
    house.place.forge("UPDATE machine_token SET membership_id = NULL").await;
    assert_eq!(house.admit(&token).await.unwrap().grants.permissions.len(), 3);
    house.place.forge("DELETE FROM membership WHERE built_in = 'admin'").await;
    assert!(is_refused(&house.admit(&token).await));
}
