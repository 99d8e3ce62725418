//! What a token permits at this moment: what it was made for, as far as its maker may do that now.

use chrono::{DateTime, Utc};
use schemas::id::TenantId;
use schemas::permission::PlatformRole;
use schemas::public_id::{MachineTokenId, MembershipId, PersonId};
use sqlx::PgConnection;

use crate::caller::Actor;
use crate::db::{membership, platform_member};
use crate::grants::Grants;
use crate::secret::SecretHash;

/// What a token's maker was when it was made. It counts as that alone: who has lost it has lost the token.
#[derive(Clone, Copy)]
pub(super) enum Capacity {
    /// Of that membership; `None`: of the person's, for a token from before memberships were noted.
    Member(Option<MembershipId>),
    /// Somebody of the platform.
    Platform,
}

impl Capacity {
    /// What somebody with these grants is.
    pub(super) fn of(grants: &Grants) -> Self {
        grants.membership.map_or(Self::Platform, |id| Self::Member(Some(id)))
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Member(_) => "member",
            Self::Platform => "platform",
        }
    }

    fn of_columns(word: &str, membership: Option<uuid::Uuid>) -> Option<Self> {
        match word {
            "member" => Some(Self::Member(membership.map(Into::into))),
            "platform" => Some(Self::Platform),
            _ => None,
        }
    }
}

/// Who made a token, as it is stored: the maker, what that was, and the membership.
type Maker = (String, String, Option<uuid::Uuid>);

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
    type Row = (i64, uuid::Uuid, Vec<String>, Option<DateTime<Utc>>, String, String, Option<uuid::Uuid>);
    let row: Option<Row> = sqlx::query_as(
        "SELECT tenant_id, id, permissions, last_used_at, created_by, capacity, membership_id FROM machine_token
         WHERE hash = $1 AND revoked_at IS NULL AND expires_at > $2",
    )
    .bind(hash.as_slice())
    .bind(now)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((tenant, id, words, last_used_at, created_by, capacity, membership)) = row else {
        return Ok(None);
    };
    let tenant = TenantId(tenant);
    let grants = of_token(connection, tenant, &words, (created_by, capacity, membership), now).await?;
    Ok(grants.map(|grants| GoodToken { tenant, id: id.into(), grants, last_used_at }))
}

/// What a token for these permissions, made by `maker`, permits now; `None`: its maker is nobody any more.
async fn of_token(
    connection: &mut PgConnection,
    tenant: TenantId,
    words: &[String],
    maker: Maker,
    now: DateTime<Utc>,
) -> Result<Option<Grants>, sqlx::Error> {
    let maker = match maker.0.parse() {
        Ok(parent) => maker_of(&mut *connection, tenant, parent, now).await?,
        Err(_) => Some(maker),
    };
    let Some(maker) = maker else { return Ok(None) };
    let Some(of_maker) = grants_of(connection, tenant, maker).await? else { return Ok(None) };
    let own = words.iter().filter_map(|word| word.parse().ok());
    let permissions = own.filter(|permission| of_maker.may(*permission)).collect();
    let Grants { projects, membership, .. } = of_maker;
    Ok(Some(Grants { role: "token".to_owned(), permissions, projects, membership }))
}

/// What somebody may do in the tenant now who once made something there, by what was noted of who that was; `None`:
/// nothing. In a scope of all tenants.
pub(crate) async fn grants_of_maker(
    connection: &mut PgConnection,
    tenant: TenantId,
    maker: &str,
    now: DateTime<Utc>,
) -> Result<Option<Grants>, sqlx::Error> {
    let as_platform = (maker.to_owned(), Capacity::Platform.as_str().to_owned(), None);
    let Ok(token) = maker.parse::<MachineTokenId>() else {
        let as_member = (maker.to_owned(), Capacity::Member(None).as_str().to_owned(), None);
        return match grants_of(&mut *connection, tenant, as_member).await? {
            Some(grants) => Ok(Some(grants)),
            None => grants_of(connection, tenant, as_platform).await,
        };
    };
    type Row = (Vec<String>, String, String, Option<uuid::Uuid>);
    let row: Option<Row> = sqlx::query_as(
        "SELECT permissions, created_by, capacity, membership_id FROM machine_token
         WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL AND expires_at > $3",
    )
    .bind(tenant.0)
    .bind(token.uuid())
    .bind(now)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((words, created_by, capacity, membership)) = row else { return Ok(None) };
    of_token(connection, tenant, &words, (created_by, capacity, membership), now).await
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
) -> Result<Option<Maker>, sqlx::Error> {
    sqlx::query_as(
        "SELECT created_by, capacity, membership_id FROM machine_token
         WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL AND expires_at > $3",
    )
    .bind(tenant.0)
    .bind(parent.uuid())
    .bind(now)
    .fetch_optional(connection)
    .await
}

/// What the maker may do in the tenant now, as what it was when it made the token. `None`: nothing.
async fn grants_of(
    connection: &mut PgConnection,
    tenant: TenantId,
    (maker, capacity, membership): Maker,
) -> Result<Option<Grants>, sqlx::Error> {
    let person = maker.parse::<PersonId>();
    match (Capacity::of_columns(&capacity, membership), person) {
        (Some(Capacity::Member(of)), Ok(person)) => {
            let grants = membership::grants(connection, tenant, person).await?;
            Ok(grants.filter(|grants| of.is_none() || grants.membership == of))
        }
        (Some(Capacity::Platform), Ok(person)) => {
            Ok(platform_member::good_role_of(connection, person).await?.map(Grants::of_platform))
        }
        (Some(Capacity::Platform), Err(_)) if maker == Actor::Operator.to_string() => {
            Ok(Some(Grants::of_platform(PlatformRole::Operator)))
        }
        _ => Ok(None),
    }
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
