use accounts::AccountError;
use accounts::invitation::{self, Invitation};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;

use crate::api::Api;
use crate::auth::{InTenant, authenticator};
use crate::reply::{Answer, Body, Created, Refused, created};
use crate::text::RoleName;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    email: String,
    role: RoleName,
}

pub(super) async fn list(InTenant { mut scope, .. }: InTenant) -> Answer<Vec<Invitation>> {
    Ok(Json(invitation::list(&mut scope).await?))
}

/// The link is in the mail alone.
pub(super) async fn create(
    State(api): State<Api>,
    InTenant { mut scope, grants }: InTenant,
    Body(New { email, role: RoleName(role) }): Body<New>,
) -> Created<Invitation> {
    let auth = authenticator(&api)?;
    let made = invitation::create(&mut scope, &api.random, &grants, &email, role).await?;
    auth.mail_invitation(&mut scope, &made).await?;
    scope.commit().await?;
    created(made.invitation)
}

pub(super) async fn revoke(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let invited = id.parse().map_err(|_| AccountError::NotFound(format!("open invitation {id}")))?;
    invitation::revoke(&mut scope, invited).await?;
    scope.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
