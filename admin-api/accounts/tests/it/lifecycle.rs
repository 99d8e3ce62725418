//! Every state, every transition, every role: what the table says, and nothing else.

use accounts::{AccountError, Actor, Caller, Grants, PageRequest, Scope, tenant};
use chrono::TimeDelta;
use schemas::id::TenantId;
use schemas::lifecycle::{self, TENANT, TenantState, TenantTransition, Who};
use schemas::permission::{BuiltInRole, PlatformRole};
use schemas::public_id::PersonId;

use crate::place::Place;

/// Who asks, with what the caller holds.
fn callers() -> Vec<(String, Actor, Grants)> {
    let grants = |role: String, permissions| Grants { role, permissions, projects: None, membership: None };
    let person = Actor::Person(PersonId::of_random([7; 16]));
    let member = |role: BuiltInRole| {
        (role.to_string(), person, grants(role.to_string(), role.permissions().collect()))
    };
    let mut callers: Vec<_> = BuiltInRole::ALL.into_iter().map(member).collect();
    callers.push(("operator".to_owned(), Actor::Operator, Grants::of_platform(PlatformRole::Operator)));
    callers.push(("weir".to_owned(), Actor::System, grants("system".to_owned(), Vec::new())));
    // A role of a tenant's own that is called like the operator is not the operator.
    callers.push(("impostor".to_owned(), person, grants("operator".to_owned(), Vec::new())));
    callers
}

fn may(who: Who, caller: &str) -> bool {
    match who {
        Who::Operator => caller == "operator",
        Who::Time => caller == "weir",
        Who::Holder(permission) => {
            caller == "operator" || caller.parse::<BuiltInRole>().is_ok_and(|role| role.may(permission))
        }
        Who::Link => false,
    }
}

async fn put(place: &Place, tenant: TenantId, state: TenantState) {
    sqlx::query("UPDATE tenant SET status = $2 WHERE id = $1")
        .bind(tenant.0)
        .bind(state.as_str())
        .execute(&place.database.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn each_caller_makes_each_transition_from_each_state_as_the_table_says() {
    let place = Place::fresh().await;
    let tenant = place.tenant("acme").await;
    // Long enough ago for whatever follows from time.
    place.clock.set(place.clock.now_micros() + TimeDelta::days(60).num_microseconds().unwrap());
    let mut tried = 0;
    for from in TenantState::ALL {
        put(&place, tenant, *from).await;
        place.forge("UPDATE tenant_profile SET deleted_at = '2026-11-01', erased_at = NULL").await;
        for transition in TenantTransition::ALL {
            for (name, actor, grants) in callers() {
                let caller = Caller::local(actor);
                let mut scope = Scope::open(&place.pool, &place.clock, caller, tenant).await.unwrap();
                let made = tenant::transit(&mut scope, &grants, *transition, Some("a test")).await;
                let what = format!("{from} {transition} by {name}: {made:?}");
                match lifecycle::find(TENANT, *from, *transition) {
                    None => assert!(matches!(made, Err(AccountError::Conflict(_))), "{what}"),
                    Some(rule) if may(rule.who, &name) => assert_eq!(made.unwrap().status, rule.to, "{what}"),
                    Some(_) => assert!(matches!(made, Err(AccountError::Forbidden(_))), "{what}"),
                }
                tried += 1;
            }
        }
    }
    assert_eq!(tried, TenantState::ALL.len() * TenantTransition::ALL.len() * callers().len());
}

#[tokio::test]
async fn a_transition_is_kept_with_its_reason() {
    let place = Place::fresh().await;
    let tenant = place.tenant("acme").await;
    let mut scope = place.scope(tenant).await;
    let (operator, reason) = (Grants::of_platform(PlatformRole::Operator), Some("an unpaid bill"));
    let frozen = tenant::transit(&mut scope, &operator, TenantTransition::Freeze, reason).await.unwrap();
    assert_eq!(frozen.status, TenantState::Frozen);
    scope.commit().await.unwrap();
    let mut scope = place.scope(tenant).await;
    let entries =
        accounts::audit::list(&mut scope, &Default::default(), &PageRequest::default()).await.unwrap().items;
    let frozen = entries.iter().find(|entry| entry.action == "tenant.freeze").unwrap();
    assert!(frozen.after.as_ref().unwrap().contains("an unpaid bill"));
}
