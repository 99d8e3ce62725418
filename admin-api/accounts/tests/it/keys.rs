//! Keys: their names, and how one takes the place of another.

use accounts::AccountError;
use accounts::key::{self, Key, NewKey, OVERLAP_HOURS_MAX};
use chrono::TimeDelta;
use schemas::id::KeyId;

use crate::place::Place;

fn named(name: &str) -> NewKey {
    NewKey { name: Some(name.to_owned()), ..NewKey::default() }
}

async fn shown(place: &Place, tenant: schemas::id::TenantId, id: KeyId) -> Key {
    key::find(&mut place.scope(tenant).await, id).await.unwrap()
}

#[tokio::test]
async fn a_key_has_a_name_and_says_who_made_it_and_what_it_permits() {
    let place = Place::fresh().await;
    let tenant = place.tenant("acme").await;
    let mut scope = place.scope(tenant).await;
    let made = key::create(&mut scope, &named("the web site")).await.unwrap();
    assert!(made.key.starts_with("wk_live_"));
    assert_eq!(
        (made.made.name.as_str(), made.made.created_by.as_deref()),
        ("the web site", Some("operator"))
    );
    let shown = serde_json::to_value(&made).unwrap();
    assert_eq!(shown["scopes"], serde_json::json!(["events:write"]));
    assert!(shown["project"].as_str().unwrap().starts_with("prj_"));
    let wide: Result<NewKey, _> = serde_json::from_str(r#"{"scopes":["events:read"]}"#);
    assert!(wide.is_err(), "ingest knows one scope");
    let none: NewKey = serde_json::from_str(r#"{"scopes":[]}"#).unwrap();
    assert!(matches!(key::create(&mut scope, &none).await, Err(AccountError::Invalid(_))));
}

#[tokio::test]
async fn a_rotated_key_is_good_until_the_overlap_ends() {
    let place = Place::fresh().await;
    let tenant = place.tenant("acme").await;
    let mut scope = place.scope(tenant).await;
    let old = key::create(&mut scope, &named("site")).await.unwrap().made;
    scope.commit().await.unwrap();
    let mut scope = place.scope(tenant).await;
    let new = key::rotate(&mut scope, old.id, 24).await.unwrap();
    assert!(new.made.id != old.id && new.made.name == "site" && new.made.expires_at.is_none());
    scope.commit().await.unwrap();
    let old = shown(&place, tenant, old.id).await;
    assert_eq!((old.replaced_by, old.revoked_at), (Some(new.made.id), None));
    let ends_in = old.expires_at.unwrap() - new.made.created_at;
    assert!((TimeDelta::hours(23)..=TimeDelta::hours(24)).contains(&ends_in), "{ends_in}");
    let again = key::rotate(&mut place.scope(tenant).await, old.id, 24).await;
    assert!(matches!(again, Err(AccountError::Conflict(_))), "{again:?}");
}

#[tokio::test]
async fn without_overlap_the_old_key_is_revoked() {
    let place = Place::fresh().await;
    let tenant = place.tenant("acme").await;
    let mut scope = place.scope(tenant).await;
    let old = key::create(&mut scope, &NewKey::default()).await.unwrap().made;
    key::rotate(&mut scope, old.id, 0).await.unwrap();
    scope.commit().await.unwrap();
    assert!(shown(&place, tenant, old.id).await.revoked_at.is_some());
    let mut scope = place.scope(tenant).await;
    let dead = key::rotate(&mut scope, old.id, 1).await;
    assert!(matches!(dead, Err(AccountError::Conflict(_))), "{dead:?}");
    let long = key::rotate(&mut scope, old.id, OVERLAP_HOURS_MAX + 1).await;
    assert!(matches!(long, Err(AccountError::Invalid(_))), "{long:?}");
}

#[tokio::test]
async fn a_key_that_expires_gets_a_successor_that_is_good_as_long_and_never_lives_longer_itself() {
    let place = Place::fresh().await;
    let tenant = place.tenant("acme").await;
    let mut scope = place.scope(tenant).await;
    let first = key::create(&mut scope, &NewKey::default()).await.unwrap().made;
    let ends = first.created_at + TimeDelta::hours(10);
    let new = NewKey { expires_at: Some(ends), ..NewKey::default() };
    let old = key::create(&mut scope, &new).await.unwrap().made;
    let rotated = key::rotate(&mut scope, old.id, OVERLAP_HOURS_MAX).await.unwrap().made;
    scope.commit().await.unwrap();
    assert_eq!(shown(&place, tenant, old.id).await.expires_at, Some(ends));
    assert_eq!(rotated.expires_at.unwrap() - rotated.created_at, ends - old.created_at);
}

#[tokio::test]
async fn the_successor_of_a_key_that_expires_after_all_years_expires_in_the_last_one() {
    let place = Place::fresh().await;
    let tenant = place.tenant("acme").await;
    let mut scope = place.scope(tenant).await;
    let old = key::create(&mut scope, &NewKey::default()).await.unwrap().made;
    scope.commit().await.unwrap();
    let far = "UPDATE api_key SET created_at = now() - interval '10 years', expires_at = '262142-12-31 00:00:00+00'";
    sqlx::query(far).execute(&place.database.pool).await.unwrap();
    let made = key::rotate(&mut place.scope(tenant).await, old.id, 1).await.unwrap().made;
    assert_eq!(made.expires_at.unwrap().to_rfc3339(), "9999-12-31T23:59:59+00:00");
}

#[tokio::test]
async fn of_many_who_rotate_a_key_at_once_one_does() {
    let place = Place::fresh().await;
    let tenant = place.tenant("acme").await;
    let mut scope = place.scope(tenant).await;
    let old = key::create(&mut scope, &NewKey::default()).await.unwrap().made;
    scope.commit().await.unwrap();
    let rotate = async || {
        let mut scope = place.scope(tenant).await;
        let made = key::rotate(&mut scope, old.id, 1).await;
        scope.commit().await.unwrap();
        made.is_ok()
    };
    let all = tokio::join!(rotate(), rotate(), rotate(), rotate());
    let done = [all.0, all.1, all.2, all.3].into_iter().filter(|done| *done).count();
    assert_eq!(done, 1);
    assert_eq!(place.number("SELECT count(*) FROM api_key").await, 2);
}

#[tokio::test]
async fn a_tenant_that_is_closed_or_deleted_gets_no_keys_even_from_operators() {
    let place = Place::fresh().await;
    let tenant = place.tenant("acme").await;
    let mut scope = place.scope(tenant).await;
    let old = key::create(&mut scope, &NewKey::default()).await.unwrap().made.id;
    scope.commit().await.unwrap();
    for (state, takes) in [("closed", false), ("deleted", false), ("frozen", true)] {
        let set = sqlx::query("UPDATE tenant SET status = $1").bind(state);
        set.execute(&place.database.pool).await.unwrap();
        let made = key::create(&mut place.scope(tenant).await, &NewKey::default()).await;
        let rotated = key::rotate(&mut place.scope(tenant).await, old, 1).await;
        for result in [made, rotated] {
            assert_eq!(result.is_ok(), takes, "{state} {result:?}");
            assert!(takes || matches!(result, Err(AccountError::Conflict(_))), "{state} {result:?}");
        }
    }
}
