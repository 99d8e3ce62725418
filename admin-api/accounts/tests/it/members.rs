//! Who may do what in a tenant, and that nobody gets more than somebody has to give.

use accounts::member_role::{self, NewRole};
use accounts::membership::{self, Role};
use accounts::tenant::{self, TenantChange};
use accounts::{AccountError, Admitted, PageRequest, Random, invitation, project};
use schemas::address::AddressPolicy;
use schemas::id::ProjectId;
use schemas::permission::{BuiltInRole, Permission};

use crate::house::{ADMIN, House, OWNER, VIEWER, client, is_refused, member};

#[tokio::test]
async fn every_built_in_role_permits_what_the_table_says() {
    let house = House::acme().await;
    for role in [BuiltInRole::Admin, BuiltInRole::Developer, BuiltInRole::Billing, BuiltInRole::Viewer] {
        let email = format!("{role}@example.com");
        house.joins(&email, Role::BuiltIn(role)).await;
        let grants = house.works(&email).await.grants;
        assert_eq!(grants.role, role.as_str());
        for permission in Permission::ALL {
            assert_eq!(grants.may(*permission), role.may(*permission), "{role} {permission}");
        }
    }
}

#[tokio::test]
async fn the_last_owner_stays() {
    let house = House::acme().await;
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let ada = member(&mut scope, "ada@example.com").await;
    let left = membership::remove(&mut scope, &grants, ada.id).await;
    assert!(matches!(left, Err(AccountError::Invalid(_))));
    let lowered = membership::change(&mut scope, &grants, ada.id, VIEWER, None).await;
    assert!(matches!(lowered, Err(AccountError::Invalid(_))));
}

#[tokio::test]
async fn two_owners_who_remove_each_other_at_once_leave_one() {
    let house = House::acme().await;
    house.joins("bob@example.com", OWNER).await;
    for _ in 0..5 {
        let (mut one, mut other) =
            (house.works("ada@example.com").await, house.works("bob@example.com").await);
        let bob = member(&mut one.scope, "bob@example.com").await;
        let ada = member(&mut one.scope, "ada@example.com").await;
        let first = async {
            membership::change(&mut one.scope, &one.grants, bob.id, ADMIN, None).await?;
            one.scope.commit().await
        };
        let second = async {
            membership::change(&mut other.scope, &other.grants, ada.id, ADMIN, None).await?;
            other.scope.commit().await
        };
        let (first, second) = tokio::join!(first, second);
        assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1, "{first:?} {second:?}");
        let owners = house.place.number("SELECT count(*) FROM membership WHERE built_in = 'owner'").await;
        assert_eq!(owners, 1);
        let (owner, lowered) =
            if first.is_ok() { ("ada@example.com", bob.id) } else { ("bob@example.com", ada.id) };
        let mut again = house.works(owner).await;
        membership::change(&mut again.scope, &again.grants, lowered, OWNER, None).await.unwrap();
        again.scope.commit().await.unwrap();
    }
}

#[tokio::test]
async fn an_heir_is_neither_lowered_nor_removed_while_the_tenant_is_given_to_them() {
    let house = House::acme().await;
    house.joins("heir@example.com", ADMIN).await;
    for removes in [false, true] {
        let (mut one, mut other) =
            (house.works("ada@example.com").await, house.works("ada@example.com").await);
        let heir = member(&mut one.scope, "heir@example.com").await.id;
        membership::transfer(&mut one.scope, heir).await.unwrap();
        let given = async {
            // The other one waits by then.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            one.scope.commit().await
        };
        let lowered = async {
            if removes {
                membership::remove(&mut other.scope, &other.grants, heir).await?;
            } else {
                membership::change(&mut other.scope, &other.grants, heir, VIEWER, None).await?;
            }
            other.scope.commit().await
        };
        let (given, lowered) = tokio::join!(given, lowered);
        given.unwrap();
        assert!(matches!(lowered, Err(AccountError::Invalid(_))), "{lowered:?}");
        let mut back = house.works("heir@example.com").await;
        let ada = member(&mut back.scope, "ada@example.com").await.id;
        membership::transfer(&mut back.scope, ada).await.unwrap();
        back.scope.commit().await.unwrap();
    }
}

#[tokio::test]
async fn who_changes_a_tenant_keeps_nobody_from_what_refers_to_it() {
    let house = House::acme().await;
    let (mut held, mut other) = (house.works("ada@example.com").await, house.works("ada@example.com").await);
    let none = TenantChange { client_ip: Some(AddressPolicy::None), ..TenantChange::default() };
    tenant::change(&mut held.scope, &none).await.unwrap();
    let new = NewRole { name: "clerk".to_owned(), permissions: vec![Permission::TenantRead] };
    let random = Random::system();
    let made = member_role::create(&mut other.scope, &random, &other.grants, &new);
    let made = tokio::time::timeout(std::time::Duration::from_secs(5), made).await;
    made.expect("it waited for who changes the tenant").unwrap();
    other.scope.commit().await.unwrap();
    held.scope.commit().await.unwrap();
}

#[tokio::test]
async fn nobody_gives_or_takes_more_than_they_have() {
    let house = House::acme().await;
    house.joins("admin@example.com", ADMIN).await;
    house.joins("bob@example.com", VIEWER).await;
    let Admitted { mut scope, grants } = house.works("admin@example.com").await;
    let (ada, admin, bob) = (
        member(&mut scope, "ada@example.com").await.id,
        member(&mut scope, "admin@example.com").await.id,
        member(&mut scope, "bob@example.com").await.id,
    );
    for (target, role) in [(admin, OWNER), (bob, OWNER), (ada, VIEWER)] {
        let refused = membership::change(&mut scope, &grants, target, role, None).await;
        assert!(matches!(refused, Err(AccountError::Invalid(_))), "{role:?}");
    }
    assert!(membership::remove(&mut scope, &grants, ada).await.is_err());
    membership::change(&mut scope, &grants, bob, ADMIN, None).await.unwrap();
}

#[tokio::test]
async fn who_manages_members_and_little_else_takes_nothing_from_an_admin() {
    let house = House::acme().await;
    house.joins("admin@example.com", ADMIN).await;
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let manages =
        [Permission::TenantRead, Permission::MembersRead, Permission::MembersManage, Permission::RolesManage];
    let new = NewRole { name: "clerk".to_owned(), permissions: manages.to_vec() };
    let role = member_role::create(&mut scope, &Random::system(), &grants, &new).await.unwrap().id;
    scope.commit().await.unwrap();
    house.joins("clerk@example.com", Role::Custom(role)).await;
    let Admitted { mut scope, grants } = house.works("clerk@example.com").await;
    let admin = member(&mut scope, "admin@example.com").await.id;
    for role in [Role::Custom(role), VIEWER] {
        let refused = membership::change(&mut scope, &grants, admin, role, None).await;
        assert!(matches!(refused, Err(AccountError::Invalid(_))), "{role:?}: {refused:?}");
    }
    assert!(membership::remove(&mut scope, &grants, admin).await.is_err());
}

#[tokio::test]
async fn a_custom_role_holds_what_its_maker_has_and_changes_for_all_its_members_at_once() {
    let house = House::acme().await;
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let new = |permissions: &[Permission]| NewRole {
        name: "auditor".to_owned(),
        permissions: permissions.to_vec(),
    };
    let random = Random::system();
    let owners = new(&[Permission::TenantDelete]);
    assert!(member_role::create(&mut scope, &random, &grants, &owners).await.is_err());
    let reads = new(&[Permission::AuditRead, Permission::AuditRead]);
    let role = member_role::create(&mut scope, &random, &grants, &reads).await.unwrap();
    assert_eq!(role.permissions, [Permission::AuditRead]);
    scope.commit().await.unwrap();
    house.joins("bob@example.com", Role::Custom(role.id)).await;
    let token = house.login("bob@example.com").await.access_token;
    let bob = house.admit(&token).await.unwrap();
    assert_eq!((bob.grants.role.as_str(), bob.grants.permissions), ("auditor", vec![Permission::AuditRead]));
    drop(bob.scope);
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let more = new(&[Permission::AuditRead, Permission::UsageRead]);
    member_role::change(&mut scope, &grants, role.id, &more).await.unwrap();
    scope.commit().await.unwrap();
    let bob = house.admit(&token).await.unwrap();
    assert!(bob.grants.may(Permission::UsageRead) && !bob.grants.may(Permission::KeysRead));
    let viewer = bob.grants;
    let mut scope = bob.scope;
    let widened = new(&[Permission::KeysManage]);
    assert!(member_role::create(&mut scope, &random, &viewer, &widened).await.is_err());
    let named = NewRole { name: "owner".to_owned(), permissions: Vec::new() };
    assert!(member_role::create(&mut scope, &random, &viewer, &named).await.is_err());
}

#[tokio::test]
async fn a_membership_may_be_limited_to_projects_of_its_tenant() {
    let house = House::acme().await;
    house.joins("bob@example.com", VIEWER).await;
    house.person("zoe@example.com", "zeta").await;
    let theirs = project::list(&mut house.works("zoe@example.com").await.scope, &PageRequest::default())
        .await
        .unwrap()
        .items[0]
        .clone();
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let staging = project::create(&mut scope, "staging").await.unwrap();
    let ours = staging.id;
    let bob = member(&mut scope, "bob@example.com").await.id;
    let changed = membership::change(&mut scope, &grants, bob, VIEWER, Some(&[ours])).await.unwrap();
    assert_eq!(changed.projects, Some(vec![ours]));
    scope.commit().await.unwrap();
    let limited = house.works("bob@example.com").await.grants;
    assert!(limited.covers(ProjectId(staging.number)) && !limited.covers(ProjectId(theirs.number)));

    let mut again = house.works("ada@example.com").await;
    let none = membership::change(&mut again.scope, &again.grants, bob, VIEWER, Some(&[])).await.unwrap();
    assert_eq!(none.projects, Some(Vec::new()), "none is not all");
    let foreign = [theirs.id];
    let refused = membership::change(&mut again.scope, &again.grants, bob, VIEWER, Some(&foreign)).await;
    assert!(matches!(refused, Err(AccountError::NotFound(_))));
}

#[tokio::test]
async fn who_is_no_member_any_more_is_let_in_no_more() {
    let house = House::acme().await;
    house.joins("bob@example.com", VIEWER).await;
    let signed_in = house.login("bob@example.com").await;
    assert!(house.admit(&signed_in.access_token).await.is_ok());
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let bob = member(&mut scope, "bob@example.com").await.id;
    membership::remove(&mut scope, &grants, bob).await.unwrap();
    scope.commit().await.unwrap();
    assert!(is_refused(&house.admit(&signed_in.access_token).await));
    let refreshed = house.auth.refresh(signed_in.refresh.expose(), &client(1)).await.unwrap();
    assert!(refreshed.tenant.is_none(), "he is signed in, in no tenant");
    assert!(is_refused(&house.admit(&refreshed.access_token).await));
}

#[tokio::test]
async fn a_person_switches_between_tenants_and_into_no_other() {
    let house = House::acme().await;
    house.person("zoe@example.com", "zeta").await;
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let random = Random::system();
    let made = invitation::create(&mut scope, &random, &grants, "zoe@example.com", VIEWER).await.unwrap();
    scope.commit().await.unwrap();
    let signed_in = house.login("zoe@example.com").await;
    let who = house.auth.signed_in(&signed_in.access_token, &client(1)).await.unwrap();
    assert!(house.auth.switch(&who, "acme", &client(1)).await.is_err());
    house.auth.accept_invitation(who.person(), made.token.expose(), &client(1)).await.unwrap();
    assert_eq!(house.auth.tenants(&who, &client(1), &PageRequest::default()).await.unwrap().items.len(), 2);
    let switched = house.auth.switch(&who, "acme", &client(1)).await.unwrap();
    let acme = house.admit(&switched.access_token).await.unwrap();
    assert_eq!(
        (acme.scope.tenant(), acme.grants.role.as_str()),
        (scope_tenant(&house, "acme").await, "viewer")
    );
    assert_eq!(house.admit(&signed_in.access_token).await.unwrap().grants.role, "owner");
    let refreshed = house.auth.refresh(signed_in.refresh.expose(), &client(1)).await.unwrap();
    assert_eq!(refreshed.tenant.unwrap().slug, "acme", "the session stays with it");
}

async fn scope_tenant(house: &House, slug: &str) -> schemas::id::TenantId {
    let tenant = accounts::tenant::find(&mut house.place.platform().await, slug).await.unwrap();
    schemas::id::TenantId(tenant.number)
}

#[tokio::test]
async fn what_members_do_is_in_the_audit_with_their_names() {
    let house = House::acme().await;
    house.joins("bob@example.com", VIEWER).await;
    let Admitted { mut scope, .. } = house.works("ada@example.com").await;
    let entries =
        accounts::audit::list(&mut scope, &Default::default(), &PageRequest::default()).await.unwrap().items;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    for action in ["tenant.create", "person.join", "membership.create", "login", "invitation.create"] {
        assert!(actions.contains(&action), "{action} {actions:?}");
    }
    let invited = entries.iter().find(|entry| entry.action == "invitation.create").unwrap();
    assert!(invited.actor.starts_with("usr_") && invited.address.as_deref() == Some("192.0.2.1"));
    let verified = accounts::audit::verify(&mut scope).await.unwrap();
    assert_eq!(verified.broken, None);
}
