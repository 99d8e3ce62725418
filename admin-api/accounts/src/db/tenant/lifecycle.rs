//! What is done to a tenant as a whole. `schemas::lifecycle` says what is possible, and to whom.

use schemas::lifecycle::{self, TENANT, TenantState, TenantTransition, Who};

use super::{Tenant, lock, show};
use crate::caller::Actor;
use crate::check;
use crate::db::chain::Note;
use crate::db::scope::Scope;
use crate::error::AccountError;
use crate::grants::Grants;

/// Deletes the scope's tenant: ingest refuses its keys within a second.
///
/// # Errors
/// As [`transit`].
pub async fn delete(scope: &mut Scope, by: &Grants) -> Result<Tenant, AccountError> {
    transit(scope, by, TenantTransition::Delete, None).await
}

/// Lets a deleted tenant in again.
///
/// # Errors
/// As [`transit`].
pub async fn restore(scope: &mut Scope, by: &Grants) -> Result<Tenant, AccountError> {
    transit(scope, by, TenantTransition::Restore, None).await
}

/// Makes a transition for an operator, for a `reason` that the audit keeps: for who was let in to what is the
/// platform's, whether a person or the holder of the operator's token.
///
/// # Errors
/// As [`transit`]; [`AccountError::Invalid`] without a reason.
pub async fn operate(
    scope: &mut Scope,
    transition: TenantTransition,
    reason: &str,
) -> Result<Tenant, AccountError> {
    check::reason(reason)?;
    make(scope, transition, Some(reason), |_, who| who == Who::Operator).await
}

/// Makes a transition of the scope's tenant, for a `reason` that the audit keeps.
///
/// # Errors
/// [`AccountError::Conflict`] if there is no such transition from the state that the tenant is in;
/// [`AccountError::Forbidden`] if it is not `by`'s to make.
pub async fn transit(
    scope: &mut Scope,
    by: &Grants,
    transition: TenantTransition,
    reason: Option<&str>,
) -> Result<Tenant, AccountError> {
    make(scope, transition, reason, |scope, who| may(scope, by, who)).await
}

async fn make(
    scope: &mut Scope,
    transition: TenantTransition,
    reason: Option<&str>,
    may: impl FnOnce(&Scope, Who) -> bool,
) -> Result<Tenant, AccountError> {
    let before = lock(scope).await?;
    scope.check(&before)?;
    let rule = lifecycle::find(TENANT, before.status, transition).ok_or_else(|| {
        AccountError::Conflict(format!("{transition} is no transition of a tenant that is {}", before.status))
    })?;
    if !may(scope, rule.who) {
        return Err(AccountError::Forbidden(format!("this is for {}", rule.who)));
    }
    if rule.to == TenantState::Erased {
        return super::erase::now(scope, &before).await;
    }
    let (tenant, now) = (scope.tenant(), scope.now());
    sqlx::query("UPDATE tenant SET status = $2 WHERE id = $1")
        .bind(tenant.0)
        .bind(rule.to.as_str())
        .execute(scope.connection())
        .await?;
    sqlx::query("UPDATE tenant_profile SET deleted_at = $2 WHERE tenant_id = $1")
        .bind(tenant.0)
        .bind((rule.to == TenantState::Deleted).then_some(now))
        .execute(scope.connection())
        .await?;
    let after = show(scope).await?;
    let said = serde_json::json!({"status": after.status, "reason": reason});
    let note = Note::new(action(transition), after.id);
    scope.note(note.before(&serde_json::json!({"status": before.status})).after(&said));
    Ok(after)
}

/// Whether a transition is the caller's to make.
fn may(scope: &Scope, by: &Grants, who: Who) -> bool {
    let actor = scope.caller().actor;
    match who {
        Who::Holder(permission) => by.may(permission) || actor == Actor::Operator,
        Who::Operator => actor == Actor::Operator,
        Who::Time => actor == Actor::System,
        // The link itself is what permits it, where it is looked up.
        Who::Link => false,
    }
}

fn action(transition: TenantTransition) -> &'static str {
    match transition {
        TenantTransition::Freeze => "tenant.freeze",
        TenantTransition::Thaw => "tenant.thaw",
        TenantTransition::Close => "tenant.close",
        TenantTransition::Reopen => "tenant.reopen",
        TenantTransition::Delete => "tenant.delete",
        TenantTransition::Restore => "tenant.restore",
        TenantTransition::Erase => "tenant.erase",
    }
}
