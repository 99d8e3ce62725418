//! No statement on a tenant's path reads a whole table. Which statements there are is not listed here: the routes are
//! called, and Postgres is asked what was prepared.

use std::collections::{BTreeMap, BTreeSet};

use admin_api::{Listener, Route, routes};
use hyper::Method;
use schemas::public_id::PasskeyId;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, Row};
use testkit::{Client, crowd};

use crate::house::{House, NOWHERE, PASSWORD};

/// Tenants: enough for an index to be the shorter way.
const TENANTS: i64 = 3_000;
/// Rows from which a table is not to be read whole.
const ROWS_MIN: f32 = 1_000.0;
const JSON: (&str, &str) = ("content-type", "application/json");

/// Statements by their text, with the types of their parameters.
type Statements = BTreeMap<String, String>;

/// What was prepared on the one connection of `pool` so far.
async fn collect(pool: &PgPool, all: &mut Statements) {
    let rows =
        sqlx::raw_sql("SELECT statement, array_to_string(parameter_types, ', ') FROM pg_prepared_statements")
            .fetch_all(pool)
            .await
            .unwrap();
    all.extend(rows.iter().map(|row| (row.get::<String, _>(0), row.get::<String, _>(1))));
}

/// The tables that a plan reads whole.
fn read_whole(plan: &Value, found: &mut BTreeSet<String>) {
    match plan {
        Value::Object(members) => {
            if members.get("Node Type").is_some_and(|node| node == "Seq Scan") {
                found.insert(members["Relation Name"].as_str().unwrap().to_owned());
            }
            members.values().for_each(|member| read_whole(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| read_whole(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Plans a statement as Postgres does after its first executions, when it plans for any parameters.
async fn plan(pool: &PgPool, statement: &str, types: &str) -> Value {
    let count = types.split(", ").filter(|name| !name.is_empty()).count();
    let (types, nulls) = match count {
        0 => (String::new(), String::new()),
        _ => (format!("({types})"), format!("({})", vec!["NULL"; count].join(", "))),
    };
    let script = format!(
        "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan;
         SELECT set_config('weir.tenant', '7', true), set_config('weir.projects', 'all', true);
         PREPARE planned {types} AS {statement}; EXPLAIN (FORMAT JSON) EXECUTE planned {nulls};"
    );
    let mut connection = pool.acquire().await.unwrap();
    let rows = sqlx::raw_sql(AssertSqlSafe(script)).fetch_all(&mut *connection).await;
    let rows = rows.unwrap_or_else(|error| panic!("{error}: {statement}"));
    sqlx::raw_sql("ROLLBACK; DEALLOCATE planned").execute(&mut *connection).await.unwrap();
    // The JSON is the last row: those of set_config come before it.
    let text: String = rows.last().unwrap().try_get_unchecked(0).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Somebody with an access token, and the house whose statements are collected.
struct Walk<'a> {
    pool: &'a PgPool,
    client: Client,
    statements: Statements,
}

impl Walk<'_> {
    async fn send(&mut self, method: Method, path: &str, body: &Value) -> Value {
        let reply = self.client.send(method.clone(), path, &[JSON], body.to_string()).await;
        assert!(reply.status < 500 && reply.status != 404, "{method} {path}: {reply:?}");
        collect(self.pool, &mut self.statements).await;
        serde_json::from_slice(&reply.body).unwrap_or_default()
    }

    async fn post(&mut self, path: &str, body: Value) -> Value {
        self.send(Method::POST, path, &body).await
    }
}

/// Makes one of each thing, changes it, and gives what paths name them by.
async fn write(walk: &mut Walk<'_>) -> BTreeMap<&'static str, String> {
    let mut names = BTreeMap::from([("{tenant}", "me".to_owned()), ("{provider}", "none".to_owned())]);
    let id = |made: &Value| made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let tenant = "/v1/tenants/me";
    names.insert("{project}", id(&walk.post(&format!("{tenant}/projects"), json!({"name": "shop"})).await));
    let project = format!("{tenant}/projects/{}", names["{project}"]);
    walk.send(Method::PATCH, &project, &json!({"name": "store"})).await;
    let key = walk.post(&format!("{tenant}/keys"), json!({"project": "store"})).await;
    let rotated = walk.post(&format!("{tenant}/keys/{}/rotate", id(&key)), json!({"overlap_hours": 1})).await;
    walk.send(Method::DELETE, &format!("{tenant}/keys/{}", id(&key)), &json!({})).await;
    names.insert("{key}", id(&rotated));
    let role = json!({"name": "counter", "permissions": ["usage.read"]});
    names.insert("{role}", id(&walk.post(&format!("{tenant}/roles"), role.clone()).await));
    walk.send(Method::PUT, &format!("{tenant}/roles/{}", names["{role}"]), &role).await;
    let invitation = json!({"email": "bob@example.com", "role": names["{role}"]});
    names.insert("{invitation}", id(&walk.post(&format!("{tenant}/invitations"), invitation).await));
    walk.post(&format!("{tenant}/invitations/{}/resend", names["{invitation}"]), json!({})).await;
    let members = walk.send(Method::GET, &format!("{tenant}/members"), &json!({})).await;
    names.insert("{member}", id(&members["items"][0]));
    let member = format!("{tenant}/members/{}", names["{member}"]);
    walk.send(Method::PATCH, &member, &json!({"role": "owner"})).await;
    let token = json!({"name": "m", "permissions": ["usage.read"], "expires_at": "2027-03-01T00:00:00Z"});
    let token = walk.post(&format!("{tenant}/tokens"), token).await;
    names.insert("{token}", id(&token));
    let erasure = walk.post(&format!("{tenant}/erasures"), json!({"user_id": "ada"})).await;
    names.insert("{erasure}", id(&erasure));
    walk.send(Method::PATCH, tenant, &json!({"name": "Acme Works"})).await;
    walk.send(Method::PATCH, "/v1/me", &json!({"name": "Ada L."})).await;
    walk.send(Method::PATCH, "/v1/me/notifications", &json!({"usage": false})).await;
    walk.post("/v1/me/totp", json!({"password": PASSWORD})).await;
    let sessions = walk.send(Method::GET, "/v1/me/sessions", &json!({})).await;
    names.insert("{session}", id(&sessions["items"][0]));
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    walk.post("/v1/auth/login", login).await;
    walk.post("/v1/auth/login", json!({"email": "ada@example.com", "password": "wrong"})).await;
    walk.post("/v1/auth/forgot-password", json!({"email": "ada@example.com"})).await;
    let new = json!({"email": "eve@example.com", "password": PASSWORD, "name": "Eve", "tenant_name": "Eve"});
    walk.post("/v1/auth/register", new).await;
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_on_a_tenant_s_path_reads_a_whole_table() {
    // All that is prepared is prepared on one connection.
    let house = House::with_stores(&[], 1, NOWHERE).await;
    crowd::fill(&house.database.pool, TENANTS, "of nobody").await;
    let pool = house.pools.tenants.clone();
    let ada = house.person("ada@example.com").await;
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let signed_in = house.post("/v1/auth/login", login).await.json();
    let client = house.client(signed_in["access_token"].as_str());
    let mut walk = Walk { pool: &pool, client, statements: Statements::new() };
    let mut names = write(&mut walk).await;
    let passkey = PasskeyId::of_random([7; 16]);
    sqlx::query(
        "INSERT INTO passkey (id, person_id, credential_id, public_key, sign_count, backed_up, transports, name,
                              created_at)
         VALUES ($1, $2, 'id', 'key', 0, false, '{}', 'mine', now())",
    )
    .bind(passkey.uuid())
    .bind(ada.uuid())
    .execute(&house.database.pool)
    .await
    .unwrap();
    names.insert("{passkey}", passkey.to_string());
    names.insert("{code}", "not_found".to_owned());
    let mut called = 0;
    for Route { method, path, listeners, .. } in routes() {
        if method != Method::GET || !listeners.contains(&Listener::Tenants) || path.contains("{provider}") {
            continue;
        }
        let path: Vec<&str> =
            path.split('/').map(|part| names.get(part).map_or(part, String::as_str)).collect();
        walk.send(Method::GET, &path.join("/"), &json!({})).await;
        called += 1;
    }
    assert!(called > 25, "{called} routes were called");
    for noun in
        ["keys/{key}", "tokens/{token}", "invitations/{invitation}", "roles/{role}", "projects/{project}"]
    {
        let (of, name) = noun.split_once('/').unwrap();
        walk.send(Method::DELETE, &format!("/v1/tenants/me/{of}/{}", names[name]), &json!({})).await;
    }
    let statements = walk.statements;
    assert!(statements.len() > 60, "{} statements were seen", statements.len());

    let large: BTreeSet<String> =
        sqlx::query_scalar("SELECT relname::text FROM pg_class WHERE reltuples >= $1")
            .bind(ROWS_MIN)
            .fetch_all(&house.database.pool)
            .await
            .unwrap()
            .into_iter()
            .collect();
    assert!(large.contains("tenant") && large.contains("membership") && large.contains("audit_entry"));
    let mut wrong = Vec::new();
    for (statement, types) in &statements {
        // What a function is called with is planned within it; a setting is no plan.
        if !["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"]
            .iter()
            .any(|word| statement.trim_start().starts_with(word))
        {
            continue;
        }
        let mut tables = BTreeSet::new();
        read_whole(&plan(&pool, statement, types).await, &mut tables);
        let tables: Vec<&String> = tables.intersection(&large).collect();
        if !tables.is_empty() {
            wrong.push(format!("{tables:?}: {statement}"));
        }
    }
    assert!(wrong.is_empty(), "these read whole tables:\n{}", wrong.join("\n\n"));
    house.stop().await;
}
