//! The audit: what is in it, and that nobody changes it unseen.

use accounts::audit::{self, Broken, Entry, Filter, Verified};
use accounts::key::{self, NewKey};
use accounts::{Actor, Caller, Page, PageRequest, Scope, project};
use chrono::DateTime;
use schemas::id::TenantId;
use schemas::public_id::PersonId;
use service::postgres::Role;

use crate::place::{NOON, Place, SECOND};

async fn verified(place: &Place, tenant: TenantId) -> Verified {
    audit::verify(&mut place.scope(tenant).await).await.unwrap()
}

/// A tenant with five entries: it, three projects, and a key.
async fn five_entries(place: &Place) -> TenantId {
    let acme = place.tenant("acme").await;
    for name in ["a", "b", "c"] {
        let mut scope = place.scope(acme).await;
        project::create(&mut scope, name).await.unwrap();
        scope.commit().await.unwrap();
    }
    let mut scope = place.scope(acme).await;
    key::create(&mut scope, &NewKey::default()).await.unwrap();
    scope.commit().await.unwrap();
    acme
}

#[tokio::test]
async fn what_is_asked_of_the_audit_is_bounded_wherever_it_is_asked() {
    let place = Place::fresh().await;
    let acme = place.tenant("acme").await;
    let year = |year: i32| DateTime::from_timestamp(i64::from(year - 1970) * 31_557_600 + 86_400, 0);
    let target = |text: String| Filter { target: Some(text), ..Filter::default() };
    let page = PageRequest::default();
    for (filter, is_good) in [
        (target("x".repeat(200)), true),
        (target("x".repeat(201)), false),
        (target("a\0b".to_owned()), false),
        (Filter { actor: Some("x".repeat(201)), ..Filter::default() }, false),
        (Filter { action: Some("\0".to_owned()), ..Filter::default() }, false),
        (Filter { from: year(1970), to: year(2199), ..Filter::default() }, true),
        (Filter { from: year(1969), ..Filter::default() }, false),
        (Filter { to: year(2200), ..Filter::default() }, false),
        (Filter { to: year(-9_999), ..target("x".repeat(200)) }, false),
    ] {
        let listed = audit::list(&mut place.scope(acme).await, &filter, &page).await.is_ok();
        let exported = audit::begin_export(&mut place.scope(acme).await, &filter).await.is_ok();
        let platform = audit::of_platform(&mut place.platform().await, None, &filter, &page).await.is_ok();
        assert_eq!((listed, exported, platform), (is_good, is_good, is_good), "{filter:?}");
    }
}

#[tokio::test]
async fn an_entry_says_who_did_what_from_where_and_no_secret() {
    let place = Place::fresh().await;
    let acme = place.tenant("acme").await;
    let person = PersonId::of_random([7; 16]);
    let request_id = Some(uuid::Uuid::from_u128(5));
    let caller =
        Caller { actor: Actor::Person(person), address: Some("2001:db8::1".parse().unwrap()), request_id };
    let mut scope = Scope::open(&place.pool, &place.clock, caller, acme).await.unwrap();
    let made = key::create(&mut scope, &NewKey::default()).await.unwrap();
    scope.commit().await.unwrap();
    let entries = audit::list(
        &mut place.scope(acme).await,
        &Filter::default(),
        &PageRequest::new(Some(1), None).unwrap(),
    )
    .await
    .unwrap()
    .items;
    let [entry] = &entries[..] else { panic!("one entry") };
    assert_eq!((entry.seq, entry.action.as_str()), (2, "key.create"));
    assert_eq!(entry.target, format!("key {}", made.made.id));
    assert_eq!((entry.actor.clone(), entry.address.as_deref()), (person.to_string(), Some("2001:db8::1")));
    assert_eq!((entry.request_id, entry.at.timestamp_micros()), (request_id, NOON));
    let everything = serde_json::to_string(entry).unwrap();
    assert!(!everything.contains(&made.key[20..]) && everything.contains("default"), "{everything}");
    assert_eq!(verified(&place, acme).await, Verified { entries: 2, broken: None });
}

#[tokio::test]
async fn fifty_writers_make_one_chain_without_a_gap() {
    let place = Place::with_connections(20).await;
    let acme = place.tenant("acme").await;
    let writers = (0..50).map(|n| {
        let (pool, clock) = (place.pool.clone(), place.clock.clone());
        tokio::spawn(async move {
            let mut scope = Scope::open(&pool, &clock, Caller::COMMAND_LINE, acme).await.unwrap();
            project::create(&mut scope, &format!("p{n}")).await.unwrap();
            scope.commit().await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(verified(&place, acme).await, Verified { entries: 51, broken: None });
}

#[tokio::test]
async fn an_entry_that_was_changed_deleted_moved_or_cut_off_is_found() {
    for (forged, broken) in [
        ("UPDATE audit_entry SET actor = 'system' WHERE seq = 3", Broken::Changed { seq: 3 }),
        ("UPDATE audit_entry SET before = '' WHERE seq = 3", Broken::Changed { seq: 3 }),
        (
            "UPDATE audit_entry SET at = at + interval '1 microsecond' WHERE seq = 1",
            Broken::Changed { seq: 1 },
        ),
        ("DELETE FROM audit_entry WHERE seq = 2", Broken::Missing { seq: 2 }),
        ("DELETE FROM audit_entry WHERE seq = 5", Broken::CutOff { seq: 5 }),
        (
            "UPDATE audit_entry SET seq = CASE seq WHEN 2 THEN 1002 ELSE 1003 END WHERE seq IN (2, 3)",
            Broken::Missing { seq: 2 },
        ),
        ("UPDATE audit_head SET hash = sha256('x')", Broken::Changed { seq: 5 }),
        ("DELETE FROM audit_head", Broken::Changed { seq: 1 }),
        (
            "UPDATE audit_head h SET seq = 4, hash = e.hash FROM audit_entry e WHERE e.seq = 4",
            Broken::Changed { seq: 5 },
        ),
    ] {
        let place = Place::fresh().await;
        let acme = five_entries(&place).await;
        assert_eq!(verified(&place, acme).await, Verified { entries: 5, broken: None });
        place.forge(forged).await;
        assert_eq!(verified(&place, acme).await.broken, Some(broken), "{forged}");
    }
}

#[tokio::test]
async fn two_entries_that_changed_places_are_found() {
    let place = Place::fresh().await;
    let acme = five_entries(&place).await;
    for step in [
        "UPDATE audit_entry SET seq = 100 WHERE seq = 2",
        "UPDATE audit_entry SET seq = 2 WHERE seq = 3",
        "UPDATE audit_entry SET seq = 3 WHERE seq = 100",
    ] {
        place.forge(step).await;
    }
    assert_eq!(verified(&place, acme).await.broken, Some(Broken::Changed { seq: 2 }));
}

#[tokio::test]
async fn the_role_of_the_api_adds_entries_and_changes_none() {
    let place = Place::fresh().await;
    five_entries(&place).await;
    for role in Role::ALL {
        let pool = place.database.pool_of(1, role);
        for statement in [
            "UPDATE audit_entry SET actor = ''",
            "DELETE FROM audit_entry",
            "TRUNCATE audit_entry",
            "DELETE FROM audit_head",
        ] {
            let error = sqlx::query(statement).execute(&pool).await.unwrap_err();
            assert!(error.to_string().contains("permission denied"), "{role:?} {statement}: {error}");
        }
    }
}

#[tokio::test]
async fn a_tenant_does_not_see_the_audit_of_another_or_of_the_platform() {
    let place = Place::fresh().await;
    let acme = five_entries(&place).await;
    let zeta = place.tenant("zeta").await;
    let mut scope = place.platform().await;
    let limits = serde_json::from_str(r#"{"quota":1,"rate":1}"#).unwrap();
    accounts::plan::put(&mut scope, "small", &limits).await.unwrap();
    scope.commit().await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM audit_entry WHERE tenant_id IS NULL").await, 1);
    assert_eq!(
        audit::list(&mut place.scope(acme).await, &Filter::default(), &PageRequest::default())
            .await
            .unwrap()
            .items
            .len(),
        5
    );
    let mut scope = place.scope(zeta).await;
    assert_eq!(
        audit::list(&mut scope, &Filter::default(), &PageRequest::default()).await.unwrap().items.len(),
        1
    );
    let seen: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_entry").fetch_one(scope.connection()).await.unwrap();
    assert_eq!(seen, 1);
}

#[tokio::test]
async fn entries_are_found_by_who_what_and_when() {
    let place = Place::fresh().await;
    let acme = five_entries(&place).await;
    place.clock.set(NOON + SECOND);
    let person = PersonId::of_random([7; 16]);
    let caller = Caller::local(Actor::Person(person));
    let mut scope = Scope::open(&place.pool, &place.clock, caller, acme).await.unwrap();
    let made = key::create(&mut scope, &NewKey::default()).await.unwrap();
    key::revoke(&mut scope, made.made.id).await.unwrap();
    scope.commit().await.unwrap();
    let later = DateTime::from_timestamp_micros(NOON + SECOND);
    for (filter, found) in [
        (Filter { actor: Some(person.to_string()), ..Filter::default() }, vec![7, 6]),
        (Filter { actor: Some("operator".to_owned()), ..Filter::default() }, vec![5, 4, 3, 2, 1]),
        (Filter { action: Some("key.create".to_owned()), ..Filter::default() }, vec![6, 5]),
        (Filter { action: Some("key.*".to_owned()), ..Filter::default() }, vec![7, 6, 5]),
        (Filter { action: Some("key".to_owned()), ..Filter::default() }, vec![]),
        (Filter { action: Some("%.*".to_owned()), ..Filter::default() }, vec![]),
        (Filter { target: Some(format!("key {}", made.made.id)), ..Filter::default() }, vec![7, 6]),
        (Filter { from: later, ..Filter::default() }, vec![7, 6]),
        (Filter { to: later, action: Some("key.*".to_owned()), ..Filter::default() }, vec![5]),
    ] {
        let page = async |limit, cursor| {
            let asked = PageRequest::new(Some(limit), cursor).unwrap();
            audit::list(&mut place.scope(acme).await, &filter, &asked).await.unwrap()
        };
        let numbers = |page: &Page<Entry>| page.items.iter().map(|entry| entry.seq).collect::<Vec<_>>();
        assert_eq!(numbers(&page(200, None).await), found, "{filter:?}");
        let first = page(2, None).await;
        assert_eq!(numbers(&first), found.iter().copied().take(2).collect::<Vec<_>>(), "{filter:?}");
        assert_eq!(first.next_cursor.is_some(), found.len() > 2);
        if first.next_cursor.is_some() {
            let second = page(2, first.next_cursor).await;
            assert_eq!(numbers(&second), found.into_iter().skip(2).take(2).collect::<Vec<_>>(), "{filter:?}");
        }
    }
}

#[tokio::test]
async fn an_export_is_noted_and_holds_what_was_there_when_it_began() {
    let place = Place::fresh().await;
    let acme = five_entries(&place).await;
    let mut scope = place.scope(acme).await;
    let last = audit::begin_export(&mut scope, &Filter::default()).await.unwrap();
    scope.commit().await.unwrap();
    let mut scope = place.scope(acme).await;
    let entries = audit::export_page(&mut scope, &Filter::default(), 0, last).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(audit::export_page(&mut scope, &Filter::default(), 5, last).await.unwrap().is_empty());
    assert_eq!(place.number("SELECT count(*) FROM audit_entry WHERE action = 'audit.export'").await, 1);
}

#[tokio::test]
async fn all_chains_are_verified_one_after_the_other() {
    let place = Place::fresh().await;
    let (acme, zeta) = (five_entries(&place).await, place.tenant("zeta").await);
    let mut scope = place.platform().await;
    let limits = serde_json::from_str(r#"{"quota":1,"rate":1}"#).unwrap();
    accounts::plan::put(&mut scope, "small", &limits).await.unwrap();
    scope.commit().await.unwrap();
    place.forge("DELETE FROM audit_entry WHERE action = 'key.create'").await;
    let chains = audit::verify_after(&mut place.platform().await, None).await.unwrap();
    let seen: Vec<_> = chains.iter().map(|of| (of.tenant, of.verified.entries, of.verified.broken)).collect();
    let cut = Some(Broken::CutOff { seq: 5 });
    assert_eq!(seen, [(None, 1, None), (Some(acme), 4, cut), (Some(zeta), 1, None)]);
    assert!(audit::verify_after(&mut place.platform().await, Some(zeta.0)).await.unwrap().is_empty());
}
