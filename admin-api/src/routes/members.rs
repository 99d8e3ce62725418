use accounts::membership::{self, Member};
use accounts::{AccountError, Page};
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use schemas::public_id::{MembershipId, PublicProjectId};
use serde::Deserialize;

use crate::auth::InTenant;
use crate::input::{Body, Paging};
use crate::reply::{Answer, Refused};
use crate::text::RoleName;

/// What a member is to be.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MemberChange)]
pub(super) struct Change {
    role: RoleName,
    /// Ids of projects; `null`: all of them; absent: as before.
    #[serde(default, deserialize_with = "accounts::present")]
    #[schema(value_type = Option<Vec<PublicProjectId>>)]
    projects: Option<Option<Vec<PublicProjectId>>>,
}

/// Who is to be the owner.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Heir {
    member: MembershipId,
}

fn parsed(id: &str) -> Result<MembershipId, AccountError> {
    id.parse().map_err(|_| AccountError::NotFound(format!("member {id}")))
}

pub(super) async fn list(
    InTenant { mut scope, .. }: InTenant,
    Paging(asked): Paging,
) -> Answer<Page<Member>> {
    Ok(Json(membership::list(&mut scope, &asked).await?))
}

pub(super) async fn show(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Answer<Member> {
    Ok(Json(membership::find(&mut scope, parsed(&id)?).await?))
}

pub(super) async fn change(
    InTenant { mut scope, grants }: InTenant,
    Path((_, id)): Path<(String, String)>,
    Body(Change { role: RoleName(role), projects }): Body<Change>,
) -> Answer<Member> {
    let id = parsed(&id)?;
    let projects = match projects {
        Some(projects) => projects,
        None => membership::find(&mut scope, id).await?.projects,
    };
    let changed = membership::change(&mut scope, &grants, id, role, projects.as_deref()).await?;
    scope.commit().await?;
    Ok(Json(changed))
}

pub(super) async fn remove(
    InTenant { mut scope, grants }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    membership::remove(&mut scope, &grants, parsed(&id)?).await?;
    scope.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn transfer(
    InTenant { mut scope, .. }: InTenant,
    Body(Heir { member }): Body<Heir>,
) -> Answer<Member> {
    let owner = membership::transfer(&mut scope, member).await?;
    scope.commit().await?;
    Ok(Json(owner))
}
