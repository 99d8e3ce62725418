use accounts::{Enrolled, Jwks, Login, ProposedTotp, Refreshed, Registration, SignedIn};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{HeaderMap, HeaderValue, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use schemas::problem::{Code, Problem};
use serde::Deserialize;

use crate::api::Api;
use crate::auth::{DEVICE_COOKIE, Sender, Signed, authenticator, cookie};
use crate::input::Body;
use crate::reply::{Accepted, Answer, Gone, Held, Holding, Refused, Taken, WithCookies, taken};
use crate::text::Password;

/// Holds the refresh token. `__Host-`: of this host alone, over TLS alone (a browser takes the local machine for that).
/// A host has the same cookies on all of its ports, so each listener has a name of its own.
fn refresh_cookie(api: &Api) -> &'static str {
    if api.is_of_operators() { "__Host-weir_operator_refresh" } else { "__Host-weir_refresh" }
}

/// As long as a session may last.
const REFRESH_COOKIE_SECONDS: i64 = 90 * 86_400;
const DEVICE_COOKIE_SECONDS: i64 = 365 * 86_400;

/// Who registers: with a tenant of their own, or an invitation.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Register {
    email: Option<String>,
    password: Password,
    name: String,
    tenant_name: Option<String>,
    invitation: Option<String>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    email: String,
    password: Password,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LinkToken)]
pub(super) struct Link {
    token: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecondStep {
    challenge: String,
    code: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Challenge {
    challenge: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Address {
    email: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordReset)]
pub(super) struct Reset {
    token: String,
    password: Password,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    tenant: String,
}

pub(super) async fn jwks(State(api): State<Api>) -> Answer<Jwks> {
    Ok(Json(authenticator(&api)?.jwks().await?))
}

pub(super) async fn register(
    State(api): State<Api>,
    Sender(from): Sender,
    Body(new): Body<Register>,
) -> Accepted {
    let auth = authenticator(&api)?;
    let Register { email, password: Password(password), name, tenant_name, invitation } = new;
    match (email, tenant_name, invitation) {
        (Some(email), Some(tenant_name), None) => {
            auth.register(Registration { email, password, name, tenant_name }, &from).await?;
        }
        (_, None, Some(token)) => {
            auth.register_invited(&token, &name, password, &from).await?;
        }
        _ => {
            return Err(Refused::invalid("send email and tenant_name, or invitation instead of tenant_name"));
        }
    }
    taken()
}

pub(super) async fn verify_email(
    State(api): State<Api>,
    Sender(from): Sender,
    Body(link): Body<Link>,
) -> Answer<Taken> {
    authenticator(&api)?.verify_email(&link.token, &from).await?;
    Ok(Json(Taken { status: "verified" }))
}

pub(super) async fn login(
    State(api): State<Api>,
    Sender(from): Sender,
    Body(Credentials { email, password: Password(password) }): Body<Credentials>,
) -> Held<WithCookies<Login>> {
    Ok(went_on(&api, authenticator(&api)?.login(&email, password, &from).await?))
}

pub(super) async fn login_totp(
    State(api): State<Api>,
    Sender(from): Sender,
    Body(SecondStep { challenge, code }): Body<SecondStep>,
) -> Held<WithCookies<SignedIn>> {
    Ok(let_in(&api, authenticator(&api)?.login_totp(&challenge, &code, &from).await?))
}

pub(super) async fn login_recovery_code(
    State(api): State<Api>,
    Sender(from): Sender,
    Body(SecondStep { challenge, code }): Body<SecondStep>,
) -> Held<WithCookies<SignedIn>> {
    Ok(let_in(&api, authenticator(&api)?.login_recovery_code(&challenge, &code, &from).await?))
}

/// On the operators' listener, for who has no second factor yet.
pub(super) async fn enrol(
    State(api): State<Api>,
    Sender(from): Sender,
    Body(Challenge { challenge }): Body<Challenge>,
) -> Answer<ProposedTotp> {
    Ok(Json(authenticator(&api)?.enrol_totp(&challenge, &from).await?))
}

pub(super) async fn confirm_enrolment(
    State(api): State<Api>,
    Sender(from): Sender,
    Body(SecondStep { challenge, code }): Body<SecondStep>,
) -> Held<WithCookies<Enrolled>> {
    let enrolled = authenticator(&api)?.confirm_enrolment(&challenge, &code, &from).await?;
    let mut reply = Json(&enrolled).into_response();
    set_session(&api, &mut reply, &enrolled.signed_in);
    Ok(reply.into())
}

pub(super) async fn refresh(
    State(api): State<Api>,
    Sender(from): Sender,
    headers: HeaderMap,
) -> Held<WithCookies<Refreshed>> {
    let auth = authenticator(&api)?;
    let Some(token) = cookie(&headers, refresh_cookie(&api)) else {
        return Err(Refused::new(Problem::new(Code::Unauthorized, "there is no refresh cookie: sign in")));
    };
    let refreshed = auth.refresh(&token, &from).await?;
    let secret = refreshed.refresh.clone();
    let mut reply = Json(refreshed).into_response();
    if let Some(secret) = &secret {
        set_cookie(&mut reply, refresh_cookie(&api), secret.expose(), REFRESH_COOKIE_SECONDS, "Strict");
    }
    Ok(reply.into())
}

pub(super) async fn logout(State(api): State<Api>, Sender(from): Sender, Signed(who): Signed) -> Held<Gone> {
    authenticator(&api)?.logout(&who, &from).await?;
    let mut reply = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut reply, refresh_cookie(&api), "", 0, "Strict");
    Ok(reply.into())
}

pub(super) async fn forgot_password(
    State(api): State<Api>,
    Sender(from): Sender,
    Body(Address { email }): Body<Address>,
) -> Accepted {
    authenticator(&api)?.forgot_password(&email, &from).await?;
    taken()
}

pub(super) async fn reset_password(
    State(api): State<Api>,
    Sender(from): Sender,
    Body(Reset { token, password: Password(password) }): Body<Reset>,
) -> Held<WithCookies<Taken>> {
    let device = authenticator(&api)?.reset_password(&token, password, &from).await?;
    let mut reply = Json(Taken { status: "changed" }).into_response();
    set_cookie(&mut reply, DEVICE_COOKIE, device.expose(), DEVICE_COOKIE_SECONDS, "Strict");
    Ok(reply.into())
}

pub(super) async fn switch(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Body(Switch { tenant }): Body<Switch>,
) -> Answer<Refreshed> {
    Ok(Json(authenticator(&api)?.switch(&who, &tenant, &from).await?))
}

pub(super) fn let_in(api: &Api, signed_in: SignedIn) -> Holding<WithCookies<SignedIn>> {
    let mut reply = Json(&signed_in).into_response();
    set_session(api, &mut reply, &signed_in);
    reply.into()
}

/// Cookies for somebody who has signed in; none where a second factor is asked for.
pub(super) fn went_on(api: &Api, login: Login) -> Holding<WithCookies<Login>> {
    let mut reply = Json(&login).into_response();
    if let Login::SignedIn(signed_in) = &login {
        set_session(api, &mut reply, signed_in);
    }
    reply.into()
}

/// The cookies of somebody who has signed in.
pub(super) fn set_session(api: &Api, reply: &mut Response, signed_in: &SignedIn) {
    set_cookie(reply, refresh_cookie(api), signed_in.refresh.expose(), REFRESH_COOKIE_SECONDS, "Strict");
    if let Some(device) = &signed_in.device {
        set_cookie(reply, DEVICE_COOKIE, device.expose(), DEVICE_COOKIE_SECONDS, "Strict");
    }
}

/// `same_site` as the cookie's attribute has it.
pub(super) fn set_cookie(reply: &mut Response, name: &str, value: &str, seconds: i64, same_site: &str) {
    let cookie = format!("{name}={value}; Max-Age={seconds}; Path=/; Secure; HttpOnly; SameSite={same_site}");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        reply.headers_mut().append(SET_COOKIE, value);
    }
}
