use accounts::AccountError;
use accounts::member_role::{self, MemberRole, NewRole};
use axum::Json;
use axum::extract::{Path, State};
use schemas::permission::{BuiltInRole, Permission};
use serde::Serialize;

use crate::api::Api;
use crate::auth::InTenant;
use crate::reply::{Answer, Body, Created, created};

/// The roles that a member may have.
#[derive(Serialize)]
pub(super) struct Roles {
    built_in: Vec<BuiltIn>,
    custom: Vec<MemberRole>,
}

#[derive(Serialize)]
struct BuiltIn {
    name: BuiltInRole,
    permissions: Vec<Permission>,
}

pub(super) async fn list(InTenant { mut scope, .. }: InTenant) -> Answer<Roles> {
    let built_in = |name: BuiltInRole| BuiltIn { name, permissions: name.permissions().collect() };
    let custom = member_role::list(&mut scope).await?;
    Ok(Json(Roles { built_in: BuiltInRole::ALL.into_iter().map(built_in).collect(), custom }))
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

pub(super) async fn put(
    InTenant { mut scope, grants }: InTenant,
    Path((_, id)): Path<(String, String)>,
    Body(new): Body<NewRole>,
) -> Answer<MemberRole> {
    let role = id.parse().map_err(|_| AccountError::NotFound(format!("role {id}")))?;
    let changed = member_role::change(&mut scope, &grants, role, &new).await?;
    scope.commit().await?;
    Ok(Json(changed))
}
