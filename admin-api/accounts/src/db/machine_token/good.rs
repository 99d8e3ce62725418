//! What a token permits at this moment: what it was made for, as far as its maker may do that now.

use chrono::{DateTime, Utc};
use schemas::id::TenantId;
use schemas::permission::PlatformRole;
use schemas::public_id::{MachineTokenId, PersonId};
use sqlx::PgConnection;

use crate::caller::Actor;
use crate::db::{membership, platform_member};
use crate::grants::Grants;
use crate::secret::SecretHash;

/// A token that is good now.
pub(crate) struct GoodToken {
    pub(crate) tenant: TenantId,
    pub(crate) id: MachineTokenId,
    /// What it and its maker may both do.
    pub(crate) grants: Grants,
    pub(crate) last_used_at: Option<DateTime<Utc>>,
}

/// Whose token it is and what it permits, if it is good now: neither revoked nor expired, no more than the token that
/// made it, and its maker still somebody. In a scope of all tenants.
pub(crate) async fn find_good(
    connection: &mut PgConnection,
    hash: &SecretHash,
    now: DateTime<Utc>,
) -> Result<Option<GoodToken>, sqlx::Error> {
    type Row = (i64, uuid::Uuid, Vec<String>, Option<DateTime<Utc>>, String);
    let row: Option<Row> = sqlx::query_as(
        "SELECT tenant_id, id, permissions, last_used_at, created_by FROM machine_token
         WHERE hash = $1 AND revoked_at IS NULL AND expires_at > $2",
    )
    .bind(hash.as_slice())
    .bind(now)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((tenant, id, words, last_used_at, created_by)) = row else { return Ok(None) };
    let tenant = TenantId(tenant);
    let maker = match created_by.parse() {
        Ok(parent) => maker_of(&mut *connection, tenant, parent, now).await?,
        Err(_) => Some(created_by),
    };
    let Some(maker) = maker else { return Ok(None) };
    let Some(of_maker) = grants_of(connection, tenant, &maker).await? else { return Ok(None) };
    let own = words.iter().filter_map(|word| word.parse().ok());
    let permissions = own.filter(|permission| of_maker.may(*permission)).collect();
    let grants = Grants { role: "token".to_owned(), permissions, projects: of_maker.projects };
    Ok(Some(GoodToken { tenant, id: id.into(), grants, last_used_at }))
}

/// Whether a token made what is noted as made by `maker`.
pub(super) fn is_of_token(maker: &str) -> bool {
    maker.parse::<MachineTokenId>().is_ok()
}

/// Who made the token that made another one. `None`: it is not good now, so neither is the other.
async fn maker_of(
    connection: &mut PgConnection,
    tenant: TenantId,
    parent: MachineTokenId,
    now: DateTime<Utc>,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT created_by FROM machine_token
         WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL AND expires_at > $3",
    )
    .bind(tenant.0)
    .bind(parent.uuid())
    .bind(now)
    .fetch_optional(connection)
    .await
}

/// What the maker may do in the tenant now: as a member, or else as somebody of the platform. `None`: nothing.
async fn grants_of(
    connection: &mut PgConnection,
    tenant: TenantId,
    maker: &str,
) -> Result<Option<Grants>, sqlx::Error> {
    if maker == Actor::Operator.to_string() {
        return Ok(Some(Grants::of_platform(PlatformRole::Operator)));
    }
    let Ok(person) = maker.parse::<PersonId>() else { return Ok(None) };
    if let Some(grants) = membership::grants(&mut *connection, tenant, person).await? {
        return Ok(Some(grants));
    }
    Ok(platform_member::good_role_of(connection, person).await?.map(Grants::of_platform))
}

/// Notes that the token is used now.
pub(crate) async fn note_use(
    connection: &mut PgConnection,
    tenant: TenantId,
    id: MachineTokenId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE machine_token SET last_used_at = $3 WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.0)
        .bind(id.uuid())
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}
