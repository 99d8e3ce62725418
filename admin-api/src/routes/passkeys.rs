use accounts::passkey::Passkey;
use accounts::{AddedPasskey, Page, PasskeyLogin, ProposedPasskey, SignedIn};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use passkeys::{Assertion, NewCredential};
use schemas::problem::{Code, Problem};
use serde::Deserialize;

use super::auth::let_in;
use crate::api::Api;
use crate::auth::{Sender, Signed, authenticator};
use crate::input::{Body, Paging, object};
use crate::reply::{Answer, Created, Held, Refused, WithCookies, created};
use crate::text::Again;

/// Nothing is said yet of who signs in.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// What the browser made of the challenge's options.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPasskey)]
pub(super) struct Made {
    challenge: String,
    name: String,
    #[serde(deserialize_with = "object")]
    credential: NewCredential,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShownPasskey)]
pub(super) struct Shown {
    challenge: String,
    #[serde(deserialize_with = "object")]
    credential: Assertion,
}

pub(super) async fn begin_login(
    State(api): State<Api>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<PasskeyLogin> {
    Ok(Json(authenticator(&api)?.begin_passkey_login()?))
}

/// As the second step after a password, or with nothing else: the challenge says which.
pub(super) async fn login(
    State(api): State<Api>,
    Sender(from): Sender,
    Body(Shown { challenge, credential }): Body<Shown>,
) -> Held<WithCookies<SignedIn>> {
    Ok(let_in(&api, authenticator(&api)?.login_passkey(&challenge, &credential, &from).await?))
}

pub(super) async fn list(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Paging(asked): Paging,
) -> Answer<Page<Passkey>> {
    Ok(Json(authenticator(&api)?.passkeys(&who, &from, &asked).await?))
}

pub(super) async fn propose(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Body(again): Body<Again>,
) -> Answer<ProposedPasskey> {
    let proof = again.proof().map_err(Refused::invalid)?;
    Ok(Json(authenticator(&api)?.propose_passkey(who.person(), proof, &from).await?))
}

pub(super) async fn confirm(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Body(Made { challenge, name, credential }): Body<Made>,
) -> Created<AddedPasskey> {
    let auth = authenticator(&api)?;
    created(auth.add_passkey(who.person(), &challenge, &name, &credential, &from).await?)
}

fn missing(id: &str) -> Refused {
    Refused::new(Problem::new(Code::NotFound, format!("there is no passkey {id}")))
}

pub(super) async fn show(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Answer<Passkey> {
    let passkey = id.parse().map_err(|_| missing(&id))?;
    let found = authenticator(&api)?.passkey(&who, passkey, &from).await?;
    found.map(Json).ok_or_else(|| missing(&id))
}

pub(super) async fn remove(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Path(id): Path<String>,
    Body(again): Body<Again>,
) -> Result<StatusCode, Refused> {
    let passkey = id.parse().map_err(|_| missing(&id))?;
    let proof = again.proof().map_err(Refused::invalid)?;
    if authenticator(&api)?.remove_passkey(who.person(), passkey, proof, &from).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(missing(&id))
    }
}
