//! What a tenant's people do with it: settings, deletion, restoration, another owner.

use accounts::key::{self, NewKey};
use accounts::tenant::{self, TenantSettings};
use accounts::{AccountError, Admitted, PageRequest, membership};
use schemas::address::AddressPolicy;
use schemas::lifecycle::TenantState;

use crate::house::{ADMIN, House, OWNER, VIEWER, client, is_refused, member};

fn slug(slug: &str) -> TenantSettings {
    TenantSettings { slug: Some(slug.to_owned()), ..TenantSettings::default() }
}

#[tokio::test]
async fn a_tenant_is_renamed_and_its_old_slug_is_free() {
    let house = House::acme().await;
    house.person("zoe@example.com", "zeta").await;
    let before = house.place.number("SELECT max(change) FROM tenant").await;
    let Admitted { mut scope, .. } = house.works("ada@example.com").await;
    let settings = TenantSettings { name: Some("Acme, Inc.".to_owned()), ..slug("acme-inc") };
    let set = tenant::set(&mut scope, &settings).await.unwrap();
    assert_eq!((set.name.as_str(), set.slug.as_str()), ("Acme, Inc.", "acme-inc"));
    scope.commit().await.unwrap();
    assert_eq!(
        house.place.number("SELECT max(change) FROM tenant").await,
        before,
        "a name is no change of the directory: nobody waits for its lock"
    );
    let Admitted { mut scope, .. } = house.works("zoe@example.com").await;
    assert!(matches!(tenant::set(&mut scope, &slug("acme-inc")).await, Err(AccountError::Exists(_))));
    drop(scope);
    let Admitted { mut scope, .. } = house.works("zoe@example.com").await;
    assert_eq!(tenant::set(&mut scope, &slug("acme")).await.unwrap().slug, "acme");
    for taken_for_something_else in ["me", "42", "ten_x", "A", ""] {
        let refused = tenant::set(&mut scope, &slug(taken_for_something_else)).await;
        assert!(matches!(refused, Err(AccountError::Invalid(_))), "{taken_for_something_else}");
    }
}

#[tokio::test]
async fn what_ingest_has_to_know_is_numbered() {
    let house = House::acme().await;
    let before = house.place.number("SELECT max(change) FROM tenant").await;
    let Admitted { mut scope, .. } = house.works("ada@example.com").await;
    let settings = TenantSettings { client_ip: Some(AddressPolicy::None), ..TenantSettings::default() };
    assert_eq!(tenant::set(&mut scope, &settings).await.unwrap().client_ip, AddressPolicy::None);
    scope.commit().await.unwrap();
    assert!(house.place.number("SELECT max(change) FROM tenant").await > before);
}

/// Another zone is another period with another quota: who could change it could use a quota twice.
#[tokio::test]
async fn the_time_zone_is_set_until_the_first_key_is_made() {
    let house = House::acme().await;
    let zone = |zone: &str| TenantSettings { time_zone: Some(zone.to_owned()), ..TenantSettings::default() };
    let Admitted { mut scope, .. } = house.works("ada@example.com").await;
    let set = tenant::set(&mut scope, &zone("Asia/Kolkata")).await.unwrap();
    assert_eq!(set.time_zone, "Asia/Kolkata");
    assert!(matches!(tenant::set(&mut scope, &zone("Mars/Olympus")).await, Err(AccountError::Invalid(_))));
    key::create(&mut scope, &NewKey::default()).await.unwrap();
    scope.commit().await.unwrap();
    let Admitted { mut scope, .. } = house.works("ada@example.com").await;
    tenant::set(&mut scope, &zone("Asia/Kolkata")).await.unwrap();
    assert!(matches!(tenant::set(&mut scope, &zone("UTC")).await, Err(AccountError::Conflict(_))));
}

#[tokio::test]
async fn a_deleted_tenant_is_restored_by_its_owner_and_by_nobody_else() {
    let house = House::acme().await;
    house.joins("admin@example.com", ADMIN).await;
    let Admitted { mut scope, grants } = house.works("admin@example.com").await;
    assert!(matches!(tenant::delete(&mut scope, &grants).await, Err(AccountError::Forbidden(_))));
    // It has locked the tenant.
    drop(scope);
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    assert_eq!(scope.state(), Some(TenantState::Active));
    let deleted = tenant::delete(&mut scope, &grants).await.unwrap();
    assert!(deleted.status == TenantState::Deleted && deleted.deleted_at.is_some());
    scope.commit().await.unwrap();

    let ada = house.login("ada@example.com").await;
    let Admitted { mut scope, grants } = house.admit(&ada.access_token).await.unwrap();
    assert_eq!(scope.state(), Some(TenantState::Deleted), "the guard reads it");
    assert!(matches!(tenant::delete(&mut scope, &grants).await, Err(AccountError::Conflict(_))));
    let who = house.auth.signed_in(&ada.access_token, &client(1)).await.unwrap();
    let seen = house.auth.tenants(&who, &client(1), &PageRequest::default()).await.unwrap().items;
    assert_eq!(seen[0].status, TenantState::Deleted);
    let restored = tenant::restore(&mut scope, &grants).await.unwrap();
    assert_eq!((restored.status, restored.deleted_at), (TenantState::Active, None));
    scope.commit().await.unwrap();
    assert_eq!(house.works("ada@example.com").await.scope.state(), Some(TenantState::Active));
}

#[tokio::test]
async fn an_owner_gives_the_tenant_away_and_is_an_admin_then() {
    let house = House::acme().await;
    house.joins("bob@example.com", VIEWER).await;
    house.joins("admin@example.com", ADMIN).await;
    let Admitted { mut scope, .. } = house.works("admin@example.com").await;
    let bob = member(&mut scope, "bob@example.com").await;
    assert!(matches!(membership::transfer(&mut scope, bob.id).await, Err(AccountError::Forbidden(_))));
    drop(scope);
    let Admitted { mut scope, .. } = house.works("ada@example.com").await;
    let ada = member(&mut scope, "ada@example.com").await;
    assert!(matches!(membership::transfer(&mut scope, ada.id).await, Err(AccountError::Conflict(_))));
    assert_eq!(membership::transfer(&mut scope, bob.id).await.unwrap().role, OWNER);
    assert_eq!(member(&mut scope, "ada@example.com").await.role, ADMIN);
    scope.commit().await.unwrap();
    let Admitted { mut scope, .. } = house.works("bob@example.com").await;
    let entries =
        accounts::audit::list(&mut scope, &Default::default(), &PageRequest::default()).await.unwrap().items;
    let of = |action: &str| entries.iter().filter(|entry| entry.action == action).count();
    assert_eq!((of("tenant.transfer"), of("membership.change")), (1, 2), "of both");
    assert_eq!(house.place.number("SELECT count(*) FROM membership WHERE built_in = 'owner'").await, 1);
}

#[tokio::test]
async fn a_closed_tenant_lets_nobody_do_anything_and_a_token_neither() {
    let house = House::acme().await;
    let ada = house.login("ada@example.com").await.access_token;
    house.place.forge("UPDATE tenant SET status = 'closed'").await;
    assert_eq!(
        house.admit(&ada).await.unwrap().scope.state(),
        Some(TenantState::Closed),
        "the guard reads it"
    );
    house.place.forge("DELETE FROM membership").await;
    assert!(is_refused(&house.admit(&ada).await));
}
