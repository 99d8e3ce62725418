//! Parts that operations share.

use serde_json::{Map, Value, json};

use crate::auth::Access;
use crate::listener::Listener;
use crate::routes::Route;

pub(super) fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

/// A parameter of the path.
pub(super) fn in_path(name: &str) -> Value {
    let description = match name {
        "tenant" => {
            "Id or slug of the tenant, or `me` for that of the token; for operators also its number or name."
        }
        "plan" => "Its name.",
        "code" => "The `code` of a problem.",
        "provider" => "The name that the operator gave it.",
        _ => "Its id.",
    };
    let schema = json!({"type": "string", "minLength": 1});
    json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema})
}

pub(super) fn parameters() -> Value {
    let parameter = |name: &str, place: &str, description: &str, schema: Value| {
        (name.to_owned(), json!({"name": name, "in": place, "description": description, "schema": schema}))
    };
    let text = json!({"type": "string"});
    let key = json!({"type": "string", "minLength": 1, "maxLength": 255});
    let limit = json!({"type": "integer", "minimum": 1, "maximum": 200, "default": 50});
    [
        parameter("limit", "query", "Items in the page.", limit),
        parameter("cursor", "query", "The `next_cursor` of the page before.", text.clone()),
        parameter(
            "If-Match",
            "header",
            "The `ETag` of what is to be changed: 412 if it has changed.",
            text.clone(),
        ),
        parameter("If-None-Match", "header", "The `ETag` of what is known: 304 if it has not changed.", text),
        parameter(
            "Idempotency-Key",
            "header",
            "A request with the same key is carried out once in 24 hours, and answered the same again.",
            key,
        ),
    ]
    .into_iter()
    .collect::<Map<_, _>>()
    .into()
}

pub(super) fn headers() -> Value {
    let header =
        |kind: &str, description: &str| json!({"description": description, "schema": {"type": kind}});
    json!({
        "X-Request-Id": header("string", "Stands in the log and the audit, too."),
        "RateLimit": header("string", "What is left of the limits (draft-ietf-httpapi-ratelimit-headers)."),
        "RateLimit-Policy": header("string", "The limits of address and caller."),
        "ETag": header("string", "What the resource is like, for `If-Match` and `If-None-Match`."),
        "Retry-After": header("integer", "Seconds to wait."),
        "Idempotent-Replayed": header("string", "`true`: the request was carried out before."),
        "Weir-Impersonator": header("string", "Who of the platform acts in the tenant."),
        "Set-Cookie": header("string", "A cookie of this host alone, for HTTP alone."),
        "Location": header("string", "Where to go on."),
    })
}

/// What is good for a route, on a listener or on both.
pub(super) fn security(route: &Route, listener: Option<Listener>) -> Value {
    let on = |one: Listener| listener.is_none_or(|listener| listener == one);
    let machine = on(Listener::Tenants).then_some("machine_token");
    let operator = on(Listener::Operators).then_some("operator_token");
    let session = Some("access_token");
    let names = match route.access {
        Access::Anyone if route.id == "auth.refresh" => [Some("refresh_cookie"), None, None],
        Access::Anyone => [None, None, None],
        Access::Session => [session, None, None],
        Access::Tenant(_) | Access::Project(_) => [session, machine, operator],
        Access::Support if route.id == "operator.tenants.impersonate" => [session, None, None],
        Access::Support | Access::Operator => [session, operator, None],
    };
    names.into_iter().flatten().map(|name| json!({name: []})).collect()
}

pub(super) fn security_schemes(listener: Option<Listener>) -> Value {
    let bearer = |description: &str| json!({"type": "http", "scheme": "bearer", "description": description});
    let cookie = match listener {
        Some(Listener::Operators) => "__Host-weir_operator_refresh",
        Some(Listener::Tenants) | None => "__Host-weir_refresh",
    };
    let mut schemes = json!({
        "access_token": bearer("What a sign-in gives: a JWT, good for 15 minutes on the listener of the sign-in."),
        "refresh_cookie": {
            "type": "apiKey", "in": "cookie", "name": cookie,
            "description": "What a sign-in sets; on the operators' listener `__Host-weir_operator_refresh`.",
        },
    });
    if listener != Some(Listener::Operators) {
        schemes["machine_token"] = bearer("A token for a machine: `wt_...`.");
    }
    if listener != Some(Listener::Tenants) {
        schemes["operator_token"] = bearer("The operator's token (`WEIR_OPERATOR_TOKEN`).");
    }
    schemes
}
