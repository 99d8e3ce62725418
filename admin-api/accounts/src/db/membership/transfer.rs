use schemas::permission::{BuiltInRole, PlatformRole};
use schemas::public_id::{MembershipId, PersonId};

use super::{Member, Role, find, of_person};
use crate::caller::Actor;
use crate::db::chain::Note;
use crate::db::scope::Scope;
use crate::error::AccountError;
use crate::grants::Grants;

/// Makes a member the owner in the place of the owner who asks, who becomes an admin. A person's address was verified
/// before the person could become a member. If an operator asks, the owners that there are stay.
///
/// # Errors
/// [`AccountError::NotFound`] for a member that the tenant does not have; [`AccountError::Forbidden`] if neither an
/// owner nor an operator asks; [`AccountError::Conflict`] if the member is an owner already.
pub async fn transfer(scope: &mut Scope, to: MembershipId) -> Result<Member, AccountError> {
    super::change::lock_owners(scope).await?;
    let from = match scope.caller().actor {
        Actor::Operator => None,
        // Whom the operators' listener let in: it does not look at the tenant's state.
        Actor::Person(_) if scope.state().is_none() => None,
        Actor::Person(person) => Some(owner(scope, person).await?),
        Actor::Impersonator(_) | Actor::Token(_) | Actor::System => return Err(not_an_owner()),
    };
    let before = find(scope, to).await?;
    if before.role == Role::BuiltIn(BuiltInRole::Owner) {
        return Err(AccountError::Conflict(format!("member {to} is an owner already")));
    }
    // What an owner gives away is all that an owner has.
    let all = Grants::of_platform(PlatformRole::Operator);
    let after = super::change(scope, &all, to, Role::BuiltIn(BuiltInRole::Owner), None).await?;
    if let Some(from) = &from {
        super::change(scope, &all, from.id, Role::BuiltIn(BuiltInRole::Admin), None).await?;
    }
    let said = serde_json::json!({"from": from.as_ref().map(|from| from.person), "to": after.person});
    scope.note(Note::new("tenant.transfer", after.id).after(&said));
    Ok(after)
}

async fn owner(scope: &mut Scope, person: PersonId) -> Result<Member, AccountError> {
    let member = of_person(scope, person).await?;
    if member.role == Role::BuiltIn(BuiltInRole::Owner) { Ok(member) } else { Err(not_an_owner()) }
}

fn not_an_owner() -> AccountError {
    AccountError::Forbidden("an owner gives the tenant away, and nobody else".to_owned())
}
