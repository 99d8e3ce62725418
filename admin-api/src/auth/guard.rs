use std::time::Duration;

use axum::extract::{RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemas::permission::PlatformRole;
use schemas::problem::{Code, Problem};

use super::{Access, Again, Once, authenticator, bearer, client, from_our_pages, of_platform};
use crate::api::Api;
use crate::input::whole;
use crate::reply::{Refused, RolledBack};
use crate::request;

/// Bytes of what stands for something in a path at most.
const NAMED_BYTES_MAX: usize = 1_000;
/// How often a request is carried out whose transaction Postgres rolls back because of another one.
const TRIES_MAX: u64 = 3;
/// Milliseconds before the second try, at least and at most; before the third one, twice as many.
const PAUSE_MS: std::ops::Range<u64> = 10..74;

/// Lets a request through to its handler if `access` allows it: else 401 for nobody, 403 for somebody without the
/// permission, 404 for what belongs to another tenant.
pub(crate) async fn guard(
    State((api, access)): State<(Api, Access)>,
    parameters: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let bearer = bearer(request.headers());
    let reply = match is_name(&parameters) {
        true => repeated(&api, access, &bearer, &parameters, request, next).await.into_response(),
        false => {
            let problem = Problem::new(Code::NotFound, "nothing has a name like the one in the path");
            Refused::new(problem).into_response()
        }
    };
    // What is refused before anybody is let in says who acts, too.
    if reply.status().is_client_error()
        && access != Access::Anyone
        && let Some(auth) = &api.auth
        && let Some(person) = auth.impersonator(&bearer).await
    {
        request::impersonated_by(person);
    }
    reply
}

/// Whether what stands in the path may be a name.
fn is_name(parameters: &RawPathParams) -> bool {
    parameters.iter().all(|(_, value)| value.len() <= NAMED_BYTES_MAX && !value.contains('\0'))
}

/// Carries out a request, and again if its transaction was rolled back because of another one. The handler of a tenant
/// or of the platform works in the one transaction that is opened here, so all of it can be repeated. What people do
/// for themselves has several, of which some may be committed.
async fn repeated(
    api: &Api,
    access: Access,
    bearer: &str,
    parameters: &RawPathParams,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    // Before anything is opened: a body that arrives slowly must hold no connection of the pool. That of nobody is not
    // read.
    let body = match access == Access::Anyone || !bearer.is_empty() {
        true => whole(body).await?,
        false => axum::body::Bytes::new(),
    };
    let tries = match access {
        Access::Anyone | Access::Session => 1,
        Access::Tenant(_) | Access::Project(_) | Access::Support | Access::Operator => TRIES_MAX,
    };
    let mut tried = 0;
    loop {
        let request = Request::from_parts(parts.clone(), body.clone().into());
        let reply = once(api, access, bearer, parameters, request, next.clone()).await.into_response();
        tried += 1;
        if tried == tries || reply.extensions().get::<RolledBack>().is_none() {
            return Ok(reply);
        }
        let [random] = api.random.bytes();
        let spread = u64::from(random) % (PAUSE_MS.end - PAUSE_MS.start);
        // The other request ends, and two that met do not meet again.
        tokio::time::sleep(Duration::from_millis(tried * (PAUSE_MS.start + spread))).await;
    }
}

/// Opens what the handler works in, if the caller may call it, and lets the request through.
async fn once(
    api: &Api,
    access: Access,
    bearer: &str,
    parameters: &RawPathParams,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    match access {
        Access::Anyone => from_our_pages(api, &request)?,
        Access::Operator | Access::Support => {
            let opened = of_platform(api, bearer, request.headers()).await?;
            if access == Access::Operator && opened.role() != PlatformRole::Operator {
                let detail = "this takes an operator: support sees everything, and changes nothing";
                return Err(Refused::new(Problem::new(Code::Forbidden, detail)));
            }
            request.extensions_mut().insert(Once::new(opened));
        }
        Access::Session => {
            let person = authenticator(api)?.signed_in(bearer, &client(request.headers())).await?;
            request.extensions_mut().insert(person);
        }
        Access::Tenant(permission) | Access::Project(permission) => {
            let named =
                parameters.iter().find(|(name, _)| *name == "tenant").map(|(_, value)| value.to_owned());
            let asked = Again::new(access, permission, named.unwrap_or_default());
            let opened = asked.open(api, request.headers()).await?;
            request.extensions_mut().insert(Once::new(opened));
            request.extensions_mut().insert(asked);
        }
    }
    Ok(next.run(request).await)
}
