//! Who is in a tenant, and with which role.

mod change;
mod transfer;

use chrono::{DateTime, Utc};
use schemas::id::{ProjectId, TenantId};
use schemas::lifecycle::TenantState;
use schemas::permission::BuiltInRole;
use schemas::public_id::{MembershipId, PersonId, PublicProjectId, PublicTenantId, RoleId};
use serde::Serialize;
use sqlx::PgConnection;

use crate::db::scope::Scope;
use crate::error::AccountError;
use crate::grants::Grants;
use crate::page::{Listed, Page, PageRequest};

pub use change::{change, remove};
pub(crate) use change::{hold_within, insert};
pub use transfer::transfer;

/// Tenants of one person that are looked at when it is decided which one a session works for.
const TENANTS_MAX: i64 = 1_000;

/// A role: one that every tenant has, or one of the tenant's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Role {
    /// One that every tenant has.
    BuiltIn(BuiltInRole),
    /// One of the tenant's own.
    Custom(RoleId),
}

impl Role {
    pub(crate) fn columns(self) -> (Option<&'static str>, Option<uuid::Uuid>) {
        match self {
            Self::BuiltIn(role) => (Some(role.as_str()), None),
            Self::Custom(role) => (None, Some(role.uuid())),
        }
    }

    pub(super) fn of_columns(built_in: Option<&str>, custom: Option<uuid::Uuid>) -> Option<Self> {
        match (built_in, custom) {
            (Some(word), None) => word.parse().ok().map(Self::BuiltIn),
            (None, Some(role)) => Some(Self::Custom(role.into())),
            _ => None,
        }
    }
}

/// A member, as members see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Member {
    /// The membership.
    pub id: MembershipId,
    /// The person.
    pub person: PersonId,
    /// The person's address.
    pub email: String,
    /// What the person is called.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The only projects that it is for, without those that were deleted; `None`: all.
    pub projects: Option<Vec<PublicProjectId>>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// A tenant that a person is a member of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TenantOfPerson {
    /// Its number, for this crate's callers.
    #[serde(skip)]
    pub tenant: TenantId,
    /// Since when the person is a member, for this crate's callers.
    #[serde(skip)]
    pub since: DateTime<Utc>,
    /// Its public id.
    pub id: PublicTenantId,
    /// What its people call it.
    pub name: String,
    /// In a path it stands for the id.
    pub slug: String,
    /// The person's role: a built-in one's word, or the name of the tenant's own.
    pub role: String,
    /// What the tenant is: a deleted one can be restored by its owner.
    pub status: TenantState,
}

type GrantsRow = (uuid::Uuid, Option<String>, Option<String>, Option<Vec<String>>, bool, Vec<i64>);

/// What `person` may do in `tenant`; `None`: the person is no member, or is disabled. Permissions that this weir does
/// not know permit nothing.
pub(crate) async fn grants(
    connection: &mut PgConnection,
    tenant: TenantId,
    person: PersonId,
) -> Result<Option<Grants>, sqlx::Error> {
    let row: Option<GrantsRow> = sqlx::query_as(
        "SELECT m.id, m.built_in, r.name, r.permissions, m.limited,
                ARRAY(SELECT l.project_id FROM membership_project l
                      JOIN project_profile f ON (f.tenant_id, f.project_id) = (l.tenant_id, l.project_id)
                      WHERE (l.tenant_id, l.membership_id) = (m.tenant_id, m.id) AND f.deleted_at IS NULL
                      ORDER BY l.project_id)
         FROM membership m JOIN person w ON w.id = m.person_id AND w.disabled_at IS NULL
         LEFT JOIN member_role r ON (r.tenant_id, r.id) = (m.tenant_id, m.custom)
         WHERE m.tenant_id = $1 AND m.person_id = $2",
    )
    .bind(tenant.0)
    .bind(person.uuid())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(id, built_in, name, words, limited, projects)| {
        let built_in: Option<BuiltInRole> = built_in.and_then(|word| word.parse().ok());
        let permissions = match built_in {
            Some(role) => role.permissions().collect(),
            None => words.unwrap_or_default().iter().filter_map(|word| word.parse().ok()).collect(),
        };
        let role = built_in.map_or_else(|| name.unwrap_or_default(), |role| role.as_str().to_owned());
        let projects = limited.then(|| projects.into_iter().map(ProjectId).collect());
        Grants { role, permissions, projects, membership: Some(id.into()) }
    }))
}

impl Listed for TenantOfPerson {
    const LIST: &'static str = "tenants of a person";
    type Key = String;

    fn key(&self) -> Self::Key {
        self.slug.clone()
    }
}

/// The person's tenants: active ones first, then by slug.
pub(crate) async fn tenants_of(
    connection: &mut PgConnection,
    person: PersonId,
) -> Result<Vec<TenantOfPerson>, sqlx::Error> {
    tenants_after(connection, person, None, TENANTS_MAX, true).await
}

/// A page of the person's tenants, by slug.
pub(crate) async fn list_of(
    connection: &mut PgConnection,
    person: PersonId,
    asked: &PageRequest,
) -> Result<Page<TenantOfPerson>, AccountError> {
    let after = asked.after::<TenantOfPerson>()?;
    Ok(asked.page(tenants_after(connection, person, after, asked.rows(), false).await?))
}

async fn tenants_after(
    connection: &mut PgConnection,
    person: PersonId,
    after: Option<String>,
    limit: i64,
    active_first: bool,
) -> Result<Vec<TenantOfPerson>, sqlx::Error> {
    type Row = (i64, DateTime<Utc>, uuid::Uuid, String, String, String, String);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT t.id, m.created_at, p.public_id, p.title, t.name, coalesce(m.built_in, r.name), t.status
         FROM membership m JOIN tenant t ON t.id = m.tenant_id JOIN tenant_profile p ON p.tenant_id = t.id
         LEFT JOIN member_role r ON (r.tenant_id, r.id) = (m.tenant_id, m.custom)
         WHERE m.person_id = $1 AND ($2::text IS NULL OR t.name > $2)
         ORDER BY $4 AND t.status <> 'active', t.name LIMIT $3",
    )
    .bind(person.uuid())
    .bind(after)
    .bind(limit)
    .bind(active_first)
    .fetch_all(connection)
    .await?;
    let tenant = |(tenant, since, id, name, slug, role, status): Row| {
        let (tenant, id, status) = (TenantId(tenant), id.into(), status.parse().ok()?);
        Some(TenantOfPerson { tenant, since, id, name, slug, role, status })
    };
    Ok(rows.into_iter().filter_map(tenant).collect())
}

type MemberRow = (
    uuid::Uuid,
    uuid::Uuid,
    String,
    String,
    Option<String>,
    Option<uuid::Uuid>,
    bool,
    Vec<uuid::Uuid>,
    DateTime<Utc>,
);

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT m.id, m.person_id, p.email, p.name, m.built_in, m.custom, m.limited,
                    ARRAY(SELECT f.public_id FROM membership_project l
                          JOIN project_profile f ON (f.tenant_id, f.project_id) = (l.tenant_id, l.project_id)
                          WHERE (l.tenant_id, l.membership_id) = (m.tenant_id, m.id) AND f.deleted_at IS NULL
                          ORDER BY l.project_id),
                    m.created_at
             FROM membership m JOIN person p ON p.id = m.person_id WHERE m.tenant_id = $1 AND ",
            $rest
        )
    };
}

fn member(
    (id, person, email, name, built_in, custom, limited, projects, created_at): MemberRow,
) -> Option<Member> {
    let role = Role::of_columns(built_in.as_deref(), custom)?;
    let projects = limited.then(|| projects.into_iter().map(Into::into).collect());
    Some(Member { id: id.into(), person: person.into(), email, name, role, projects, created_at })
}

impl Listed for Member {
    const LIST: &'static str = "members";
    type Key = MembershipId;

    fn key(&self) -> Self::Key {
        self.id
    }
}

/// A page of the tenant's members, in the order of their ids.
///
/// # Errors
/// [`AccountError`].
pub async fn list(scope: &mut Scope, asked: &PageRequest) -> Result<Page<Member>, AccountError> {
    let (tenant, after) = (scope.tenant(), asked.after::<Member>()?);
    let rows: Vec<MemberRow> =
        sqlx::query_as(select!("($2::uuid IS NULL OR m.id > $2) ORDER BY m.id LIMIT $3"))
            .bind(tenant.0)
            .bind(after.map(MembershipId::uuid))
            .bind(asked.rows())
            .fetch_all(scope.connection())
            .await?;
    Ok(asked.page(rows.into_iter().filter_map(member).collect()))
}

/// One member.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find(scope: &mut Scope, id: MembershipId) -> Result<Member, AccountError> {
    let tenant = scope.tenant();
    let row: Option<MemberRow> = sqlx::query_as(select!("m.id = $2"))
        .bind(tenant.0)
        .bind(id.uuid())
        .fetch_optional(scope.connection())
        .await?;
    row.and_then(member).ok_or_else(|| AccountError::NotFound(format!("member {id}")))
}

/// The membership of a person.
async fn of_person(scope: &mut Scope, person: PersonId) -> Result<Member, AccountError> {
    let tenant = scope.tenant();
    let row: Option<MemberRow> = sqlx::query_as(select!("m.person_id = $2"))
        .bind(tenant.0)
        .bind(person.uuid())
        .fetch_optional(scope.connection())
        .await?;
    row.and_then(member).ok_or_else(|| AccountError::NotFound(format!("membership of {person}")))
}
