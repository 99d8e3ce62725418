use accounts::invitation::{self, Invitation};
use accounts::membership::TenantOfPerson;
use accounts::{AccountError, Page};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemas::public_id::InvitationId;
use serde::Deserialize;

use crate::api::Api;
use crate::auth::{InTenant, Sender, Signed, authenticator};
use crate::input::{Body, Paging};
use crate::reply::{Answer, Created, Refused, created};
use crate::text::RoleName;

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewInvitation)]
pub(super) struct New {
    email: String,
    role: RoleName,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InvitationToken)]
pub(super) struct Link {
    token: String,
}

pub(super) async fn list(
    InTenant { mut scope, .. }: InTenant,
    Paging(asked): Paging,
) -> Answer<Page<Invitation>> {
    Ok(Json(invitation::list(&mut scope, &asked).await?))
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

fn parsed(id: &str) -> Result<InvitationId, AccountError> {
    id.parse().map_err(|_| AccountError::NotFound(format!("open invitation {id}")))
}

pub(super) async fn show(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Answer<Invitation> {
    Ok(Json(invitation::find(&mut scope, parsed(&id)?).await?))
}

/// Another link, in another mail. The link before is worth nothing any more.
pub(super) async fn resend(
    State(api): State<Api>,
    InTenant { mut scope, grants }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Answer<Invitation> {
    let auth = authenticator(&api)?;
    let made = invitation::resend(&mut scope, &api.random, &grants, parsed(&id)?).await?;
    auth.mail_invitation(&mut scope, &made).await?;
    scope.commit().await?;
    Ok(Json(made.invitation))
}

/// Makes somebody who is signed in a member: for people whom weir knows already.
pub(super) async fn accept(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Body(Link { token }): Body<Link>,
) -> Answer<TenantOfPerson> {
    Ok(Json(authenticator(&api)?.accept_invitation(who.person(), &token, &from).await?))
}

pub(super) async fn revoke(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    invitation::revoke(&mut scope, parsed(&id)?).await?;
    scope.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
