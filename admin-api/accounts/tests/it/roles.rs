//! Roles of a tenant's own, to their end.

use accounts::member_role::{self, MemberRole, NewRole};
use accounts::membership::{self, Role};
use accounts::{AccountError, Admitted, Random, invitation};
use schemas::permission::Permission;

use crate::house::{ADMIN, House, VIEWER, member};

async fn made(house: &House) -> MemberRole {
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let new = NewRole { name: "helpers".to_owned(), permissions: vec![Permission::AuditRead] };
    let role = member_role::create(&mut scope, &Random::system(), &grants, &new).await.unwrap();
    scope.commit().await.unwrap();
    role
}

async fn delete(house: &House, role: &MemberRole) -> Result<(), AccountError> {
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    member_role::delete(&mut scope, &grants, role.id).await?;
    scope.commit().await?;
    Ok(())
}

#[tokio::test]
async fn a_role_stays_while_a_member_or_a_pending_invitation_holds_it() {
    let house = House::acme().await;
    let role = made(&house).await;
    house.joins("bob@example.com", Role::Custom(role.id)).await;
    assert!(matches!(delete(&house, &role).await, Err(AccountError::Conflict(_))), "a member");
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let bob = member(&mut scope, "bob@example.com").await.id;
    membership::change(&mut scope, &grants, bob, VIEWER, None).await.unwrap();
    let random = Random::system();
    let held = Role::Custom(role.id);
    let invited = invitation::create(&mut scope, &random, &grants, "eve@example.com", held).await.unwrap();
    scope.commit().await.unwrap();
    assert!(matches!(delete(&house, &role).await, Err(AccountError::Conflict(_))), "an invitation");
    let mut scope = house.works("ada@example.com").await.scope;
    invitation::revoke(&mut scope, invited.invitation.id).await.unwrap();
    scope.commit().await.unwrap();
    delete(&house, &role).await.unwrap();
    assert!(matches!(delete(&house, &role).await, Err(AccountError::NotFound(_))));
}

#[tokio::test]
async fn nobody_deletes_a_role_that_holds_more_than_they_have() {
    let house = House::acme().await;
    let role = made(&house).await;
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let permissions = vec![Permission::RolesManage, Permission::MembersRead];
    let new = NewRole { name: "clerks".to_owned(), permissions };
    let clerks = member_role::create(&mut scope, &Random::system(), &grants, &new).await.unwrap();
    scope.commit().await.unwrap();
    house.joins("bob@example.com", Role::Custom(clerks.id)).await;
    let Admitted { mut scope, grants } = house.works("bob@example.com").await;
    let refused = member_role::delete(&mut scope, &grants, role.id).await;
    assert!(matches!(refused, Err(AccountError::Invalid(_))), "{refused:?}");
    drop(scope);
    house.joins("admin@example.com", ADMIN).await;
    let Admitted { mut scope, grants } = house.works("admin@example.com").await;
    member_role::delete(&mut scope, &grants, role.id).await.unwrap();
}
