//! People of the platform over HTTP: who gets in on the operators' listener, and what each may do there.

use std::sync::Arc;
use std::time::Duration;

use accounts::{Caller, PlatformScope, people};
use admin_api::{Access, Listener, Route, routes};
use eventlog::local::{LocalConfig, LocalLog};
use hyper::Method;
use schemas::permission::{BuiltInRole, PlatformRole};
use serde_json::{Value, json};
use service::clock::Clock;
use service::postgres::Role;
use testkit::river::{OPERATOR_TOKEN, RiverConfig};
use testkit::{Client, Proxy, Reply, River, Stores, app_code, eventually};

use crate::people::{House, JSON, PASSWORD, call, filled};

fn operators(house: &House, bearer: Option<&str>) -> Client {
    Client::new(house.river.operators, bearer)
}

async fn grant(house: &House, email: &str, role: PlatformRole) {
    let (pool, clock) = (house.river.stores.pool_of(Role::Api), Clock::system());
    let scope = PlatformScope::open_platform(&pool, &clock, Caller::COMMAND_LINE);
    let mut scope = scope.await.unwrap();
    people::grant(&mut scope, email, role).await.unwrap();
    scope.commit().await.unwrap();
}

async fn login(house: &House, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password});
    operators(house, None).post_json("/v1/auth/login", body.to_string()).await
}

/// Makes somebody one of the platform's people, who then signs in with a new second factor. The access token.
async fn enrolled(house: &House, email: &str, role: PlatformRole) -> String {
    house.owner(email, email).await;
    grant(house, email, role).await;
    let challenged = login(house, email, PASSWORD).await.json();
    assert_eq!(challenged["methods"], json!(["enrol_totp"]), "{challenged}");
    let client = operators(house, None);
    let proposed =
        client.post_json("/v1/auth/login/enrol", json!({"challenge": challenged["challenge"]}).to_string());
    let proposed = proposed.await.json();
    let code = app_code(proposed["secret"].as_str().unwrap(), Clock::system().now_micros() / 1_000_000);
    let shown = json!({"challenge": challenged["challenge"], "code": code}).to_string();
    let reply = client.post_json("/v1/auth/login/enrol/confirm", shown.clone()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let cookies: Vec<&str> =
        reply.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(cookies[0].starts_with("__Host-weir_operator_refresh=wr_"), "{cookies:?}");
    let signed_in = reply.json();
    assert_eq!(signed_in["recovery_codes"].as_array().unwrap().len(), 10);
    let again = client.post_json("/v1/auth/login/enrol/confirm", shown).await.status;
    assert_eq!(again, 401, "a challenge is good once");
    signed_in["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_operators_listener_lets_in_whom_the_table_names_and_nobody_else() {
    let house = House::fresh().await;
    let owner = house.owner("ada@example.com", "Acme").await;
    let operator = enrolled(&house, "olga@example.com", PlatformRole::Operator).await;
    let support = enrolled(&house, "sam@example.com", PlatformRole::Support).await;
    // An operator who has no second factor yet, and has signed in as a tenant's owner.
    let bare = house.owner("nina@example.com", "Nina").await;
    grant(&house, "nina@example.com", PlatformRole::Operator).await;
    let mut all = routes();
    all.retain(|route| route.listeners.contains(&Listener::Operators));
    assert!(all.len() > 40);
    for Route { method, path, access, .. } in &all {
        // These end what the test goes on with.
        if matches!((method.as_str(), *path), ("DELETE", "/v1/me/sessions") | ("POST", "/v1/auth/logout")) {
            continue;
        }
        let ask = async |bearer: Option<&str>| {
            call(&operators(&house, bearer), method, &filled(path, "acme")).await.status
        };
        let what = format!("{method} {path}");
        let nobody = ask(None).await;
        if *access == Access::Anyone {
            assert!(nobody != 403 && nobody != 404, "{what}: {nobody}");
            continue;
        }
        for bearer in [None, Some(owner.as_str()), Some(&bare)] {
            assert_eq!(ask(bearer).await, 401, "{what}");
        }
        let (of_support, of_operator) = (ask(Some(&support)).await, ask(Some(&operator)).await);
        let of_token = ask(Some(OPERATOR_TOKEN)).await;
        let lets_support = match access {
            Access::Tenant(permission) | Access::Project(permission) => {
                PlatformRole::Support.may(*permission)
            }
            Access::Operator => false,
            Access::Support | Access::Session | Access::Anyone => true,
        };
        assert_eq!(of_support == 403, !lets_support, "{what}: {of_support}");
        assert!(of_support != 401 && of_operator != 401 && of_operator != 403, "{what}: {of_operator}");
        if path.ends_with("/impersonate") {
            assert_eq!(of_token, 403, "{what}");
        } else if *access == Access::Session {
            assert_eq!(of_token, 401, "{what}");
        } else {
            assert!(of_token != 401 && of_token != 403, "{what}: {of_token}");
        }
    }
    house.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_people_of_the_platform_sign_in_on_the_operators_listener_and_what_they_get_is_good_there_alone()
{
    let house = House::fresh().await;
    let owner = house.owner("ada@example.com", "Acme").await;
    let (right, wrong) =
        (login(&house, "ada@example.com", PASSWORD).await, login(&house, "ada@example.com", "x").await);
    assert_eq!((right.status, wrong.status), (401, 401));
    assert_eq!(right.json()["detail"], wrong.json()["detail"], "nobody learns that the password is right");
    let operator = enrolled(&house, "olga@example.com", PlatformRole::Operator).await;
    let on = async |client: Client, path: &str| client.send(Method::GET, path, &[], "").await.status;
    assert_eq!(on(operators(&house, Some(&operator)), "/v1/me").await, 200);
    assert_eq!(on(house.client(Some(&operator)), "/v1/me").await, 401);
    assert_eq!(on(house.client(Some(&operator)), "/v1/tenants/me").await, 401);
    assert_eq!(on(operators(&house, Some(&owner)), "/v1/me").await, 401);
    // With a second factor, it is asked for; a challenge of the one listener is nothing on the other.
    let challenged =
        house.post("/v1/auth/login", json!({"email": "olga@example.com", "password": PASSWORD})).await;
    assert_eq!(challenged.json()["methods"], json!(["totp", "recovery_code"]));
    let shown = json!({"challenge": challenged.json()["challenge"], "code": "000000"}).to_string();
    let enrol = operators(&house, None).post_json("/v1/auth/login/enrol", shown.clone()).await.status;
    assert_eq!(enrol, 400, "a code is no member of that body");
    let other = json!({"challenge": challenged.json()["challenge"]}).to_string();
    assert_eq!(operators(&house, None).post_json("/v1/auth/login/enrol", other).await.status, 401);
    assert_eq!(operators(&house, None).post_json("/v1/auth/login/totp", shown).await.status, 401);
    house.river.stop().await;
}

/// Also of what is refused before anybody is let in.
async fn every_refusal_says_it(impersonator: &Client, who: &str) {
    let own = impersonator.send(Method::GET, "/v1/me", &[], "").await;
    let large = impersonator.post_json("/v1/tenants/acme/projects", vec![b' '; 300 * 1024]).await;
    let unnamed = impersonator.send(Method::GET, "/v1/tenants/acme/projects/a%00b", &[], "").await;
    assert_eq!(
        (own.status, large.status, unnamed.status),
        (400, 413, 404),
        "what is nobody's own is refused"
    );
    for reply in [own, large, unnamed] {
        assert_eq!(reply.headers["weir-impersonator"], who);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_of_the_platform_acts_in_a_tenant_and_every_reply_and_entry_says_so_until_the_session_ends()
{
    let house = House::fresh().await;
    let ada = house.owner("ada@example.com", "Acme").await;
    let operator = enrolled(&house, "olga@example.com", PlatformRole::Operator).await;
    let support = enrolled(&house, "sam@example.com", PlatformRole::Support).await;
    let impersonate = async |bearer: &str| {
        let path = "/v1/operator/tenants/acme/impersonate";
        operators(&house, Some(bearer)).send(Method::GET, path, &[], "").await.json()
    };
    for (bearer, may_write) in [(&operator, true), (&support, false)] {
        let given = impersonate(bearer).await;
        assert_eq!(given["expires_in"], 1_800, "{given}");
        let client = house.client(given["access_token"].as_str());
        let who = given["impersonator"].as_str().unwrap();
        let usage = client.send(Method::GET, "/v1/tenants/me/usage", &[], "").await;
        assert_eq!(usage.status, 200, "{usage:?}");
        let project = json!({"name": who}).to_string();
        let made = client.send(Method::POST, "/v1/tenants/acme/projects", &[JSON], project).await;
        assert_eq!(made.status, if may_write { 201 } else { 403 }, "{made:?}");
        let token = json!({"name": "x", "permissions": ["usage.read"], "expires_at": "2099-01-01T00:00:00Z"});
        let token = client.send(Method::POST, "/v1/tenants/acme/tokens", &[JSON], token.to_string()).await;
        assert_eq!(token.status, 403, "it would outlive the impersonation: {token:?}");
        let other = client.send(Method::GET, "/v1/tenants/sam-example-com/usage", &[], "").await;
        assert_eq!(other.status, 404);
        for reply in [usage, made, other] {
            assert_eq!(reply.headers["weir-impersonator"], who);
        }
        assert_eq!(
            operators(&house, given["access_token"].as_str())
                .send(Method::GET, "/v1/me", &[], "")
                .await
                .status,
            401
        );
        if may_write {
            let audit =
                house.client(Some(&ada)).send(Method::GET, "/v1/tenants/me/audit", &[], "").await.json();
            let entry =
                |at: usize| (audit["items"][at]["action"].clone(), audit["items"][at]["actor"].clone());
            assert_eq!(entry(0), (json!("project.create"), json!(format!("impersonator {who}"))));
            assert_eq!(entry(1), (json!("tenant.impersonate"), json!(who)));
        }
        every_refusal_says_it(&client, who).await;
        let known = [("if-none-match", "*")];
        let path = "/v1/operator/tenants/acme/impersonate";
        let another = operators(&house, Some(bearer)).send(Method::GET, path, &known, "").await;
        assert_eq!((another.status, another.headers.get("etag")), (200, None), "it is another one each time");
        assert_eq!(
            operators(&house, Some(bearer)).send(Method::POST, "/v1/auth/logout", &[], "").await.status,
            204
        );
        let ended = client.send(Method::GET, "/v1/tenants/me/usage", &[], "").await;
        assert_eq!(ended.status, 401);
    }
    let own = house.client(Some(&ada)).send(Method::GET, "/v1/tenants/me/usage", &[], "").await;
    assert!(own.status == 200 && !own.headers.contains_key("weir-impersonator"));
    house.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_gives_a_tenant_an_owner_and_nobody_does_by_impersonation() {
    let house = House::fresh().await;
    let ada = house.owner("ada@example.com", "Acme").await;
    house.member(&ada, "bob@example.com", BuiltInRole::Viewer).await;
    let olga = operators(&house, Some(&enrolled(&house, "olga@example.com", PlatformRole::Operator).await));
    let owners = async || {
        let members = olga.send(Method::GET, "/v1/tenants/acme/members", &[], "").await.json();
        let members = members["items"].as_array().unwrap().clone();
        let is_owner = |email: &str| members.iter().any(|of| of["email"] == email && of["role"] == "owner");
        let bob = members.iter().find(|of| of["email"] == "bob@example.com").unwrap()["id"].clone();
        (bob, is_owner("ada@example.com"), is_owner("bob@example.com"))
    };
    let (bob, ..) = owners().await;
    let heir = json!({"member": bob}).to_string();
    let path = "/v1/tenants/acme/transfer-ownership";
    let given = olga.send(Method::GET, "/v1/operator/tenants/acme/impersonate", &[], "").await.json();
    let impersonator = house.client(given["access_token"].as_str());
    assert_eq!(impersonator.post_json(path, heir.clone()).await.status, 403);
    assert_eq!(owners().await, (bob.clone(), true, false));
    let reply = olga.post_json(path, heir).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(owners().await, (bob, true, true), "the owners that there were stay");
    house.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_find_people_and_do_to_them_what_has_a_reason_and_the_audit_of_all_tenants_says_it() {
    let house = House::fresh().await;
    let ada = house.owner("ada@example.com", "Acme").await;
    house.owner("adam@example.com", "Adam").await;
    let operator = operators(&house, Some(OPERATOR_TOKEN));
    let get = async |path: &str| operator.send(Method::GET, path, &[], "").await.json();
    let first = get("/v1/operator/people?q=ADA&limit=1").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = get(&format!("/v1/operator/people?q=ada&limit=1&cursor={cursor}")).await;
    assert!(second["next_cursor"].is_null(), "{second}");
    let mut found: Vec<Value> = [first, second].map(|page| page["items"][0]["email"].clone()).to_vec();
    found.sort_by_key(ToString::to_string);
    assert_eq!(found, [json!("ada@example.com"), json!("adam@example.com")]);
    assert_eq!(get("/v1/operator/people?q=%25").await["items"], json!([]));
    let shown = get("/v1/operator/people/ada@example.com").await;
    assert_eq!((&shown["tenants"][0]["slug"], &shown["has_second_factor"]), (&json!("acme"), &json!(false)));
    let id = shown["id"].as_str().unwrap();

    let act = async |what: &str, body: Value| {
        operator.post_json(&format!("/v1/operator/people/{id}/{what}"), body.to_string()).await
    };
    assert_eq!(act("disable", json!({})).await.code(), "invalid_argument");
    assert_eq!(act("disable", json!({"reason": " "})).await.code(), "invalid_argument");
    assert_eq!(act("remove-second-factor", json!({"reason": "lost"})).await.code(), "invalid_argument");
    let me = async || house.client(Some(&ada)).send(Method::GET, "/v1/me", &[], "").await.status;
    assert_eq!(me().await, 200);
    assert_eq!(act("disable", json!({"reason": "left"})).await.status, 200);
    assert_eq!(me().await, 401);
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(house.post("/v1/auth/login", body.clone()).await.status, 401);
    assert_eq!(act("enable", json!({"reason": "is back"})).await.status, 200);
    assert_eq!(house.post("/v1/auth/login", body).await.status, 200);
    assert_eq!(act("end-sessions", json!({"reason": "asked for it"})).await.status, 200);

    let audit = get("/v1/operator/audit?action=person.*&actor=operator").await;
    let actions: Vec<&str> =
        audit["items"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["person.end_sessions", "person.enable", "person.disable"], "{audit}");
    assert!(audit["items"][2]["after"].as_str().unwrap().contains("left"), "{audit}");
    let acme = get("/v1/operator/audit?tenant=acme&limit=1").await;
    assert!(acme["items"][0]["tenant"].as_str().unwrap().starts_with("ten_"), "{acme}");
    let mut all = Vec::new();
    let mut path = "/v1/operator/audit?limit=2".to_owned();
    loop {
        let page = get(&path).await;
        all.extend(page["items"].as_array().unwrap().iter().map(|entry| entry["id"].clone()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/operator/audit?limit=2&cursor={next}");
    }
    let written = house.river.stores.postgres_number("SELECT count(*) FROM audit_entry").await;
    let mut distinct = all.clone();
    distinct.sort_by_key(ToString::to_string);
    distinct.dedup();
    assert_eq!((all.len(), distinct.len()), (usize::try_from(written).unwrap(), all.len()));
    house.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_find_tenants_and_freeze_thaw_close_and_limit_them_for_a_reason() {
    let house = House::fresh().await;
    let ada = house.owner("ada@example.com", "Acme Works").await;
    house.owner("zoe@example.com", "Zeta").await;
    let operator = operators(&house, Some(OPERATOR_TOKEN));
    for query in ["acme", "Acme%20W", "ada@", "1"] {
        let page =
            operator.send(Method::GET, &format!("/v1/operator/tenants?q={query}"), &[], "").await.json();
        let slugs: Vec<&Value> = page["items"].as_array().unwrap().iter().map(|item| &item["slug"]).collect();
        assert_eq!(slugs, [&json!("acme-works")], "{query}: {page}");
    }
    let act = async |what: &str, body: Value| {
        operator.post_json(&format!("/v1/operator/tenants/acme-works/{what}"), body.to_string()).await
    };
    let because = || json!({"reason": "an unpaid bill"});
    let owner = house.client(Some(&ada));
    let reads = async || owner.send(Method::GET, "/v1/tenants/me/usage", &[], "").await;
    let writes = async |name: &str| {
        let body = json!({"name": name}).to_string();
        owner.send(Method::POST, "/v1/tenants/me/projects", &[JSON], body).await
    };
    assert_eq!(act("freeze", json!({})).await.code(), "invalid_argument");
    assert_eq!(act("thaw", because()).await.code(), "conflict");
    assert_eq!(act("freeze", because()).await.json()["status"], "frozen");
    assert_eq!((reads().await.status, writes("a").await.code().as_str()), (200, "tenant_frozen"));
    assert_eq!(act("thaw", because()).await.json()["status"], "active");
    assert_eq!(writes("b").await.status, 201);
    assert_eq!(act("close", because()).await.json()["status"], "closed");
    assert_eq!((reads().await.status, writes("c").await.status), (403, 403));
    assert_eq!(act("reopen", because()).await.json()["status"], "active");
    let audit = "/v1/operator/audit?tenant=acme-works&action=tenant.freeze";
    let audit = operator.send(Method::GET, audit, &[], "").await.json();
    assert!(audit["items"][0]["after"].as_str().unwrap().contains("an unpaid bill"), "{audit}");

    let put = async |what: &str, body: &'static str| {
        operator.send(Method::PUT, &format!("/v1/operator/tenants/acme-works/{what}"), &[JSON], body).await
    };
    assert_eq!(put("limits", r#"{"quota":5}"#).await.code(), "invalid_argument", "both are named");
    let limited = put("limits", r#"{"quota":5,"rate":null}"#).await.json();
    assert_eq!((&limited["quota"], &limited["own_rate"]), (&json!(5), &json!(false)), "{limited}");
    assert_eq!(put("plan", r#"{"plan":"unlimited"}"#).await.json()["plan"], "unlimited");
    assert_eq!(put("plan", r#"{"plan":"none"}"#).await.code(), "not_found");
    house.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_which_store_is_away_while_it_is() {
    let mut stores = Stores::fresh().await;
    let (proxy, url) = Proxy::to_postgres(&stores.database_url).await;
    stores.database_url = url;
    let local = LocalConfig::new(stores.folder.path().join("log"), 1);
    let log = Arc::new(LocalLog::open(local).unwrap());
    let river = River::start_on(stores, log, RiverConfig::default()).await;
    let up = async || {
        let reply = river.operator().send(Method::GET, "/v1/operator/status", &[], "").await;
        let status = reply.json();
        assert_eq!((reply.status, &status["stores"][1]["is_up"]), (200, &json!(true)), "{status}");
        assert_eq!(status["listeners"]["operators"], river.operators.to_string());
        (status["stores"][0]["is_up"] == true, status["stores"][0]["problem"].clone())
    };
    assert_eq!(up().await, (true, Value::Null));
    proxy.cut();
    let (is_up, problem) = up().await;
    assert!(!is_up && problem.as_str().unwrap().starts_with("Postgres failed"), "{problem}");
    proxy.mend();
    eventually("Postgres is back", Duration::from_secs(10), async || up().await.0).await;
    river.stop().await;
}
