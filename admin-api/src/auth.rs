//! Who may call a route: the guard reads the table of routes, and no handler has a check of its own.

mod again;
mod guard;

use std::fmt;
use std::sync::Arc;

use accounts::{
    Actor, Admitted, AdmittedPlatform, Authenticator, Client, Expected, Grants, LIMITED, PlatformScope,
    Scope, SignedInPerson, tenant,
};
use axum::extract::{FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, COOKIE, HeaderName, IF_MATCH, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use parking_lot::Mutex;
use schemas::lifecycle::TenantState;
use schemas::permission::{Permission, PlatformRole};
use schemas::problem::{Code, Problem};
use subtle::ConstantTimeEq;

use crate::api::Api;
use crate::reply::Refused;
use crate::request;

pub(crate) use again::Again;
pub(crate) use guard::guard;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, from a page of ours or from no page.
    Anyone,
    /// A person with an open session.
    Session,
    /// A member or token of the tenant in the path with that permission; on the operators' listener somebody of the
    /// platform whose role has it, and the holder of the operator's token.
    Tenant(Permission),
    /// The same, and members who are limited to some projects: the scope shows them these alone.
    Project(Permission),
    /// Somebody of the platform: an operator, support, or the holder of the operator's token.
    Support,
    /// An operator, or the holder of the operator's token.
    Operator,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Session => f.write_str("a person who is signed in"),
            Self::Tenant(permission) => write!(f, "`{permission}`"),
            Self::Project(permission) => write!(f, "`{permission}`, also in some projects"),
            Self::Support => f.write_str("operators and support"),
            Self::Operator => f.write_str("operators"),
        }
    }
}

/// What is answered to somebody who has no good credential where the operator's token is one.
const SEND_TOKEN: &str = "send the operator's token as `Authorization: Bearer <token>`";

/// What the guard has opened. A handler takes it once.
struct Once<T>(Arc<Mutex<Option<T>>>);

impl<T> Once<T> {
    fn new(opened: T) -> Self {
        Self(Arc::new(Mutex::new(Some(opened))))
    }
}

impl<T> Clone for Once<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Who is let in to what is the platform's.
enum OfPlatform {
    /// The holder of the operator's token.
    Token,
    Person(Box<AdmittedPlatform>),
}

/// The scope of the tenant in the path.
pub(crate) struct InTenant {
    pub(crate) scope: Scope,
    /// What the caller may do there.
    pub(crate) grants: Grants,
}

impl OfPlatform {
    fn role(&self) -> PlatformRole {
        match self {
            Self::Token => PlatformRole::Operator,
            Self::Person(person) => person.role,
        }
    }
}

/// Somebody of the platform, or the holder of the operator's token. For the latter nothing is asked of Postgres.
async fn of_platform(api: &Api, bearer: &str, headers: &HeaderMap) -> Result<OfPlatform, Refused> {
    if bearer.is_empty() {
        return Err(unauthorized(SEND_TOKEN));
    }
    if is_operator(api, bearer) {
        return Ok(OfPlatform::Token);
    }
    let person = authenticator(api)?.admit_platform(bearer, &client(headers)).await?;
    Ok(OfPlatform::Person(Box::new(person)))
}

/// On the operators' listener: any tenant.
async fn entered(
    api: &Api,
    bearer: &str,
    named: &str,
    permission: Permission,
    headers: &HeaderMap,
) -> Result<(Scope, Grants), Refused> {
    let (scope, role) = match of_platform(api, bearer, headers).await? {
        OfPlatform::Token => (api.platform().await?, PlatformRole::Operator),
        OfPlatform::Person(person) => {
            let AdmittedPlatform { scope, role, .. } = *person;
            (scope, role)
        }
    };
    if !role.may(permission) {
        let detail = format!("this takes {permission}: support sees everything, and changes nothing");
        return Err(Refused::new(Problem::new(Code::Forbidden, detail)));
    }
    Ok((tenant::enter(scope, named).await?, Grants::of_platform(role)))
}

/// The tenant comes from the credential alone. A path that names another one names nothing.
async fn admitted(
    api: &Api,
    bearer: &str,
    named: &str,
    access: Access,
    permission: Permission,
    headers: &HeaderMap,
) -> Result<(Scope, Grants), Refused> {
    let auth = authenticator(api)?;
    let Admitted { mut scope, grants } = auth.admit(bearer, &client(headers)).await?;
    if let Actor::Impersonator(person) = scope.caller().actor {
        request::impersonated_by(person);
    }
    if named != "me" && !tenant::is_named(&mut scope, named).await? {
        return Err(Refused::new(Problem::new(Code::NotFound, format!("there is no tenant {named}"))));
    }
    if !grants.may(permission) {
        let detail = format!("this takes {permission}, which your role does not hold");
        return Err(Refused::new(Problem::new(Code::Forbidden, detail)));
    }
    let of_platform = matches!(scope.caller().actor, Actor::Impersonator(_));
    // Who was let in without a look at the tenant's state may do nothing here.
    let state = scope.state().unwrap_or(TenantState::Closed);
    if !of_platform && !state.admits(permission) {
        let code = if state == TenantState::Frozen { Code::TenantFrozen } else { Code::Forbidden };
        let detail = format!("the tenant is {state}, which does not let in {permission}");
        return Err(Refused::new(Problem::new(code, detail)));
    }
    if grants.projects.is_some() && matches!(access, Access::Tenant(_)) {
        return Err(Refused::new(Problem::new(Code::Forbidden, LIMITED)));
    }
    Ok((scope, grants))
}

impl<S: Sync> FromRequestParts<S> for InTenant {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let opened = parts.extensions.remove::<Once<(Scope, Grants)>>();
        let opened = opened.and_then(|opened| opened.0.lock().take());
        // A handler that asks for a tenant on a route that opens none is a defect of the table.
        let (mut scope, grants) = opened.ok_or_else(|| unauthorized("this route opens no tenant"))?;
        request::conditions().hold(&mut scope).await?;
        Ok(Self { scope, grants })
    }
}

/// The person or token that the guard has found.
pub(crate) fn sender(request: &Request) -> Option<Actor> {
    let extensions = request.extensions();
    if let Some(opened) = extensions.get::<Once<(Scope, Grants)>>() {
        return opened.0.lock().as_ref().map(|(scope, _)| scope.caller().actor);
    }
    if let Some(opened) = extensions.get::<Once<OfPlatform>>() {
        return match &*opened.0.lock() {
            Some(OfPlatform::Person(person)) => Some(person.scope.caller().actor),
            Some(OfPlatform::Token) | None => None,
        };
    }
    extensions.get::<SignedInPerson>().map(|who| Actor::Person(who.person()))
}

fn taken(parts: &mut Parts) -> Result<OfPlatform, Refused> {
    let opened = parts.extensions.remove::<Once<OfPlatform>>().and_then(|opened| opened.0.lock().take());
    opened.ok_or_else(|| unauthorized("this route is not the platform's"))
}

/// A scope of all tenants, for who was let in to what is the platform's.
pub(crate) struct OnPlatform(pub(crate) PlatformScope);

impl FromRequestParts<Api> for OnPlatform {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refused> {
        let mut scope = match taken(parts)? {
            OfPlatform::Token => api.platform().await?,
            OfPlatform::Person(person) => person.scope,
        };
        request::conditions().hold(&mut scope).await?;
        Ok(Self(scope))
    }
}

/// Somebody of the platform who has signed in, for what the operator's token is not enough.
pub(crate) struct PlatformPerson(pub(crate) AdmittedPlatform);

impl<S: Sync> FromRequestParts<S> for PlatformPerson {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        match taken(parts)? {
            OfPlatform::Person(mut person) => {
                request::conditions().hold(&mut person.scope).await?;
                Ok(Self(*person))
            }
            OfPlatform::Token => {
                let detail =
                    "the operator's token is nobody's: sign in, so that the audit can say who it was";
                Err(Refused::new(Problem::new(Code::Forbidden, detail)))
            }
        }
    }
}

/// The person whom the guard has found.
pub(crate) struct Signed(pub(crate) SignedInPerson);

impl<S: Sync> FromRequestParts<S> for Signed {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let person = parts.extensions.get::<SignedInPerson>().copied();
        person.map(Self).ok_or_else(|| unauthorized("this route asks for nobody"))
    }
}

/// Where a request comes from, as accounts need it.
pub(crate) struct Sender(pub(crate) Client);

impl<S: Sync> FromRequestParts<S> for Sender {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let may_change = matches!(parts.method, Method::PATCH | Method::PUT | Method::DELETE);
        let expected = expected(&parts.headers, &IF_MATCH).filter(|_| may_change);
        Ok(Self(Client { expected, ..client(&parts.headers) }))
    }
}

/// What `If-Match` or `If-None-Match` names: all headers of that name together.
pub(crate) fn expected(headers: &HeaderMap, name: &HeaderName) -> Option<Expected> {
    let texts: Vec<&str> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect();
    (!texts.is_empty()).then(|| Expected::read(&texts.join(",")))
}

/// The cookie of that name.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(of, _)| *of == name).map(|(_, value)| value.to_owned())
}

/// Holds the token that a device keeps to be known again.
pub(crate) const DEVICE_COOKIE: &str = "__Host-weir_device";

fn client(headers: &HeaderMap) -> Client {
    let user_agent =
        headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let device = cookie(headers, DEVICE_COOKIE);
    Client {
        address: request::address(),
        user_agent,
        device,
        request_id: Some(request::id()),
        expected: None,
    }
}

/// Refuses what a page of another site sends: its browser would add our cookies. Pages of tenants' people are those of
/// the public URL. Operators have no such URL: their pages are of the host that the request names.
fn from_our_pages(api: &Api, request: &Request) -> Result<(), Refused> {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let same_site = header("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let same_origin = header("origin").is_none_or(|origin| {
        if !api.is_of_operators() {
            return api.origins.iter().any(|ours| ours == origin);
        }
        // HTTP/2 has the host in the URI.
        let authority = request.uri().authority().map(|authority| authority.as_str());
        let host = header("host").or(authority).unwrap_or_default();
        origin.split_once("://").is_some_and(|(_, of)| !host.is_empty() && of == host)
    });
    if request.method() == Method::GET || (same_site && same_origin) {
        return Ok(());
    }
    Err(Refused::new(Problem::new(Code::Forbidden, "the request comes from a page of another site")))
}

/// # Errors
/// 401, if nobody can sign in.
pub(crate) fn authenticator(api: &Api) -> Result<&Authenticator, Refused> {
    let nobody = if api.token.is_some() {
        SEND_TOKEN
    } else {
        "nobody can sign in here: WEIR_ACCOUNTS_KEY is not set"
    };
    api.auth.as_deref().ok_or_else(|| unauthorized(nobody))
}

/// What the header presents, if its scheme is `Bearer`, in whichever case (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> String {
    let presented = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let presented = presented.and_then(|value| value.split_once(' '));
    let token = presented.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map(|(_, token)| token.trim_start_matches(' ')).unwrap_or_default().to_owned()
}

fn is_operator(api: &Api, bearer: &str) -> bool {
    api.token.as_ref().is_some_and(|token| bearer.as_bytes().ct_eq(token.expose().as_bytes()).into())
}

fn unauthorized(detail: &'static str) -> Refused {
    Refused::new(Problem::new(Code::Unauthorized, detail).at("authorization"))
}
