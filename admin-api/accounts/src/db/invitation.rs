//! Invitations to become a member.

mod accept;

use chrono::{DateTime, TimeDelta, Utc};
use schemas::lifecycle::{self, INVITATION, InvitationState, InvitationTransition, TenantState};
use schemas::permission::BuiltInRole;
use schemas::public_id::InvitationId;
use serde::Serialize;
use service::store::changed;

use super::membership::{Role, hold_within};
use crate::check;
use crate::db::attempt::{self, Guarded};
use crate::db::chain::Note;
use crate::db::scope::Scope;
use crate::db::tenant;
use crate::error::AccountError;
use crate::grants::Grants;
use crate::page::{Listed, Page, PageRequest};
use crate::random::Random;
use crate::secret::{Purpose, SecretText};

pub(crate) use accept::{Accepted, NotAccepted, accept, hold_maker};

/// For how long an invitation is good.
const LIFE: TimeDelta = TimeDelta::days(7);

/// Mails with a link within an hour: of one tenant to one address, which are the first one and three that are sent
/// again; of all tenants to one address; and of one tenant.
const MAILS_MAX: [i32; 3] = [4, 10, 100];
const MAILS_WINDOW: TimeDelta = TimeDelta::hours(1);

/// An invitation that nobody has accepted or revoked, as members see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Who is invited.
    pub email: String,
    /// As what.
    pub role: Role,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// Pending or expired.
    pub status: InvitationState,
}

/// An invitation that was just made. The only place where its link's secret is, except for the mail.
#[derive(Debug)]
pub struct MadeInvitation {
    /// What was made.
    pub invitation: Invitation,
    /// What its link holds.
    pub token: SecretText,
    /// What the tenant's people call it.
    pub tenant_title: String,
}

/// Invites somebody. A former invitation of the same address is revoked.
///
/// # Errors
/// [`AccountError::Invalid`] for an address that is none, or a role that holds more than `by`;
/// [`AccountError::Exists`] if there is such a member; [`AccountError::Wait`] and [`AccountError::Conflict`] as
/// [`resend`].
pub async fn create(
    scope: &mut Scope,
    random: &Random,
    by: &Grants,
    email: &str,
    role: Role,
) -> Result<MadeInvitation, AccountError> {
    let email = check::email(email)?;
    if role == Role::BuiltIn(BuiltInRole::Owner) {
        return Err(AccountError::Invalid("an owner is made of a member: invite an admin first".to_owned()));
    }
    hold_within(scope, by, role).await?;
    hold_mail(scope, &email).await?;
    let (tenant, now, inviter) = (scope.tenant(), scope.now(), scope.caller().actor.to_string());
    let is_member: bool = sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM membership m JOIN person p ON p.id = m.person_id WHERE m.tenant_id = $1 AND p.email = $2)",
    )
    .bind(tenant.0)
    .bind(&email)
    .fetch_one(scope.connection())
    .await?;
    if is_member {
        return Err(AccountError::Exists(format!("the membership of {email}")));
    }
    sqlx::query(
        "UPDATE invitation SET revoked_at = $3
         WHERE tenant_id = $1 AND email = $2 AND accepted_at IS NULL AND revoked_at IS NULL",
    )
    .bind(tenant.0)
    .bind(&email)
    .bind(now)
    .execute(scope.connection())
    .await?;
    let (id, token) =
        (InvitationId::of_random(random.bytes()), SecretText::make(Purpose::Invitation, random));
    let (built_in, custom) = role.columns();
    let expires_at = now + LIFE;
    sqlx::query(
        "INSERT INTO invitation (tenant_id, id, email, built_in, custom, token_hash, invited_by, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(tenant.0)
    .bind(id.uuid())
    .bind(&email)
    .bind(built_in)
    .bind(custom)
    .bind(token.hash().as_slice())
    .bind(inviter)
    .bind(now)
    .bind(expires_at)
    .execute(scope.connection())
    .await
    .map_err(AccountError::of_insert(|| format!("an invitation of {email}")))?;
    let status = InvitationState::Pending;
    let invitation = Invitation { id, email, role, created_at: now, expires_at, status };
    scope.note(Note::new("invitation.create", id).after(&invitation));
    Ok(MadeInvitation { invitation, token, tenant_title: tenant_title(scope).await? })
}

type Row = (uuid::Uuid, String, Option<String>, Option<uuid::Uuid>, DateTime<Utc>, DateTime<Utc>, String);

fn invitation((id, email, built_in, custom, created_at, expires_at, status): Row) -> Option<Invitation> {
    let role = Role::of_columns(built_in.as_deref(), custom)?;
    Some(Invitation { id: id.into(), email, role, created_at, expires_at, status: status.parse().ok()? })
}

/// What an invitation `i` is at the time `$2`.
macro_rules! status {
    () => {
        "CASE WHEN i.accepted_at IS NOT NULL THEN 'accepted' WHEN i.revoked_at IS NOT NULL THEN 'revoked'
              WHEN i.expires_at <= $2 THEN 'expired' ELSE 'pending' END"
    };
}
use status;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT i.id, i.email, i.built_in, i.custom, i.created_at, i.expires_at, ",
            status!(),
            " FROM invitation i WHERE i.tenant_id = $1 AND ",
            $rest
        )
    };
}

fn not_open(id: InvitationId) -> AccountError {
    AccountError::NotFound(format!("open invitation {id}"))
}

/// The invitation, which nobody else changes until the transaction ends, if it is in a state that has this transition.
async fn lock(
    scope: &mut Scope,
    id: InvitationId,
    transition: InvitationTransition,
) -> Result<Invitation, AccountError> {
    let (tenant, now) = (scope.tenant(), scope.now());
    let row: Option<Row> = sqlx::query_as(select!("i.id = $3 FOR UPDATE"))
        .bind(tenant.0)
        .bind(now)
        .bind(id.uuid())
        .fetch_optional(scope.connection())
        .await?;
    let found = row.and_then(invitation).ok_or_else(|| not_open(id))?;
    lifecycle::find(INVITATION, found.status, transition).ok_or_else(|| not_open(id))?;
    Ok(found)
}

/// One invitation.
///
/// # Errors
/// [`AccountError::NotFound`] if it was accepted or revoked.
pub async fn find(scope: &mut Scope, id: InvitationId) -> Result<Invitation, AccountError> {
    let (tenant, now) = (scope.tenant(), scope.now());
    let row: Option<Row> =
        sqlx::query_as(select!("i.id = $3 AND i.accepted_at IS NULL AND i.revoked_at IS NULL"))
            .bind(tenant.0)
            .bind(now)
            .bind(id.uuid())
            .fetch_optional(scope.connection())
            .await?;
    row.and_then(invitation).ok_or_else(|| not_open(id))
}

impl Listed for Invitation {
    const LIST: &'static str = "invitations";
    type Key = (DateTime<Utc>, uuid::Uuid);

    fn key(&self) -> Self::Key {
        (self.created_at, self.id.uuid())
    }
}

/// A page of the tenant's invitations that nobody has accepted or revoked, the newest first.
///
/// # Errors
/// [`AccountError`].
pub async fn list(scope: &mut Scope, asked: &PageRequest) -> Result<Page<Invitation>, AccountError> {
    let (tenant, now, before) = (scope.tenant(), scope.now(), asked.after::<Invitation>()?);
    let rows: Vec<Row> = sqlx::query_as(select!(
        "i.accepted_at IS NULL AND i.revoked_at IS NULL
             AND ($3::timestamptz IS NULL OR (i.created_at, i.id) < ($3, $4))
         ORDER BY i.created_at DESC, i.id DESC LIMIT $5"
    ))
    .bind(tenant.0)
    .bind(now)
    .bind(before.map(|(at, _)| at))
    .bind(before.map(|(_, id)| id))
    .bind(asked.rows())
    .fetch_all(scope.connection())
    .await?;
    Ok(asked.page(rows.into_iter().filter_map(invitation).collect()))
}

/// What the tenant's people call it.
async fn tenant_title(scope: &mut Scope) -> Result<String, AccountError> {
    let query = sqlx::query_scalar("SELECT title FROM tenant_profile WHERE tenant_id = $1");
    let tenant = scope.tenant();
    Ok(query.bind(tenant.0).fetch_one(scope.connection()).await?)
}

/// Gives an invitation that nobody has accepted or revoked another link, which is good for a week from now, as long as
/// who asks for it may invite for its role. The old link is worth nothing any more.
///
/// # Errors
/// [`AccountError::NotFound`] if there is no such invitation; [`AccountError::Invalid`] for a role that holds more than
/// `by`; [`AccountError::Wait`] if the address got many mails within the hour; [`AccountError::Conflict`] if nobody
/// joins the tenant.
pub async fn resend(
    scope: &mut Scope,
    random: &Random,
    by: &Grants,
    id: InvitationId,
) -> Result<MadeInvitation, AccountError> {
    // What mails are counted by is locked before an invitation, here and in `create`. An invitation keeps its address.
    let email = find(scope, id).await?.email;
    hold_mail(scope, &email).await?;
    let before = lock(scope, id, InvitationTransition::Resend).await?;
    hold_within(scope, by, before.role).await?;
    let (tenant, expires_at) = (scope.tenant(), scope.now() + LIFE);
    let token = SecretText::make(Purpose::Invitation, random);
    let resent = sqlx::query(
        "UPDATE invitation SET token_hash = $3, expires_at = $4, invited_by = $5 WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(id.uuid())
    .bind(token.hash().as_slice())
    .bind(expires_at)
    .bind(scope.caller().actor.to_string())
    .execute(scope.connection())
    .await?;
    changed(&resent, 1)?;
    let invitation = Invitation { expires_at, status: InvitationState::Pending, ..before };
    scope.note(Note::new("invitation.resend", id).after(&invitation));
    Ok(MadeInvitation { invitation, token, tenant_title: tenant_title(scope).await? })
}

/// Whether another mail with a link may be sent to that address.
async fn hold_mail(scope: &mut Scope, email: &str) -> Result<(), AccountError> {
    let (tenant, now) = (scope.tenant(), scope.now());
    let state = tenant::state(scope.connection(), tenant).await?;
    // One that this weir does not know takes nobody in.
    let state = state.unwrap_or(TenantState::Erased);
    if !state.takes_members() {
        return Err(AccountError::Conflict(format!("the tenant is {state}: nobody joins it")));
    }
    let all = [Guarded::Invitation(tenant, email), Guarded::Invited(email), Guarded::Inviting(tenant)];
    for (guarded, max) in all.into_iter().zip(MAILS_MAX) {
        let counted = attempt::count_within(scope.connection(), guarded, (max, MAILS_WINDOW), now).await?;
        counted.map_err(|seconds| AccountError::Wait { seconds })?;
    }
    Ok(())
}

/// Makes an invitation's link worthless.
///
/// # Errors
/// [`AccountError::NotFound`] if it was accepted or revoked.
pub async fn revoke(scope: &mut Scope, id: InvitationId) -> Result<(), AccountError> {
    let before = lock(scope, id, InvitationTransition::Revoke).await?;
    scope.check(&before)?;
    let (tenant, now) = (scope.tenant(), scope.now());
    let revoked = sqlx::query("UPDATE invitation SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.0)
        .bind(id.uuid())
        .bind(now)
        .execute(scope.connection())
        .await?;
    changed(&revoked, 1)?;
    scope.note(Note::new("invitation.revoke", id));
    Ok(())
}
