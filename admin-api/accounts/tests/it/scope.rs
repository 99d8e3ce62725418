//! A scope is a transaction: all of it is so, or nothing.

use accounts::{PageRequest, project};

use crate::place::Place;

#[tokio::test]
async fn a_scope_that_is_dropped_has_changed_nothing() {
    let place = Place::fresh().await;
    let acme = place.tenant("acme").await;
    let entries = place.number("SELECT count(*) FROM audit_entry").await;
    let mut scope = place.scope(acme).await;
    project::create(&mut scope, "staging").await.unwrap();
    drop(scope);
    let mut scope = place.scope(acme).await;
    assert!(project::find(&mut scope, "staging").await.is_err());
    assert_eq!(place.number("SELECT count(*) FROM audit_entry").await, entries);
}

#[tokio::test]
async fn a_scope_that_is_committed_has_changed_all_of_it() {
    let place = Place::fresh().await;
    let acme = place.tenant("acme").await;
    let mut scope = place.scope(acme).await;
    project::create(&mut scope, "staging").await.unwrap();
    project::create(&mut scope, "testing").await.unwrap();
    scope.commit().await.unwrap();
    let mut scope = place.scope(acme).await;
    // They were made in one moment, so either may come first.
    let mut names: Vec<_> = project::list(&mut scope, &PageRequest::default())
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|project| project.name)
        .collect();
    names.sort();
    assert_eq!(names, ["default", "staging", "testing"]);
}
