use accounts::member_role::{self, AnyRole, MemberRole, NewRole};
use accounts::{AccountError, Page};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemas::public_id::RoleId;

use crate::api::Api;
use crate::auth::InTenant;
use crate::input::{Body, Paging};
use crate::reply::{Answer, Created, Refused, created};

pub(super) async fn list(
    InTenant { mut scope, .. }: InTenant,
    Paging(asked): Paging,
) -> Answer<Page<AnyRole>> {
    Ok(Json(member_role::list(&mut scope, &asked).await?))
}

pub(super) async fn create(
    State(api): State<Api>,
    InTenant { mut scope, grants }: InTenant,
    Body(new): Body<NewRole>,
) -> Created<MemberRole> {
    let made = member_role::create(&mut scope, &api.random, &grants, &new).await?;
    scope.commit().await?;
    created(made)
}

fn parsed(id: &str) -> Result<RoleId, AccountError> {
    id.parse().map_err(|_| AccountError::NotFound(format!("role {id}")))
}

pub(super) async fn show(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Answer<MemberRole> {
    Ok(Json(member_role::find(&mut scope, parsed(&id)?).await?))
}

pub(super) async fn put(
    InTenant { mut scope, grants }: InTenant,
    Path((_, id)): Path<(String, String)>,
    Body(new): Body<NewRole>,
) -> Answer<MemberRole> {
    let changed = member_role::change(&mut scope, &grants, parsed(&id)?, &new).await?;
    scope.commit().await?;
    Ok(Json(changed))
}

pub(super) async fn delete(
    InTenant { mut scope, grants }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    member_role::delete(&mut scope, &grants, parsed(&id)?).await?;
    scope.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
