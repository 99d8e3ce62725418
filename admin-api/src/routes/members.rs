use accounts::AccountError;
use accounts::membership::{self, Member};
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use schemas::id::ProjectId;
use schemas::public_id::MembershipId;
use serde::{Deserialize, Serialize};

use crate::auth::InTenant;
use crate::reply::{Answer, Body, Parameters, Refused};
use crate::text::{RoleName, limit};

/// Which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    limit: Option<i64>,
    cursor: Option<MembershipId>,
}

/// A page of members, in the order of their ids.
#[derive(Serialize)]
pub(super) struct Page {
    items: Vec<Member>,
    next_cursor: Option<MembershipId>,
}

/// What a member is to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    role: RoleName,
    /// Numbers of projects; absent or `null`: all of them.
    projects: Option<Vec<ProjectId>>,
}

fn parsed(id: &str) -> Result<MembershipId, AccountError> {
    id.parse().map_err(|_| AccountError::NotFound(format!("member {id}")))
}

pub(super) async fn list(
    InTenant { mut scope, .. }: InTenant,
    Parameters(asked): Parameters<Asked>,
) -> Answer<Page> {
    let limit = limit(asked.limit).map_err(Refused::invalid)?;
    let mut items = membership::list(&mut scope, asked.cursor, limit + 1).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let next_cursor = (items.len() > most).then(|| items.get(most - 1).map(|last| last.id)).flatten();
    items.truncate(most);
    Ok(Json(Page { items, next_cursor }))
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
    let changed = membership::change(&mut scope, &grants, parsed(&id)?, role, projects.as_deref()).await?;
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
