//! Invitations of people whom weir knows already, and links that are sent again.

use accounts::member_role::{self, NewRole};
use accounts::membership::Role;
use accounts::{AccountError, Admitted, PageRequest, Random, invitation};
use schemas::lifecycle::{self, INVITATION, InvitationState, InvitationTransition};
use schemas::permission::{BuiltInRole, Permission};
use schemas::public_id::InvitationId;

use crate::house::{House, PASSWORD, client, is_refused, secret};

/// A tenant of `ada`, whose access token this is, and a person `bob` with a tenant of his own.
async fn house_of_two() -> (House, String) {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    house.person("bob@example.com", "bobs").await;
    let ada = house.login("ada@example.com").await.access_token;
    (house, ada)
}

async fn invite(house: &House, ada: &str, email: &str, role: Role) -> InvitationId {
    let Admitted { mut scope, grants } = house.admit(ada).await.unwrap();
    let made = invitation::create(&mut scope, &Random::system(), &grants, email, role).await.unwrap();
    house.auth.mail_invitation(&mut scope, &made).await.unwrap();
    scope.commit().await.unwrap();
    made.invitation.id
}

const VIEWER: Role = Role::BuiltIn(BuiltInRole::Viewer);

#[tokio::test]
async fn somebody_who_is_known_accepts_once_and_is_in_both_tenants() {
    let (house, ada) = house_of_two().await;
    invite(&house, &ada, "bob@example.com", VIEWER).await;
    let mail = house.mails().await.into_iter().find(|mail| mail.kind == "invitation").unwrap();
    assert_eq!(mail.details["tenant"], "acme");
    let link = mail.token.unwrap().expose().to_owned();
    let bob = house.who(&house.login("bob@example.com").await.access_token).await;
    let eve = house.person("eve@example.com", "eves").await;
    assert!(
        is_refused(&house.auth.accept_invitation(eve, &link, &client(1)).await),
        "it is of another address"
    );
    let joined = house.auth.accept_invitation(bob.person(), &link, &client(1)).await.unwrap();
    assert_eq!((joined.name.as_str(), joined.role.as_str()), ("acme", "viewer"));
    assert!(is_refused(&house.auth.accept_invitation(bob.person(), &link, &client(1)).await));
    assert_eq!(house.auth.tenants(&bob, &client(1), &PageRequest::default()).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn a_link_that_is_sent_again_replaces_the_one_before_and_opens_what_has_expired() {
    let (house, ada) = house_of_two().await;
    let id = invite(&house, &ada, "bob@example.com", VIEWER).await;
    let old = house.link_to("bob@example.com").await;
    let bob = house.who(&house.login("bob@example.com").await.access_token).await.person();
    house.wait(8 * 86_400);
    assert!(is_refused(&house.auth.accept_invitation(bob, &old, &client(1)).await), "it has expired");
    let ada = house.login("ada@example.com").await.access_token;
    let Admitted { mut scope, grants } = house.admit(&ada).await.unwrap();
    let made = invitation::resend(&mut scope, &Random::system(), &grants, id).await.unwrap();
    house.auth.mail_invitation(&mut scope, &made).await.unwrap();
    scope.commit().await.unwrap();
    assert!(is_refused(&house.auth.accept_invitation(bob, &old, &client(1)).await));
    let link = house.link_to("bob@example.com").await;
    house.auth.accept_invitation(bob, &link, &client(1)).await.unwrap();
    let Admitted { mut scope, grants } = house.admit(&ada).await.unwrap();
    let again = invitation::resend(&mut scope, &Random::system(), &grants, id).await;
    assert!(matches!(again, Err(AccountError::NotFound(_))), "who has joined is not invited any more");
}

#[tokio::test]
async fn an_invitation_has_the_transitions_of_the_table_and_no_others() {
    for from in InvitationState::ALL {
        let (house, ada) = house_of_two().await;
        let id = invite(&house, &ada, "bob@example.com", VIEWER).await;
        let link = house.link_to("bob@example.com").await;
        let bob = house.who(&house.login("bob@example.com").await.access_token).await.person();
        house
            .place
            .forge(match from {
                InvitationState::Pending => "SELECT 1",
                InvitationState::Accepted => "UPDATE invitation SET accepted_at = created_at",
                InvitationState::Revoked => "UPDATE invitation SET revoked_at = created_at",
                InvitationState::Expired => "UPDATE invitation SET expires_at = created_at",
            })
            .await;
        let Admitted { mut scope, .. } = house.admit(&ada).await.unwrap();
        let listed = invitation::list(&mut scope, &PageRequest::default()).await.unwrap().items;
        let is_seen = matches!(from, InvitationState::Pending | InvitationState::Expired);
        let seen: Vec<_> = listed.iter().map(|invitation| invitation.status).collect();
        assert_eq!(seen, if is_seen { vec![*from] } else { Vec::new() });
        drop(scope);
        let may = |transition| lifecycle::find(INVITATION, *from, transition).is_some();
        // None of these is committed: each begins with `from`. The last one is.
        let Admitted { mut scope, grants } = house.admit(&ada).await.unwrap();
        let resent = invitation::resend(&mut scope, &Random::system(), &grants, id).await;
        assert_eq!(resent.is_ok(), may(InvitationTransition::Resend), "{from} {resent:?}");
        drop(scope);
        let Admitted { mut scope, .. } = house.admit(&ada).await.unwrap();
        let revoked = invitation::revoke(&mut scope, id).await;
        assert_eq!(revoked.is_ok(), may(InvitationTransition::Revoke), "{from} {revoked:?}");
        drop(scope);
        let accepted = house.auth.accept_invitation(bob, &link, &client(1)).await;
        assert_eq!(accepted.is_ok(), may(InvitationTransition::Accept), "{from} {accepted:?}");
    }
}

#[tokio::test]
async fn a_role_that_was_changed_meanwhile_counts_as_it_is_at_the_acceptance() {
    let (house, ada) = house_of_two().await;
    let Admitted { mut scope, grants } = house.admit(&ada).await.unwrap();
    let new =
        |permissions: &[Permission]| NewRole { name: "ops".to_owned(), permissions: permissions.to_vec() };
    let wide = new(&[Permission::KeysManage, Permission::UsageRead]);
    let role = member_role::create(&mut scope, &Random::system(), &grants, &wide).await.unwrap();
    scope.commit().await.unwrap();
    invite(&house, &ada, "bob@example.com", Role::Custom(role.id)).await;
    let Admitted { mut scope, grants } = house.admit(&ada).await.unwrap();
    member_role::change(&mut scope, &grants, role.id, &new(&[Permission::UsageRead])).await.unwrap();
    scope.commit().await.unwrap();
    let link = house.link_to("bob@example.com").await;
    let signed_in = house.login("bob@example.com").await;
    let bob = house.who(&signed_in.access_token).await;
    let joined = house.auth.accept_invitation(bob.person(), &link, &client(1)).await.unwrap();
    let token = house.auth.switch(&bob, &joined.slug, &client(1)).await.unwrap().access_token;
    let admitted = house.admit(&token).await.unwrap();
    assert_eq!(admitted.grants.permissions, [Permission::UsageRead]);
}

#[tokio::test]
async fn an_address_gets_four_mails_of_a_tenant_within_an_hour_and_not_one_more() {
    let (house, ada) = house_of_two().await;
    let id = invite(&house, &ada, "eve@example.com", VIEWER).await;
    let resend = async || {
        let Admitted { mut scope, grants } = house.works("ada@example.com").await;
        let made = invitation::resend(&mut scope, &Random::system(), &grants, id).await;
        scope.commit().await.unwrap();
        made.map(|_| ())
    };
    for _ in 0..3 {
        resend().await.unwrap();
    }
    house.wait(600);
    let refused = resend().await;
    assert!(matches!(refused, Err(AccountError::Wait { seconds: 3_000 })), "{refused:?}");
    let Admitted { mut scope, grants } = house.admit(&ada).await.unwrap();
    let (random, viewer) = (Random::system(), VIEWER);
    let again = invitation::create(&mut scope, &random, &grants, "eve@example.com", viewer).await;
    assert!(
        matches!(again, Err(AccountError::Wait { .. })),
        "another invitation is no way around: {again:?}"
    );
    invitation::create(&mut scope, &random, &grants, "other@example.com", viewer).await.unwrap();
    drop(scope);
    house.wait(2_999);
    assert!(resend().await.is_err());
    house.wait(1);
    resend().await.unwrap();
}

#[tokio::test]
async fn nobody_joins_a_tenant_that_is_closed_or_deleted() {
    let (house, ada) = house_of_two().await;
    let id = invite(&house, &ada, "bob@example.com", VIEWER).await;
    let link = house.link_to("bob@example.com").await;
    let bob = house.who(&house.login("bob@example.com").await.access_token).await.person();
    let Admitted { scope, grants } = house.admit(&ada).await.unwrap();
    let acme = scope.tenant();
    drop(scope);
    let accept = async || house.auth.accept_invitation(bob, &link, &client(1)).await;
    for state in ["closed", "deleted", "erased"] {
        let set = sqlx::query("UPDATE tenant SET status = $1 WHERE name = 'acme'").bind(state);
        set.execute(&house.place.database.pool).await.unwrap();
        assert!(is_refused(&accept().await), "{state}");
        let new = house.auth.register_invited(&link, "Bob", secret(PASSWORD), &client(1)).await;
        assert!(is_refused(&new), "{state}");
        // As operators, who get in whatever the state is.
        let mut scope = house.place.scope(acme).await;
        let resent = invitation::resend(&mut scope, &Random::system(), &grants, id).await;
        assert!(matches!(resent, Err(AccountError::Conflict(_))), "{state} {resent:?}");
        let made = invitation::create(&mut scope, &Random::system(), &grants, "e@example.com", VIEWER).await;
        assert!(matches!(made, Err(AccountError::Conflict(_))), "{state} {made:?}");
    }
    house.place.forge("UPDATE tenant SET status = 'active'").await;
    accept().await.unwrap();
}

/// Invites somebody to the tenant of the person at `by`.
async fn invited_by(house: &House, by: &str, email: &str) -> Result<InvitationId, AccountError> {
    let Admitted { mut scope, grants } = house.works(by).await;
    let made = invitation::create(&mut scope, &Random::system(), &grants, email, VIEWER).await?;
    scope.commit().await.unwrap();
    Ok(made.invitation.id)
}

#[tokio::test]
async fn an_address_gets_ten_mails_of_all_tenants_within_an_hour_and_not_one_more() {
    let house = House::fresh().await;
    let owners = ["ada@example.com", "bob@example.com", "zoe@example.com"];
    for (owner, tenant) in owners.into_iter().zip(["acme", "bobs", "zeta"]) {
        house.person(owner, tenant).await;
    }
    for (owner, mails) in owners.into_iter().zip([4, 4, 2]) {
        for _ in 0..mails {
            invited_by(&house, owner, "eve@example.com").await.unwrap();
        }
    }
    let more = invited_by(&house, owners[2], "eve@example.com").await;
    assert!(matches!(more, Err(AccountError::Wait { .. })), "{more:?}");
    invited_by(&house, owners[2], "other@example.com").await.unwrap();
    house.wait(3_600);
    invited_by(&house, owners[2], "eve@example.com").await.unwrap();
}

#[tokio::test]
async fn a_tenant_sends_a_hundred_invitations_within_an_hour_and_not_one_more() {
    let (house, _) = house_of_two().await;
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let random = Random::system();
    for number in 0..100 {
        let email = format!("p{number}@example.com");
        invitation::create(&mut scope, &random, &grants, &email, VIEWER).await.unwrap();
    }
    let more = invitation::create(&mut scope, &random, &grants, "p100@example.com", VIEWER).await;
    assert!(matches!(more, Err(AccountError::Wait { .. })), "{more:?}");
    scope.commit().await.unwrap();
    invited_by(&house, "bob@example.com", "p100@example.com").await.unwrap();
    house.wait(3_600);
    invited_by(&house, "ada@example.com", "p100@example.com").await.unwrap();
}

/// Waits until so many statements of the house's database wait for a lock.
async fn statements_wait(house: &House, number: i64) {
    let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    testkit::eventually("statements wait", std::time::Duration::from_secs(10), async || {
        house.place.number(query).await == number
    })
    .await;
}

#[tokio::test]
async fn who_invites_again_and_who_sends_the_link_again_do_not_wait_for_each_other() {
    let (house, ada) = house_of_two().await;
    let id = invite(&house, &ada, "eve@example.com", VIEWER).await;
    // Both wait for what mails are counted by: the first that gets it must not need what the other one has.
    let mut held = house.place.database.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM attempt FOR UPDATE").execute(&mut *held).await.unwrap();
    let again = async {
        let Admitted { mut scope, grants } = house.admit(&ada).await.unwrap();
        invitation::create(&mut scope, &Random::system(), &grants, "eve@example.com", VIEWER).await?;
        scope.commit().await
    };
    let resent = async {
        statements_wait(&house, 1).await;
        let Admitted { mut scope, grants } = house.admit(&ada).await.unwrap();
        invitation::resend(&mut scope, &Random::system(), &grants, id).await?;
        scope.commit().await
    };
    let release = async {
        statements_wait(&house, 2).await;
        held.rollback().await.unwrap();
    };
    let (again, resent, ()) = tokio::join!(again, resent, release);
    again.unwrap();
    assert!(matches!(resent, Err(AccountError::NotFound(_))), "{resent:?}");
}

#[tokio::test]
async fn nobody_joins_a_tenant_that_is_deleted_at_the_same_time() {
    let (house, ada) = house_of_two().await;
    invite(&house, &ada, "bob@example.com", VIEWER).await;
    let link = house.link_to("bob@example.com").await;
    let bob = house.who(&house.login("bob@example.com").await.access_token).await.person();
    let Admitted { mut scope, grants } = house.admit(&ada).await.unwrap();
    accounts::tenant::delete(&mut scope, &grants).await.unwrap();
    let accepted = async { house.auth.accept_invitation(bob, &link, &client(1)).await };
    let deleted = async {
        statements_wait(&house, 1).await;
        scope.commit().await.unwrap();
    };
    let (accepted, ()) = tokio::join!(accepted, deleted);
    assert!(is_refused(&accepted), "{accepted:?}");
}
