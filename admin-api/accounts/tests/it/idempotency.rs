//! A claimed request is carried out once: with its reply, or not at all.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use accounts::{
    AccountError, Admitted, KeptReply, NotClaimed, Once, PageRequest, Scope, SealKey, Waiting, membership,
    project, sweep,
};
use service::config::Secret;

use schemas::id::TenantId;

use crate::house::{ADMIN, House, member};
use crate::place::{NOON, Place, SECOND};

const DAY: i64 = 86_400 * SECOND;

fn once(key: &str, seal: &str) -> Once {
    Once {
        route: "POST /somewhere".to_owned(),
        key: key.to_owned(),
        request_hash: [7; 32],
        seal: Arc::new(SealKey::read(&Secret::from(seal.repeat(32).as_str())).unwrap()),
        waiting: Waiting::default(),
    }
}

fn reply() -> KeptReply {
    KeptReply { status: 201, headers: vec![("etag".to_owned(), "\"t\"".to_owned())], body: "{}".to_owned() }
}

/// A scope that has claimed, as soon as it can: a scope that ends without a commit gives up its lock only when its
/// transaction was rolled back, after its connection is given back.
async fn claimed(place: &Place, tenant: TenantId, once: &Once) -> Scope {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let mut scope = place.scope(tenant).await;
        match scope.claim(once).await {
            Err(NotClaimed::Running) if Instant::now() < until => drop(scope),
            claimed => {
                claimed.unwrap();
                return scope;
            }
        }
        // Until it is worth asking again.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_commit_waits_for_its_reply_and_without_it_nothing_is_changed() {
    let place = Place::fresh().await;
    let acme = place.tenant("acme").await;
    let made = async |once: &Once, name: &str| {
        let mut scope = claimed(&place, acme, once).await;
        project::create(&mut scope, name).await.unwrap();
        scope.commit().await.unwrap();
    };
    let count = "SELECT count(*) FROM project WHERE name = 'one'";
    // The process ends between the change and its reply.
    let lost = once("k", "ab");
    made(&lost, "one").await;
    assert!(lost.waiting.is_waiting());
    assert_eq!(place.number(count).await, 0);
    drop(lost);
    drop(claimed(&place, acme, &once("k", "ab")).await);
    assert_eq!(place.number("SELECT count(*) FROM idempotent_request").await, 0);
    // A refusal gives up what was done.
    let refused = once("k", "ab");
    made(&refused, "one").await;
    refused.waiting.give_up().await.unwrap();
    assert_eq!(place.number(count).await, 0);
    let good = once("k", "ab");
    made(&good, "one").await;
    good.waiting.commit(&reply()).await.unwrap();
    assert_eq!(place.number(count).await, 1);
    assert_eq!(place.number("SELECT count(*) FROM audit_entry WHERE action = 'project.create'").await, 1);
    let mut again = place.scope(acme).await;
    assert!(matches!(again.claim(&once("k", "ab")).await, Err(NotClaimed::Done(kept)) if kept == reply()));
    drop(again);
    let another = Once { request_hash: [8; 32], ..once("k", "ab") };
    // The lock of the scope before goes with its connection.
    testkit::eventually("the key is known", Duration::from_secs(5), async || {
        matches!(place.scope(acme).await.claim(&another).await, Err(NotClaimed::Reused))
    })
    .await;
}

#[tokio::test]
async fn who_comes_second_is_not_kept_waiting() {
    let place = Place::fresh().await;
    let acme = place.tenant("acme").await;
    let mut first = place.scope(acme).await;
    first.claim(&once("k", "ab")).await.unwrap();
    let mut second = place.scope(acme).await;
    assert!(matches!(second.claim(&once("k", "ab")).await, Err(NotClaimed::Running)));
    let mut other = place.scope(acme).await;
    other.claim(&once("other", "ab")).await.unwrap();
    drop(first);
    claimed(&place, acme, &once("k", "ab")).await;
}

#[tokio::test]
async fn a_reply_is_kept_for_a_day_and_swept_afterwards() {
    let place = Place::fresh().await;
    let acme = place.tenant("acme").await;
    let keep = async |name: &str| {
        let once = once("k", "ab");
        let mut scope = place.scope(acme).await;
        scope.claim(&once).await?;
        project::create(&mut scope, name).await?;
        scope.commit().await?;
        once.waiting.commit(&reply()).await?;
        Ok::<_, NotClaimed>(())
    };
    keep("one").await.unwrap();
    place.clock.set(NOON + DAY - SECOND);
    assert!(matches!(keep("two").await, Err(NotClaimed::Done(_))));
    sweep::sweep(&place.pool, &place.clock).await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM idempotent_request").await, 1);
    place.clock.set(NOON + DAY);
    keep("two").await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM idempotent_request").await, 1);
    place.clock.set(NOON + 3 * DAY);
    sweep::sweep(&place.pool, &place.clock).await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM idempotent_request").await, 0);
}

#[tokio::test]
async fn a_reply_that_was_sealed_under_another_key_is_not_made_up() {
    let place = Place::fresh().await;
    let acme = place.tenant("acme").await;
    let first = once("k", "ab");
    let mut scope = place.scope(acme).await;
    scope.claim(&first).await.unwrap();
    scope.commit().await.unwrap();
    first.waiting.commit(&reply()).await.unwrap();
    let mut scope = place.scope(acme).await;
    assert!(matches!(scope.claim(&once("k", "cd")).await, Err(NotClaimed::Sealed)));
}

/// Bob is limited to some projects, by name, or to none.
async fn limit(house: &House, to: Option<&[&str]>) {
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let all = project::list(&mut scope, &PageRequest::default()).await.unwrap().items;
    let only = to
        .map(|to| all.iter().filter(|of| to.contains(&of.name.as_str())).map(|of| of.id).collect::<Vec<_>>());
    let bob = member(&mut scope, "bob@example.com").await.id;
    membership::change(&mut scope, &grants, bob, ADMIN, only.as_deref()).await.unwrap();
    scope.commit().await.unwrap();
}

#[tokio::test]
async fn a_reply_is_repeated_to_who_may_still_see_all_that_it_may_be_of() {
    let house = House::acme().await;
    house.joins("bob@example.com", ADMIN).await;
    let Admitted { mut scope, .. } = house.works("ada@example.com").await;
    project::create(&mut scope, "staging").await.unwrap();
    scope.commit().await.unwrap();
    for (key, then, now, is_given) in [
        ("all", None, None, true),
        ("all, then one", None, Some(&["default"][..]), false),
        ("one, then all", Some(&["staging"][..]), None, true),
        ("one, then two", Some(&["staging"]), Some(&["default", "staging"]), true),
        ("one, then the other", Some(&["staging"]), Some(&["default"]), false),
        ("two, then one", Some(&["default", "staging"]), Some(&["staging"]), false),
    ] {
        limit(&house, then).await;
        let (once, Admitted { mut scope, .. }) = (once(key, "ab"), house.works("bob@example.com").await);
        scope.claim(&once).await.unwrap();
        scope.commit().await.unwrap();
        once.waiting.commit(&reply()).await.unwrap();
        limit(&house, now).await;
        let again = house.works("bob@example.com").await.scope.claim(&once).await;
        match again {
            Err(NotClaimed::Done(kept)) => assert!(is_given && kept == reply(), "{key}"),
            Err(NotClaimed::Account(AccountError::Forbidden(_))) => assert!(!is_given, "{key}"),
            other => panic!("{key}: {other:?}"),
        }
    }
}
