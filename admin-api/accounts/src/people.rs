//! What operators see of people, and do to them.
//!
//! Whatever is done has a reason, which stands in the audit: of the platform, since people belong to no tenant.

use schemas::permission::PlatformRole;
use schemas::public_id::{PersonId, SessionId};
use serde::Serialize;
use serde_json::json;

use crate::check;
use crate::db::chain::{Chain, Note};
use crate::db::membership::{self, TenantOfPerson};
use crate::db::person::{self, SeenPerson};
use crate::db::scope::PlatformScope;
use crate::db::session::{self, Session, Which};
use crate::db::{one_time, passkey, platform_member, second_factor};
use crate::error::AccountError;
use crate::page::{Page, PageRequest};

/// A person with its tenants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ShownPerson {
    /// The person.
    #[serde(flatten)]
    pub person: SeenPerson,
    /// Where it is a member.
    pub tenants: Vec<TenantOfPerson>,
}

/// A page of people, in the order of their ids: all, or those whose address begins with `query`, or whose id it is.
///
/// # Errors
/// [`AccountError`].
pub async fn list(
    scope: &mut PlatformScope,
    query: Option<&str>,
    asked: &PageRequest,
) -> Result<Page<SeenPerson>, AccountError> {
    let after = asked.after::<SeenPerson>()?;
    Ok(asked.page(person::seen(scope, query, after, asked.rows()).await?))
}

/// The person with that id or address.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find(scope: &mut PlatformScope, named: &str) -> Result<ShownPerson, AccountError> {
    let id = id_of(scope, named).await?;
    let found = person::seen(scope, Some(&id.to_string()), None, 1).await?.pop();
    let person = found.ok_or_else(|| AccountError::NotFound(format!("person {named}")))?;
    let tenants = membership::tenants_of(scope.connection(), id).await?;
    Ok(ShownPerson { person, tenants })
}

/// Whom an operator does something to, for a reason.
async fn subject(scope: &mut PlatformScope, named: &str, reason: &str) -> Result<PersonId, AccountError> {
    check::reason(reason)?;
    id_of(scope, named).await
}

/// Notes what was done, and shows the person as it is since.
async fn done(
    scope: &mut PlatformScope,
    id: PersonId,
    action: &'static str,
    after: serde_json::Value,
) -> Result<ShownPerson, AccountError> {
    scope.note(Chain::of_person(id), Note::new(action, id).after(&after));
    find(scope, &id.to_string()).await
}

async fn id_of(scope: &mut PlatformScope, named: &str) -> Result<PersonId, AccountError> {
    let missing = || AccountError::NotFound(format!("person {named}"));
    if let Ok(id) = named.parse() {
        return person::by_id(scope.connection(), id).await?.map(|person| person.id).ok_or_else(missing);
    }
    let email = check::email(named).map_err(|_| missing())?;
    person::credentials(scope.connection(), &email).await?.map(|found| found.id).ok_or_else(missing)
}

/// Ends all sessions of the person, on both listeners.
///
/// # Errors
/// [`AccountError::NotFound`]; [`AccountError::Invalid`] without a reason.
pub async fn end_sessions(
    scope: &mut PlatformScope,
    named: &str,
    reason: &str,
) -> Result<ShownPerson, AccountError> {
    let id = subject(scope, named, reason).await?;
    let ended = end_all(scope, id, "operator").await?;
    done(scope, id, "person.end_sessions", json!({"ended": ended, "reason": reason})).await
}

/// A page of the person's open sessions, the newest first.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn sessions(
    scope: &mut PlatformScope,
    named: &str,
    asked: &PageRequest,
) -> Result<Page<Session>, AccountError> {
    let (id, now) = (id_of(scope, named).await?, scope.now());
    session::list(scope.connection(), id, now, asked).await
}

/// Ends one session of the person.
///
/// # Errors
/// [`AccountError::NotFound`]; [`AccountError::Invalid`] without a reason.
pub async fn end_session(
    scope: &mut PlatformScope,
    named: &str,
    session: SessionId,
    reason: &str,
) -> Result<(), AccountError> {
    check::reason(reason)?;
    let (id, now) = (id_of(scope, named).await?, scope.now());
    if session::end(scope.connection(), id, Which::One(session), "operator", now).await? == 0 {
        return Err(AccountError::NotFound(format!("open session {session} of {named}")));
    }
    let after = serde_json::json!({"session": session, "reason": reason});
    scope.note(Chain::of_person(id), Note::new("person.end_session", id).after(&after));
    Ok(())
}

/// What was begun ends with the sessions: it would open others.
async fn end_all(scope: &mut PlatformScope, id: PersonId, why: &str) -> Result<u64, sqlx::Error> {
    let now = scope.now();
    person::hold_changes(scope.connection(), id).await?;
    one_time::forget_begun(scope.connection(), id).await?;
    session::end(scope.connection(), id, Which::All, why, now).await
}

/// Takes what somebody has lost away: an app, passkeys, recovery codes. All sessions end.
///
/// # Errors
/// [`AccountError::NotFound`]; [`AccountError::Invalid`] without a reason, or if none is on.
pub async fn remove_second_factor(
    scope: &mut PlatformScope,
    named: &str,
    reason: &str,
) -> Result<ShownPerson, AccountError> {
    let id = subject(scope, named, reason).await?;
    end_all(scope, id, "second_factor_removed").await?;
    let had_app = second_factor::remove(scope.connection(), id).await?;
    let passkeys = passkey::remove_all(scope.connection(), id).await?;
    if !had_app && passkeys == 0 {
        return Err(AccountError::Invalid("no second factor is on".to_owned()));
    }
    second_factor::remove_recovery_codes(scope.connection(), id).await?;
    let after = json!({"app": had_app, "passkeys": passkeys, "reason": reason});
    done(scope, id, "second_factor.remove", after).await
}

/// Nobody signs in as the person from now on, and all its sessions end; or, without `disabled`, the person may again.
///
/// # Errors
/// [`AccountError::NotFound`]; [`AccountError::Invalid`] without a reason.
pub async fn set_disabled(
    scope: &mut PlatformScope,
    named: &str,
    disabled: bool,
    reason: &str,
) -> Result<ShownPerson, AccountError> {
    let id = subject(scope, named, reason).await?;
    let now = scope.now();
    person::set_disabled(scope.connection(), id, disabled.then_some(now)).await?;
    if disabled {
        end_all(scope, id, "disabled").await?;
    }
    let action = if disabled { "person.disable" } else { "person.enable" };
    done(scope, id, action, json!({"reason": reason})).await
}

/// Makes the person one of the platform's.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn grant(
    scope: &mut PlatformScope,
    named: &str,
    role: PlatformRole,
) -> Result<ShownPerson, AccountError> {
    let id = id_of(scope, named).await?;
    let before = platform_member::role_of(scope.connection(), id).await?;
    platform_member::set(scope, id, role).await?;
    scope.note(Chain::OPERATORS, Note::new("platform.grant", id).before(&before).after(&role));
    find(scope, &id.to_string()).await
}

/// The person is none of the platform's any more. What it has open on the operators' listener lets it do nothing.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn revoke(scope: &mut PlatformScope, named: &str) -> Result<ShownPerson, AccountError> {
    let id = id_of(scope, named).await?;
    let before = platform_member::role_of(scope.connection(), id).await?;
    if !platform_member::remove(scope, id).await? {
        return Err(AccountError::NotFound(format!("role of {named}")));
    }
    scope.note(Chain::OPERATORS, Note::new("platform.revoke", id).before(&before));
    find(scope, &id.to_string()).await
}
