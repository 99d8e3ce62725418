use accounts::membership::TenantOfPerson;
use accounts::person::Person;
use accounts::session::Session;
use accounts::{ProposedTotp, RecoveryCodes};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemas::problem::{Code, Problem};
use serde::Deserialize;

use crate::api::Api;
use crate::auth::{Sender, Signed, authenticator};
use crate::reply::{Answer, Body, Refused};
use crate::text::Password;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordChange {
    password: Password,
    new_password: Password,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Again {
    password: Password,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    code: String,
}

type Done = Result<StatusCode, Refused>;

pub(super) async fn show(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
) -> Answer<Person> {
    Ok(Json(authenticator(&api)?.person(&who, &from).await?))
}

pub(super) async fn tenants(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
) -> Answer<Vec<TenantOfPerson>> {
    Ok(Json(authenticator(&api)?.tenants(&who, &from).await?))
}

pub(super) async fn sessions(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
) -> Answer<Vec<Session>> {
    Ok(Json(authenticator(&api)?.sessions(&who, &from).await?))
}

pub(super) async fn end_session(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Done {
    let missing = || Refused::new(Problem::new(Code::NotFound, format!("there is no open session {id}")));
    let session = id.parse().map_err(|_| missing())?;
    if authenticator(&api)?.end_session(&who, session, &from).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(missing())
    }
}

pub(super) async fn end_other_sessions(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
) -> Done {
    authenticator(&api)?.end_other_sessions(&who, &from).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn change_password(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Body(PasswordChange { password: Password(old), new_password: Password(new) }): Body<PasswordChange>,
) -> Done {
    authenticator(&api)?.change_password(&who, old, new, &from).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn propose_totp(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Body(Again { password: Password(password) }): Body<Again>,
) -> Answer<ProposedTotp> {
    Ok(Json(authenticator(&api)?.propose_totp(who.person(), password, &from).await?))
}

pub(super) async fn confirm_totp(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Body(Shown { code }): Body<Shown>,
) -> Answer<RecoveryCodes> {
    Ok(Json(authenticator(&api)?.confirm_totp(who.person(), &code, &from).await?))
}

pub(super) async fn remove_totp(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Body(Again { password: Password(password) }): Body<Again>,
) -> Done {
    authenticator(&api)?.remove_totp(who.person(), password, &from).await?;
    Ok(StatusCode::NO_CONTENT)
}
