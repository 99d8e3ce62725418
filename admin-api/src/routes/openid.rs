//! A browser goes from page to page here, so what it is answered are redirects: to the provider, and to our pages.
//! What these need stands behind `#`, which no server and no log is sent.

use accounts::openid_identity::LinkedIdentity;
use accounts::{AuthError, Login, OpenIdLogin, OpenIdentity, Page};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{HeaderMap, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use openid::{Answer, OpenIdError, Pending, Provider};
use schemas::problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use service::error::Chain;

use super::auth::{set_cookie, set_session, went_on};
use crate::api::Api;
use crate::auth::{Sender, Signed, authenticator, cookie};
use crate::input::{Body, Paging, Parameters};
use crate::reply::{self, Held, Redirect, Refused, WithCookies};
use crate::text::{Again, Password};

/// Holds a sign-in under way. Not `Strict`, since it is the provider's page that leads back.
const COOKIE: &str = "__Host-weir_openid";
/// How long somebody may take at the provider.
const LIFE: TimeDelta = TimeDelta::minutes(10);

#[derive(Serialize, Deserialize)]
struct Kept {
    pending: Pending,
    until: DateTime<Utc>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OpenIdLink)]
pub(super) struct Link {
    link: String,
    password: Password,
}

/// Sends the browser to the provider.
pub(super) async fn begin(State(api): State<Api>, Path(name): Path<String>) -> Held<Redirect> {
    let (auth, provider) = (authenticator(&api)?, provider(&api, &name)?);
    let (url, pending) = match provider.begin(api.now()).await {
        Ok(begun) => begun,
        Err(error) => return Ok(failed(&api, &name, &error).into()),
    };
    let kept = Kept { pending, until: api.now() + LIFE };
    // A struct of texts always serialises.
    let sealed = auth.seal_cookie(COOKIE, &serde_json::to_vec(&kept).unwrap_or_default())?;
    let mut reply = redirect(&url);
    set_cookie(&mut reply, COOKIE, &URL_SAFE_NO_PAD.encode(sealed), LIFE.num_seconds(), "Lax");
    Ok(reply.into())
}

/// The provider has sent the browser back.
pub(super) async fn callback(
    State(api): State<Api>,
    Path(name): Path<String>,
    Sender(from): Sender,
    headers: HeaderMap,
    Parameters(answer): Parameters<Answer>,
) -> Held<Redirect> {
    let (auth, provider) = (authenticator(&api)?, provider(&api, &name)?);
    let sealed = cookie(&headers, COOKIE).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let kept = sealed.and_then(|sealed| auth.open_cookie(COOKIE, &sealed));
    let kept: Option<Kept> = kept.and_then(|kept| serde_json::from_slice(&kept).ok());
    let Some(Kept { pending, .. }) = kept.filter(|kept| kept.until > api.now()) else {
        return Ok(to_page(&api, "sign-in#error=expired").into());
    };
    let identity = match provider.finish(&pending, &answer, api.now()).await {
        Ok(identity) => identity,
        Err(error) => return Ok(failed(&api, &name, &error).into()),
    };
    let who = OpenIdentity {
        provider: name,
        issuer: identity.issuer,
        subject: identity.subject,
        verified_email: identity.verified_email,
        name: identity.name,
        replaces_second_factor: provider.config().replaces_second_factor,
    };
    let mut reply = match auth.login_openid(&who, &from).await {
        Ok(OpenIdLogin::Known(login)) => to_start(&api, &login),
        Ok(OpenIdLogin::PasswordNeeded(link)) => to_page(&api, &format!("sign-in#link={}", link.expose())),
        Err(AuthError::Invalid(_) | AuthError::InvalidAt(..)) => {
            to_page(&api, "sign-in#error=address_not_verified")
        }
        Err(error) => return Err(error.into()),
    };
    // It was for this one answer.
    set_cookie(&mut reply, COOKIE, "", 0, "Lax");
    Ok(reply.into())
}

/// Joins the provider's account to one with a password, which is shown.
pub(super) async fn link(
    State(api): State<Api>,
    Sender(from): Sender,
    Body(Link { link, password: Password(password) }): Body<Link>,
) -> Held<WithCookies<Login>> {
    Ok(went_on(&api, authenticator(&api)?.link_openid(&link, password, &from).await?))
}

fn to_start(api: &Api, login: &Login) -> Response {
    match login {
        Login::SignedIn(signed_in) => {
            let mut reply = to_page(api, "");
            set_session(api, &mut reply, signed_in);
            reply
        }
        Login::Challenge { .. } => {
            // As a sign-in with a password has it.
            let challenge = serde_json::to_vec(login).unwrap_or_default();
            to_page(api, &format!("sign-in#challenge={}", URL_SAFE_NO_PAD.encode(challenge)))
        }
    }
}

/// What signs the caller in.
pub(super) async fn list(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Paging(asked): Paging,
) -> reply::Answer<Page<LinkedIdentity>> {
    Ok(Json(authenticator(&api)?.openid_identities(&who, &from, &asked).await?))
}

/// Also of a provider that the operator has taken away since.
pub(super) async fn unlink(
    State(api): State<Api>,
    Sender(from): Sender,
    Signed(who): Signed,
    Path(provider): Path<String>,
    Body(again): Body<Again>,
) -> Result<StatusCode, Refused> {
    let proof = again.proof().map_err(Refused::invalid)?;
    if authenticator(&api)?.unlink_openid(who.person(), &provider, proof, &from).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Refused::new(Problem::new(Code::NotFound, format!("{provider} does not sign you in"))))
}

fn provider<'a>(api: &'a Api, name: &str) -> Result<&'a Provider, Refused> {
    let found = api.openid.iter().find(|provider| provider.config().name == name);
    let missing =
        || Refused::new(Problem::new(Code::NotFound, format!("there is no OpenID provider {name}")));
    found.ok_or_else(missing)
}

fn failed(api: &Api, name: &str, error: &OpenIdError) -> Response {
    tracing::warn!(error = %Chain(error), provider = name, "a sign-in through an OpenID provider failed");
    let why = match error {
        OpenIdError::Away(_) | OpenIdError::Answer(_) => "provider",
        OpenIdError::Refused(_) => "refused",
        OpenIdError::Token(_) => "expired",
    };
    to_page(api, &format!("sign-in#error={why}"))
}

/// To one of our own pages, on the address that the operator gave: no part of the request says where.
fn to_page(api: &Api, page: &str) -> Response {
    redirect(&format!("{}/{page}", api.public_url.trim_end_matches('/')))
}

fn redirect(url: &str) -> Response {
    let mut reply = StatusCode::SEE_OTHER.into_response();
    if let Ok(url) = HeaderValue::from_str(url) {
        reply.headers_mut().insert(LOCATION, url);
    }
    reply
}
