use accounts::machine_token::{self, MachineToken, NewToken};
use accounts::{AccountError, Page};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemas::public_id::MachineTokenId;
use serde::Serialize;

use crate::api::Api;
use crate::auth::InTenant;
use crate::input::{Body, Paging};
use crate::reply::{Answer, CreatedSecret, Refused, created_secret};

/// A token, and its text, this once.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MadeToken)]
pub(super) struct Made {
    #[serde(flatten)]
    token: MachineToken,
    secret: String,
}

pub(super) async fn list(
    InTenant { mut scope, .. }: InTenant,
    Paging(asked): Paging,
) -> Answer<Page<MachineToken>> {
    Ok(Json(machine_token::list(&mut scope, &asked).await?))
}

pub(super) async fn create(
    State(api): State<Api>,
    InTenant { mut scope, grants }: InTenant,
    Body(new): Body<NewToken>,
) -> CreatedSecret<Made> {
    let made = machine_token::create(&mut scope, &api.random, &grants, &new).await?;
    scope.commit().await?;
    let token = made.token.clone();
    created_secret(Made { token: made.token, secret: made.secret.expose().to_owned() }, &token)
}

fn parsed(id: &str) -> Result<MachineTokenId, AccountError> {
    id.parse().map_err(|_| AccountError::NotFound(format!("token {id}")))
}

pub(super) async fn show(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Answer<MachineToken> {
    Ok(Json(machine_token::find(&mut scope, parsed(&id)?).await?))
}

pub(super) async fn revoke(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    machine_token::revoke(&mut scope, parsed(&id)?).await?;
    scope.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
