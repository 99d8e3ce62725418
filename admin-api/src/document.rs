//! The OpenAPI document (3.1) of a listener: made of the table of routes and of its handlers' types.
//! `docs/openapi.json` is that of both listeners together.

mod components;
mod problems;
mod tags;
mod examples;
mod bounds;
mod shapes;
mod reader;

use std::sync::{Arc, LazyLock};

use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::api::Contract;
use crate::auth::Access;
use crate::conditions::is_resource;
use crate::describe::Operation;
use crate::listener::Listener;
use crate::routes::{Route, described};

/// A listener's document, which is made when it is first asked for.
pub(crate) fn lazy(listener: Listener) -> Arc<LazyLock<Contract>> {
    let contract: fn() -> Contract = match listener {
        Listener::Tenants => || contract(Listener::Tenants),
        Listener::Operators => || contract(Listener::Operators),
    };
    Arc::new(LazyLock::new(contract))
}

fn contract(listener: Listener) -> Contract {
    let document = document(Some(listener));
    Contract {
        json: document.to_string().into(),
        page: reader::page(&document).into(),
        policy: reader::policy(),
    }
}

/// The document of a listener; `None`: of both.
#[must_use]
pub fn document(listener: Option<Listener>) -> Value {
    let (mut paths, mut taken, mut given) = (Map::new(), Map::new(), Map::new());
    let mut used = Vec::new();
    for (route, mut operation) in described() {
        if listener.is_some_and(|listener| !route.listeners.contains(&listener)) {
            continue;
        }
        taken.extend(std::mem::take(&mut operation.taken));
        given.extend(std::mem::take(&mut operation.given));
        used.push(tags::of(&route.id).to_owned());
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = described_as(&route, operation, listener);
    }
    let mut schemas = shapes::all(taken, given);
    schemas.insert("Problem".to_owned(), problems::schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "weir: the admin API",
            "description": "Tenants, projects, keys, usage, and people. docs/api.md says what holds for all of it.",
            "version": "1",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags::all(&used),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": components::parameters(),
            "headers": components::headers(),
            "responses": problems::replies(),
            "securitySchemes": components::security_schemes(listener),
        },
    })
}

/// The text of the document of both listeners.
#[must_use]
pub fn text() -> String {
    // A tree of JSON always serialises.
    serde_json::to_string_pretty(&document(None)).unwrap_or_default() + "\n"
}

fn described_as(route: &Route, operation: Operation, listener: Option<Listener>) -> Value {
    let shows_tag = shows_tag(route, &operation);
    let Operation { parameters, body, replies, .. } = operation;
    let conditions = conditions(route, shows_tag);
    let in_query = parameters.into_iter().map(shapes::of_query);
    let mut all: Vec<Value> = names(route.path).map(components::in_path).chain(in_query).collect();
    all.extend(conditions.iter().map(|name| components::reference("parameters", name)));
    let mut answers = Map::new();
    for (status, mut reply) in replies {
        add_headers(&mut reply, route, status, shows_tag);
        answers.insert(status.to_string(), reply);
    }
    if conditions.contains(&"If-None-Match") {
        let mut reply = json!({"description": "It is what `If-None-Match` names."});
        add_headers(&mut reply, route, 304, true);
        answers.insert("304".to_owned(), reply);
    }
    for status in problems::of(route, body.is_some()) {
        answers.insert(status.to_string(), components::reference("responses", &problems::name(status)));
    }
    let mut described = json!({
        "operationId": route.id,
        "summary": route.summary,
        "tags": [tags::of(&route.id)],
        "parameters": all,
        "responses": answers,
        "security": components::security(route, listener),
        "x-permission": permission(route.access),
        "x-listeners": route.listeners.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    if let Some(mut body) = body {
        if let Some(example) = examples::of(&route.id) {
            body["content"]["application/json"]["example"] = example;
        }
        described["requestBody"] = body;
    }
    described
}

/// The names in a path, as `tenant` in `/v1/tenants/{tenant}`.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

/// Whether the reply shows a resource, which has a tag.
fn shows_tag(route: &Route, operation: &Operation) -> bool {
    let resource = ["200", "201"].iter().filter_map(|status| operation.replies.get(&status.parse().ok()?));
    let is_json = resource.into_iter().any(|reply| reply["content"]["application/json"].is_object());
    is_json && is_resource(route.path)
}

/// Whether what it does is done once for each idempotency key.
fn is_kept(route: &Route) -> bool {
    let of_people = matches!(route.access, Access::Anyone | Access::Session);
    route.method == Method::POST && !of_people
}

/// Headers that the answer may be made to depend on.
fn conditions(route: &Route, shows_tag: bool) -> Vec<&'static str> {
    let may_change = [Method::PATCH, Method::PUT, Method::DELETE].contains(&route.method);
    let all = [
        ("Idempotency-Key", is_kept(route)),
        ("If-None-Match", route.method == Method::GET && shows_tag),
        ("If-Match", may_change),
    ];
    all.into_iter().filter_map(|(name, holds)| holds.then_some(name)).collect()
}

fn add_headers(reply: &mut Value, route: &Route, status: u16, shows_tag: bool) {
    let of_tenant = matches!(route.access, Access::Tenant(_) | Access::Project(_));
    let all = [
        ("X-Request-Id", true),
        ("RateLimit", true),
        ("RateLimit-Policy", true),
        ("ETag", shows_tag && status != 202),
        ("Idempotent-Replayed", is_kept(route)),
        ("Weir-Impersonator", of_tenant),
    ];
    for (name, _) in all.iter().filter(|(_, holds)| *holds) {
        reply["headers"][name] = components::reference("headers", name);
    }
}

fn permission(access: Access) -> Value {
    match access {
        Access::Tenant(permission) | Access::Project(permission) => json!(permission.as_str()),
        Access::Anyone => json!("anyone"),
        Access::Session => json!("session"),
        Access::Support => json!("support"),
        Access::Operator => json!("operator"),
    }
}

#[cfg(test)]
mod tests;
