//! Projects, and memberships that are limited to some of them.

use accounts::erasure::{self, NewErasure};
use accounts::key::{self, NewKey};
use accounts::project::{self, Project, ProjectChange};
use accounts::{AccountError, Admitted, PageRequest, Scope, membership};

use crate::house::{ADMIN, House, member};

fn of(project: &Project) -> NewKey {
    NewKey { project: Some(project.id.to_string()), ..NewKey::default() }
}

/// Ada's tenant with the projects `default` and `staging`, a key of each, and bob, an admin of staging alone.
async fn limited() -> (House, Project, Project) {
    let house = House::acme().await;
    house.joins("bob@example.com", ADMIN).await;
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let default = project::named(&mut scope, "default").await.unwrap();
    let staging = project::create(&mut scope, "staging").await.unwrap();
    for project in [&default, &staging] {
        key::create(&mut scope, &of(project)).await.unwrap();
    }
    let bob = member(&mut scope, "bob@example.com").await.id;
    membership::change(&mut scope, &grants, bob, ADMIN, Some(&[staging.id])).await.unwrap();
    scope.commit().await.unwrap();
    (house, default, staging)
}

#[tokio::test]
async fn a_project_is_renamed_archived_and_deleted_with_its_keys() {
    let (house, default, staging) = limited().await;
    let Admitted { mut scope, .. } = house.works("ada@example.com").await;
    let renamed = ProjectChange { name: Some("testing".to_owned()), archived: None };
    assert_eq!(project::change(&mut scope, staging.id, &renamed).await.unwrap().name, "testing");
    let archived = ProjectChange { name: None, archived: Some(true) };
    let refused = project::change(&mut scope, staging.id, &archived).await;
    assert!(matches!(refused, Err(AccountError::Conflict(_))), "it has a key: {refused:?}");
    for key in key::list(&mut scope, &PageRequest::default()).await.unwrap().items {
        key::revoke(&mut scope, key.id).await.unwrap();
    }
    let changed = project::change(&mut scope, staging.id, &archived).await.unwrap();
    assert!(changed.archived_at.is_some());
    let refused = key::create(&mut scope, &of(&staging)).await;
    assert!(matches!(refused, Err(AccountError::Conflict(_))), "{refused:?}");
    let back = ProjectChange { name: None, archived: Some(false) };
    assert_eq!(project::change(&mut scope, staging.id, &back).await.unwrap().archived_at, None);
    key::create(&mut scope, &of(&staging)).await.unwrap();
    key::create(&mut scope, &of(&default)).await.unwrap();
    project::delete(&mut scope, staging.id).await.unwrap();
    assert!(matches!(project::show(&mut scope, staging.id).await, Err(AccountError::NotFound(_))));
    assert!(matches!(project::delete(&mut scope, staging.id).await, Err(AccountError::NotFound(_))));
    project::create(&mut scope, "testing").await.unwrap();
    scope.commit().await.unwrap();
    let live = "SELECT count(*) FROM api_key WHERE revoked_at IS NULL";
    assert_eq!(house.place.number(live).await, 1, "keys of the deleted project are refused");
}

#[tokio::test]
async fn who_is_limited_to_a_project_sees_no_other_whatever_is_asked() {
    let (house, default, staging) = limited().await;
    let Admitted { mut scope, .. } = house.works("bob@example.com").await;
    let all = project::list(&mut scope, &PageRequest::default()).await.unwrap().items;
    assert_eq!(all, std::slice::from_ref(&staging));
    let keys = key::list(&mut scope, &PageRequest::default()).await.unwrap().items;
    assert_eq!(keys.iter().map(|key| key.project).collect::<Vec<_>>(), [staging.id]);
    let missing = |error| matches!(error, AccountError::NotFound(_));
    assert!(missing(project::show(&mut scope, default.id).await.unwrap_err()));
    assert!(missing(project::delete(&mut scope, default.id).await.unwrap_err()));
    assert!(missing(project::find(&mut scope, "default").await.unwrap_err()));
    assert!(missing(key::create(&mut scope, &NewKey::default()).await.unwrap_err()), "default is not bob's");
    key::create(&mut scope, &of(&staging)).await.unwrap();
    scope.commit().await.unwrap();

    let mut ada = house.works("ada@example.com").await.scope;
    let of_default = key::list(&mut ada, &PageRequest::default())
        .await
        .unwrap()
        .items
        .into_iter()
        .find(|key| key.project == default.id);
    drop(ada);
    let mut scope = house.works("bob@example.com").await.scope;
    let other = of_default.unwrap().id;
    assert!(missing(key::find(&mut scope, other).await.unwrap_err()));
    assert!(missing(key::revoke(&mut scope, other).await.unwrap_err()));
    assert!(missing(key::rotate(&mut scope, other, 1).await.unwrap_err()));
}

#[tokio::test]
async fn what_is_of_the_whole_tenant_is_not_for_who_is_limited() {
    let (house, ..) = limited().await;
    let mut scope = house.works("bob@example.com").await.scope;
    assert!(matches!(project::create(&mut scope, "more").await, Err(AccountError::Forbidden(_))));
    let ada = NewErasure { user_id: Some("ada".to_owned()), ..NewErasure::default() };
    assert!(matches!(erasure::create(&mut scope, &ada).await, Err(AccountError::Forbidden(_))));
    let there = NewErasure { project: Some("staging".to_owned()), ..ada };
    erasure::create(&mut scope, &there).await.unwrap();
}

#[tokio::test]
async fn a_deleted_project_is_in_nobodys_limits_and_who_had_no_other_has_none() {
    let (house, _, staging) = limited().await;
    let Admitted { mut scope, .. } = house.works("ada@example.com").await;
    project::delete(&mut scope, staging.id).await.unwrap();
    scope.commit().await.unwrap();
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let bob = member(&mut scope, "bob@example.com").await;
    assert_eq!(bob.projects, Some(Vec::new()));
    // What is shown can be said again.
    let again =
        membership::change(&mut scope, &grants, bob.id, ADMIN, bob.projects.as_deref()).await.unwrap();
    assert_eq!(again.projects, Some(Vec::new()));
    drop(scope);
    let Admitted { mut scope, grants } = house.works("bob@example.com").await;
    assert_eq!(grants.projects, Some(Vec::new()), "no project, and not all of them");
    assert!(project::list(&mut scope, &PageRequest::default()).await.unwrap().items.is_empty());
    assert!(key::list(&mut scope, &PageRequest::default()).await.unwrap().items.is_empty());
}

async fn count(scope: &mut Scope, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(scope.connection()).await.unwrap()
}

/// The second lock: a statement that forgets the projects sees no more than one that names them.
#[tokio::test]
async fn the_database_holds_every_statement_to_the_projects_of_its_scope() {
    let (house, ..) = limited().await;
    let mut scope = house.works("bob@example.com").await.scope;
    for query in [
        "SELECT count(*) FROM project",
        "SELECT count(*) FROM project_profile",
        "SELECT count(*) FROM api_key",
    ] {
        assert_eq!(count(&mut scope, query).await, 1, "{query}");
    }
    let revoked =
        sqlx::query("UPDATE api_key SET revoked_at = now()").execute(scope.connection()).await.unwrap();
    assert_eq!(revoked.rows_affected(), 1);
    let moved =
        sqlx::query("UPDATE api_key SET project_id = project_id - 1").execute(scope.connection()).await;
    assert!(moved.unwrap_err().to_string().contains("row-level security"));
    drop(scope);
    // Limited to none is not limited to nothing in particular.
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let bob = member(&mut scope, "bob@example.com").await.id;
    membership::change(&mut scope, &grants, bob, ADMIN, Some(&[])).await.unwrap();
    scope.commit().await.unwrap();
    let mut scope = house.works("bob@example.com").await.scope;
    assert_eq!(count(&mut scope, "SELECT count(*) FROM api_key").await, 0);
}

/// Every table with a tenant and a project, as far as the API may read it, except the one that says who is limited.
#[tokio::test]
async fn every_table_of_projects_is_isolated() {
    let house = House::fresh().await;
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
           AND has_any_column_privilege('weir_api', c.oid, 'SELECT')
           AND (SELECT count(*) FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attname IN ('tenant_id', 'project_id')) = 2
           AND NOT EXISTS (SELECT FROM pg_policies p WHERE p.tablename = c.relname
                AND p.permissive = 'RESTRICTIVE' AND p.qual LIKE '%weir.projects%' AND p.qual = p.with_check)
         ORDER BY 1",
    )
    .fetch_all(&house.place.database.pool)
    .await
    .unwrap();
    assert_eq!(open, ["membership_project"]);
}
