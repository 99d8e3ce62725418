//! The table of routes: each with who may call it. A route without that can't be written. The handlers of a resource
//! are in the module of its name.

mod auth;
mod me;
mod passkeys;
mod openid;
mod operator;
mod tenants;
mod usage;
mod outcomes;
mod projects;
mod keys;
mod erasures;
mod members;
mod roles;
mod invitations;
mod tokens;
mod audit;
mod mails;
mod contract;
mod summaries;
mod page;

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::routing::MethodRouter;
use schemas::permission::Permission;
use schemas::problem::{Code, Problem};

use crate::api::Api;
use crate::auth::{Access, guard};
use crate::conditions::held;
use crate::describe::{Described, Operation};
use crate::edge;
use crate::listener::Listener;
use crate::reply::{Refused, as_problem};
use crate::request;

pub use page::page;

/// One line of the table, without what answers.
#[derive(Debug, Clone)]
pub struct Route {
    /// How it is called.
    pub method: Method,
    /// Where, with `{name}` for what varies.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Where it is.
    pub listeners: &'static [Listener],
    /// What the document calls it: the modules and the name of what answers, as in `keys.create`.
    pub id: String,
    /// What it does, in a line for people.
    pub summary: &'static str,
}

/// One line of the table.
struct Row {
    route: Route,
    handler: MethodRouter<Api>,
    describe: fn(&mut Operation),
}

/// Of `admin_api::routes::keys::create`, `keys.create`.
fn id_of<H>() -> String {
    std::any::type_name::<H>().split("::").skip(2).collect::<Vec<_>>().join(".")
}

macro_rules! rows_of {
    ($($name:ident $method:ident),+) => {$(
        fn $name<H, T: 'static>(path: &'static str, access: Access, handler: H) -> Row
        where
            H: Handler<T, Api> + Described<T>,
        {
            let id = id_of::<H>();
            let summary = summaries::of(&id);
            let route = Route { method: Method::$method, path, access, listeners: &[], id, summary };
            Row { route, handler: axum::routing::$name(handler), describe: H::describe }
        }
    )+};
}

rows_of!(get GET, post POST, put PUT, patch PATCH, delete DELETE);

/// Signing in, and what one sees of oneself.
fn of_sessions() -> Vec<Row> {
    use Access::{Anyone, Session};
    vec![
        post("/v1/auth/login", Anyone, auth::login),
        post("/v1/auth/login/totp", Anyone, auth::login_totp),
        post("/v1/auth/login/recovery-code", Anyone, auth::login_recovery_code),
        post("/v1/auth/refresh", Anyone, auth::refresh),
        post("/v1/auth/logout", Session, auth::logout),
        get("/v1/me", Session, me::show),
        get("/v1/me/sessions", Session, me::sessions),
        delete("/v1/me/sessions", Session, me::end_other_sessions),
        get("/v1/me/sessions/{session}", Session, me::session),
        delete("/v1/me/sessions/{session}", Session, me::end_session),
    ]
}

/// Becoming a person, and what is a person's own.
fn of_people() -> Vec<Row> {
    use Access::{Anyone, Session};
    vec![
        get("/.well-known/jwks.json", Anyone, auth::jwks),
        post("/v1/auth/register", Anyone, auth::register),
        post("/v1/auth/verify-email", Anyone, auth::verify_email),
        post("/v1/auth/login/passkey/begin", Anyone, passkeys::begin_login),
        post("/v1/auth/login/passkey", Anyone, passkeys::login),
        post("/v1/auth/forgot-password", Anyone, auth::forgot_password),
        post("/v1/auth/reset-password", Anyone, auth::reset_password),
        get("/v1/auth/oidc/{provider}", Anyone, openid::begin),
        get("/v1/auth/oidc/{provider}/callback", Anyone, openid::callback),
        post("/v1/auth/oidc/link", Anyone, openid::link),
        post("/v1/mail/unsubscribe", Anyone, mails::unsubscribe),
        post("/v1/auth/switch", Session, auth::switch),
        patch("/v1/me", Session, me::change),
        post("/v1/me/email", Session, me::change_email),
        post("/v1/me/password", Session, me::change_password),
        get("/v1/me/tenants", Session, me::tenants),
        post("/v1/me/totp", Session, me::propose_totp),
        delete("/v1/me/totp", Session, me::remove_totp),
        post("/v1/me/totp/confirm", Session, me::confirm_totp),
        get("/v1/me/identities", Session, openid::list),
        delete("/v1/me/identities/{provider}", Session, openid::unlink),
        get("/v1/me/passkeys", Session, passkeys::list),
        post("/v1/me/passkeys", Session, passkeys::propose),
        post("/v1/me/passkeys/confirm", Session, passkeys::confirm),
        get("/v1/me/passkeys/{passkey}", Session, passkeys::show),
        delete("/v1/me/passkeys/{passkey}", Session, passkeys::remove),
        post("/v1/me/recovery-codes", Session, me::renew_recovery_codes),
        get("/v1/me/notifications", Session, me::notifications),
        patch("/v1/me/notifications", Session, me::change_notifications),
        post("/v1/invitations/accept", Session, invitations::accept),
    ]
}

/// A tenant's resources. `{tenant}` is its public id or slug, or `me`; for operators, its number or name.
fn of_tenants() -> Vec<Row> {
    let (may, may_in) = (Access::Tenant, Access::Project);
    vec![
        get("/v1/tenants/{tenant}", may_in(Permission::TenantRead), tenants::show),
        patch("/v1/tenants/{tenant}", may(Permission::TenantManage), tenants::set),
        delete("/v1/tenants/{tenant}", may(Permission::TenantDelete), tenants::delete),
        post("/v1/tenants/{tenant}/restore", may(Permission::TenantDelete), tenants::restore),
        post("/v1/tenants/{tenant}/transfer-ownership", may(Permission::TenantTransfer), members::transfer),
        get("/v1/tenants/{tenant}/usage", may_in(Permission::UsageRead), usage::show),
        get("/v1/tenants/{tenant}/outcomes", may_in(Permission::UsageRead), outcomes::show),
        get("/v1/tenants/{tenant}/projects", may_in(Permission::ProjectsRead), projects::list),
        post("/v1/tenants/{tenant}/projects", may(Permission::ProjectsManage), projects::create),
        get("/v1/tenants/{tenant}/projects/{project}", may_in(Permission::ProjectsRead), projects::show),
        patch(
            "/v1/tenants/{tenant}/projects/{project}",
            may_in(Permission::ProjectsManage),
            projects::change,
        ),
        delete(
            "/v1/tenants/{tenant}/projects/{project}",
            may_in(Permission::ProjectsManage),
            projects::delete,
        ),
        get("/v1/tenants/{tenant}/keys", may_in(Permission::KeysRead), keys::list),
        post("/v1/tenants/{tenant}/keys", may_in(Permission::KeysManage), keys::create),
        get("/v1/tenants/{tenant}/keys/{key}", may_in(Permission::KeysRead), keys::show),
        delete("/v1/tenants/{tenant}/keys/{key}", may_in(Permission::KeysManage), keys::revoke),
        post("/v1/tenants/{tenant}/keys/{key}/rotate", may_in(Permission::KeysManage), keys::rotate),
        get("/v1/tenants/{tenant}/erasures", may_in(Permission::EventsRead), erasures::list),
        post("/v1/tenants/{tenant}/erasures", may_in(Permission::EventsErase), erasures::create),
        get("/v1/tenants/{tenant}/erasures/{erasure}", may_in(Permission::EventsRead), erasures::show),
        get("/v1/tenants/{tenant}/members", may(Permission::MembersRead), members::list),
        get("/v1/tenants/{tenant}/members/{member}", may(Permission::MembersRead), members::show),
        patch("/v1/tenants/{tenant}/members/{member}", may(Permission::MembersManage), members::change),
        delete("/v1/tenants/{tenant}/members/{member}", may(Permission::MembersManage), members::remove),
        get("/v1/tenants/{tenant}/invitations", may(Permission::MembersRead), invitations::list),
        post("/v1/tenants/{tenant}/invitations", may(Permission::MembersManage), invitations::create),
        get("/v1/tenants/{tenant}/invitations/{invitation}", may(Permission::MembersRead), invitations::show),
        delete(
            "/v1/tenants/{tenant}/invitations/{invitation}",
            may(Permission::MembersManage),
            invitations::revoke,
        ),
        post(
            "/v1/tenants/{tenant}/invitations/{invitation}/resend",
            may(Permission::MembersManage),
            invitations::resend,
        ),
        get("/v1/tenants/{tenant}/roles", may(Permission::MembersRead), roles::list),
        post("/v1/tenants/{tenant}/roles", may(Permission::RolesManage), roles::create),
        get("/v1/tenants/{tenant}/roles/{role}", may(Permission::MembersRead), roles::show),
        put("/v1/tenants/{tenant}/roles/{role}", may(Permission::RolesManage), roles::put),
        delete("/v1/tenants/{tenant}/roles/{role}", may(Permission::RolesManage), roles::delete),
        get("/v1/tenants/{tenant}/tokens", may(Permission::TokensRead), tokens::list),
        post("/v1/tenants/{tenant}/tokens", may(Permission::TokensManage), tokens::create),
        get("/v1/tenants/{tenant}/tokens/{token}", may(Permission::TokensRead), tokens::show),
        delete("/v1/tenants/{tenant}/tokens/{token}", may(Permission::TokensManage), tokens::revoke),
        get("/v1/tenants/{tenant}/audit", may(Permission::AuditRead), audit::list),
        get("/v1/tenants/{tenant}/audit/verify", may(Permission::AuditRead), audit::verify),
        get("/v1/tenants/{tenant}/audit/export", may(Permission::AuditRead), audit::export),
    ]
}

/// What operators alone may do.
fn of_operators() -> Vec<Row> {
    use Access::{Anyone, Operator, Support};
    use operator::{
        audit, dead_letters, jobs, keys, outbox, people, plans, reconciliation, river, status, tenants,
    };
    vec![
        post("/v1/auth/login/enrol", Anyone, auth::enrol),
        post("/v1/auth/login/enrol/confirm", Anyone, auth::confirm_enrolment),
        get("/v1/operator/plans", Support, plans::list),
        get("/v1/operator/plans/{plan}", Support, plans::show),
        put("/v1/operator/plans/{plan}", Operator, plans::put),
        get("/v1/operator/tenants", Support, tenants::list),
        post("/v1/operator/tenants", Operator, tenants::create),
        get("/v1/operator/tenants/{tenant}", Support, tenants::show),
        patch("/v1/operator/tenants/{tenant}", Operator, tenants::change),
        put("/v1/operator/tenants/{tenant}/limits", Operator, tenants::limit),
        put("/v1/operator/tenants/{tenant}/plan", Operator, tenants::put_on_plan),
        post("/v1/operator/tenants/{tenant}/freeze", Operator, tenants::freeze),
        post("/v1/operator/tenants/{tenant}/thaw", Operator, tenants::thaw),
        post("/v1/operator/tenants/{tenant}/close", Operator, tenants::close),
        post("/v1/operator/tenants/{tenant}/reopen", Operator, tenants::reopen),
        get("/v1/operator/tenants/{tenant}/impersonate", Support, tenants::impersonate),
        delete("/v1/operator/keys/{key}", Operator, keys::revoke),
        get("/v1/operator/people", Support, people::list),
        get("/v1/operator/people/{person}", Support, people::show),
        post("/v1/operator/people/{person}/end-sessions", Operator, people::end_sessions),
        post("/v1/operator/people/{person}/remove-second-factor", Operator, people::remove_second_factor),
        post("/v1/operator/people/{person}/disable", Operator, people::disable),
        post("/v1/operator/people/{person}/enable", Operator, people::enable),
        get("/v1/operator/audit", Support, audit::list),
        get("/v1/operator/river", Support, river::show),
        get("/v1/operator/dead-letters", Support, dead_letters::list),
        post("/v1/operator/dead-letters/replay", Operator, dead_letters::replay_many),
        post("/v1/operator/dead-letters/discard", Operator, dead_letters::discard_many),
        get("/v1/operator/dead-letters/{letter}", Support, dead_letters::show),
        post("/v1/operator/dead-letters/{letter}/replay", Operator, dead_letters::replay),
        post("/v1/operator/dead-letters/{letter}/discard", Operator, dead_letters::discard),
        get("/v1/operator/reconciliation", Support, reconciliation::show),
        post("/v1/operator/reconciliation/verify", Operator, reconciliation::verify),
        post("/v1/operator/reconciliation/repair", Operator, reconciliation::repair),
        get("/v1/operator/verifications", Support, reconciliation::list),
        get("/v1/operator/verifications/{verification}", Support, reconciliation::find),
        get("/v1/operator/jobs", Support, jobs::list),
        get("/v1/operator/jobs/{job}", Support, jobs::show),
        post("/v1/operator/jobs/{job}/retry", Operator, jobs::retry),
        delete("/v1/operator/jobs/{job}", Operator, jobs::discard),
        get("/v1/operator/outbox", Support, outbox::list),
        post("/v1/operator/outbox/{mail}/retry", Operator, outbox::retry),
        get("/v1/operator/status", Support, status::show),
    ]
}

/// What the API says of itself.
fn of_contract() -> Vec<Row> {
    use Access::Anyone;
    vec![
        get("/v1/openapi.json", Anyone, contract::openapi),
        get("/docs", Anyone, contract::reader),
        get("/errors/{code}", Anyone, contract::error),
    ]
}

/// Every route.
fn table() -> Vec<Row> {
    let on = |listeners: &'static [Listener], rows: Vec<Row>| {
        rows.into_iter().map(move |row| Row { route: Route { listeners, ..row.route }, ..row })
    };
    on(BOTH, of_sessions())
        .chain(on(TENANTS, of_people()))
        .chain(on(BOTH, of_tenants()))
        .chain(on(OPERATORS, of_operators()))
        .chain(on(BOTH, of_contract()))
        .collect()
}

const TENANTS: &[Listener] = &[Listener::Tenants];
const BOTH: &[Listener] = &[Listener::Tenants, Listener::Operators];
const OPERATORS: &[Listener] = &[Listener::Operators];

/// Every route, with who may call it, and where.
#[must_use]
pub fn routes() -> Vec<Route> {
    table().into_iter().map(|row| row.route).collect()
}

/// Each route, with what it takes and gives.
pub(crate) fn described() -> impl Iterator<Item = (Route, Operation)> {
    table().into_iter().map(|row| {
        let mut operation = Operation::default();
        (row.describe)(&mut operation);
        (row.route, operation)
    })
}

/// A route of the table that nothing is said of.
#[derive(Debug, thiserror::Error)]
#[error("admin-api/src/routes/summaries.rs does not say what {0} does")]
pub struct Undescribed(String);

/// The routes of a listener.
///
/// # Errors
/// If one of them has no summary: what the document does not speak of is not served.
pub(crate) fn router(listener: Listener, api: Api) -> Result<Router, Undescribed> {
    let mut router = Router::new();
    for Row { route, handler, .. } in table() {
        if route.summary.is_empty() {
            return Err(Undescribed(route.id));
        }
        if route.listeners.contains(&listener) {
            let guarded = from_fn_with_state((api.clone(), route.access), guard);
            let held = from_fn_with_state((api.clone(), route.path), held);
            router = router.route(route.path, handler.route_layer(held).route_layer(guarded));
        }
    }
    Ok(router
        .fallback(async || {
            Refused::new(Problem::new(Code::NotFound, "there is no such path in the admin API"))
        })
        .method_not_allowed_fallback(async || {
            Refused::new(Problem::new(Code::MethodNotAllowed, "the path exists, but not for this method"))
        })
        .layer(map_response(async |reply| as_problem(reply)))
        .layer(from_fn(edge::hosted))
        .layer(from_fn_with_state(Arc::clone(&api.rates), edge::limited))
        .layer(from_fn_with_state(Arc::clone(&api.proxies), request::identified))
        .with_state(api))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_of_a_tenant_names_it_and_one_of_operators_is_on_their_listener_alone() {
        for Route { method, path, access, listeners, .. } in routes() {
            let of_tenant = path.starts_with("/v1/tenants/{tenant}");
            assert_eq!(
                of_tenant,
                matches!(access, Access::Tenant(_) | Access::Project(_)),
                "{method} {path}"
            );
            let of_operators = path.starts_with("/v1/operator/");
            assert_eq!(of_operators, matches!(access, Access::Operator | Access::Support), "{method} {path}");
            assert!(!of_operators || listeners == OPERATORS, "{method} {path}");
            let reads = method == Method::GET;
            assert!(!of_operators || reads == (access == Access::Support), "support reads: {method} {path}");
        }
    }
}
