use chrono::{DateTime, Utc};
use schemas::id::TenantId;
use schemas::lifecycle::{self, INVITATION, InvitationTransition, TenantState};
use schemas::permission::Permission;
use schemas::public_id::InvitationId;
use service::store::StoreError;
use sqlx::PgConnection;

use super::status;
use crate::db::machine_token;
use crate::db::membership::{Role, hold_within};
use crate::db::scope::Scope;
use crate::error::AccountError;
use crate::grants::Grants;
use crate::secret::SecretHash;

/// What an invitation's link is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) id: InvitationId,
    pub(crate) tenant: TenantId,
    pub(crate) email: String,
    pub(crate) role: Role,
    pub(crate) tenant_title: String,
    /// What its maker may do in the tenant now; `None`: nothing.
    pub(crate) of_maker: Option<Grants>,
}

/// Why an invitation makes nobody a member.
#[derive(Debug)]
pub(crate) enum NotAccepted {
    /// There is none with that link, it is not open, or nobody joins its tenant any more.
    NotOpen,
    /// Its tenant is frozen. The invitation stays open.
    Frozen,
    /// Who made it may not invite for its role any more. It stays open: others of the tenant may send it again.
    Void,
    /// Postgres failed.
    Store(StoreError),
}

impl From<sqlx::Error> for NotAccepted {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Uses an invitation up: of many who try at once, one gets what it is good for. The tenant stays as it is until the
/// transaction ends. In a scope of all tenants.
pub(crate) async fn accept(
    connection: &mut PgConnection,
    token: &SecretHash,
    now: DateTime<Utc>,
) -> Result<Accepted, NotAccepted> {
    // The tenant's row before the invitation's, as where a tenant is erased. Ingest only reads it, and who changes
    // it waits for this lock before the directory's.
    let of_tenant: Option<String> = sqlx::query_scalar(
        "SELECT t.status FROM tenant t
         WHERE t.id = (SELECT tenant_id FROM invitation WHERE token_hash = $1) FOR SHARE",
    )
    .bind(token.as_slice())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(of_tenant) = of_tenant else { return Err(NotAccepted::NotOpen) };
    let found = concat!("SELECT ", status!(), " FROM invitation i WHERE i.token_hash = $1 FOR UPDATE");
    let found: Option<String> =
        sqlx::query_scalar(found).bind(token.as_slice()).bind(now).fetch_optional(&mut *connection).await?;
    let Some(status) = found else { return Err(NotAccepted::NotOpen) };
    let is_open = status
        .parse()
        .is_ok_and(|from| lifecycle::find(INVITATION, from, InvitationTransition::Accept).is_some());
    let state = of_tenant.parse().unwrap_or(TenantState::Erased);
    if is_open && state == TenantState::Frozen {
        return Err(NotAccepted::Frozen);
    }
    if !is_open || !state.takes_members() {
        return Err(NotAccepted::NotOpen);
    }
    type Row = (uuid::Uuid, i64, String, Option<String>, Option<uuid::Uuid>, String, String);
    let row: Option<Row> = sqlx::query_as(
        "UPDATE invitation i SET accepted_at = $2 FROM tenant_profile p
         WHERE i.token_hash = $1 AND p.tenant_id = i.tenant_id
         RETURNING i.id, i.tenant_id, i.email, i.built_in, i.custom, p.title, i.invited_by",
    )
    .bind(token.as_slice())
    .bind(now)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((id, tenant, email, built_in, custom, tenant_title, maker)) = row else {
        return Err(NotAccepted::NotOpen);
    };
    let (tenant, role) = (TenantId(tenant), Role::of_columns(built_in.as_deref(), custom));
    let role = role.ok_or(NotAccepted::NotOpen)?;
    let of_maker = machine_token::grants_of_maker(connection, tenant, &maker, now).await?;
    Ok(Accepted { id: id.into(), tenant, email, role, tenant_title, of_maker })
}

/// In the scope of its tenant: whether an invitation's maker may still invite for its role.
///
/// # Errors
/// [`NotAccepted::Void`].
pub(crate) async fn hold_maker(scope: &mut Scope, accepted: &Accepted) -> Result<(), NotAccepted> {
    let may_invite = |by: &&Grants| by.may(Permission::MembersManage) && by.projects.is_none();
    let by = accepted.of_maker.as_ref().filter(may_invite).ok_or(NotAccepted::Void)?;
    match hold_within(scope, by, accepted.role).await {
        Ok(()) => Ok(()),
        Err(AccountError::Store(error)) => Err(NotAccepted::Store(error)),
        Err(_) => Err(NotAccepted::Void),
    }
}
