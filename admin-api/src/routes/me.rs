use accounts::membership::TenantOfPerson;
use accounts::muted_mail::{WantedMails, WantedMailsChange};
use accounts::{ListedSession, Me, Page, ProposedTotp, RecoveryCodes};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemas::problem::{Code, Problem};
use serde::Deserialize;

use crate::api::Api;
use crate::auth::{Sender, Signed, authenticator};
use crate::input::{Body, Paging};
use crate::reply::{Accepted, Answer, Refused, taken};
use crate::text::{Again, Password};

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordChange {
    password: Password,
    new_password: Password,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PersonChange)]
pub(super) struct Change {
    name: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmailChange {
    email: String,
    password: Option<Password>,
    code: Option<String>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShownCode)]
pub(super) struct Shown {
    code: String,
}

type Done = Result<StatusCode, Refused>;

pub(super) async fn show(State(api): State<Api>, Sender(from): Sender, Signed(who): Signed) -> Answer<Me> {
    Ok(Json(authenticator(&api)?.me(&who, &from).await?))
}

pub(super) async fn change(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Body(Change { name }): Body<Change>,
) -> Answer<Me> {
    Ok(Json(authenticator(&api)?.rename(&who, &name, &from).await?))
}

/// The same reply whether or not the new address is known.
pub(super) async fn change_email(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Body(EmailChange { email, password, code }): Body<EmailChange>,
) -> Accepted {
    let proof = Again::new(password, code).proof().map_err(Refused::invalid)?;
    authenticator(&api)?.ask_email_change(&who, &email, proof, &from).await?;
    taken()
}

pub(super) async fn notifications(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
) -> Answer<WantedMails> {
    Ok(Json(authenticator(&api)?.wanted_mails(&who, &from).await?))
}

pub(super) async fn change_notifications(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Body(change): Body<WantedMailsChange>,
) -> Answer<WantedMails> {
    Ok(Json(authenticator(&api)?.change_wanted_mails(&who, change, &from).await?))
}

pub(super) async fn tenants(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Paging(asked): Paging,
) -> Answer<Page<TenantOfPerson>> {
    Ok(Json(authenticator(&api)?.tenants(&who, &from, &asked).await?))
}

pub(super) async fn sessions(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Paging(asked): Paging,
) -> Answer<Page<ListedSession>> {
    Ok(Json(authenticator(&api)?.sessions(&who, &from, &asked).await?))
}

fn no_session(id: &str) -> Refused {
    Refused::new(Problem::new(Code::NotFound, format!("there is no open session {id}")))
}

pub(super) async fn session(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Answer<ListedSession> {
    let session = id.parse().map_err(|_| no_session(&id))?;
    let found = authenticator(&api)?.session(&who, session, &from).await?;
    found.map(Json).ok_or_else(|| no_session(&id))
}

pub(super) async fn end_session(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Done {
    let session = id.parse().map_err(|_| no_session(&id))?;
    if authenticator(&api)?.end_session(&who, session, &from).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_session(&id))
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
    Body(again): Body<Again>,
) -> Answer<ProposedTotp> {
    let proof = again.proof().map_err(Refused::invalid)?;
    Ok(Json(authenticator(&api)?.propose_totp(who.person(), proof, &from).await?))
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
    Body(again): Body<Again>,
) -> Done {
    let proof = again.proof().map_err(Refused::invalid)?;
    authenticator(&api)?.remove_totp(&who, proof, &from).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn renew_recovery_codes(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Body(again): Body<Again>,
) -> Answer<RecoveryCodes> {
    let proof = again.proof().map_err(Refused::invalid)?;
    Ok(Json(authenticator(&api)?.renew_recovery_codes(who.person(), proof, &from).await?))
}
