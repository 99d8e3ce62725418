//! Whatever a request holds: what can't be right is 400 and names the place, and nothing makes the server fail.

use std::path::PathBuf;

use admin_api::{Access, Listener, Route, routes};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use serde_json::{Value, json};
use testkit::{Client, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{House, OPERATOR_TOKEN, PASSWORD};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Nothing that is stored can be like these.
fn impossible() -> Vec<String> {
    let mut all = ["%00", "a%00b", "%ff", "%c3%28", "%ed%a0%80"].map(str::to_owned).to_vec();
    all.push("x".repeat(10 * 1024));
    all
}

/// Right for some parameters, and wrong for most.
const ODD: [&str; 16] = [
    "-1",
    "0",
    "99999999999999999999",
    "9223372036854775807",
    "-9223372036854775808",
    "1e308",
    "NaN",
    "-9999-01-01T00:00:00Z",
    "%2B262142-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "2200-01-01T00:00:00Z",
    "null",
    "%5B%5D",
    "%27%3B--",
    "%25",
    "_",
];

/// Somebody who gets through to each route.
struct Callers {
    house: House,
    ada: Client,
    operator: Client,
}

impl Callers {
    async fn fresh() -> Self {
        let house = House::with(&[
            ("WEIR_ADMIN_ADDRESS_RATE", "0"),
            ("WEIR_ADMIN_CALLER_RATE", "0"),
            ("WEIR_SIGN_IN_ADDRESS_RATE", "0"),
        ])
        .await;
        house.person("ada@example.com").await;
        let ada = house.client(Some(&house.login("ada@example.com").await));
        let operator = Client::new(house.operators, Some(OPERATOR_TOKEN));
        Self { house, ada, operator }
    }

    fn of(&self, route: &Route) -> &Client {
        if route.listeners.contains(&Listener::Tenants) { &self.ada } else { &self.operator }
    }

    async fn get(&self, route: &Route, path: &str) -> Reply {
        self.of(route).send(Method::GET, path, &[], "").await
    }
}

/// The path with `value` in the place of each name, except for the tenant's.
fn filled(path: &str, value: &str) -> String {
    let part = |part: &str| match part {
        "{tenant}" => "acme".to_owned(),
        part if part.starts_with('{') => value.to_owned(),
        part => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The names that a route takes: it says so itself, when it is asked for one that it does not take.
fn names(reply: &Reply) -> Vec<String> {
    if reply.status != 400 {
        return Vec::new();
    }
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    let expected = detail.split_once("expected").map(|(_, expected)| expected.to_owned()).unwrap_or_default();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn of_get() -> Vec<Route> {
    let mut all = routes();
    all.retain(|route| route.method == Method::GET);
    all
}

#[tokio::test]
async fn no_parameter_of_any_route_makes_the_server_fail() {
    let callers = Callers::fresh().await;
    let mut tried = 0;
    for route in of_get() {
        let path = filled(route.path, "none");
        let names = names(&callers.get(&route, &format!("{path}?nonesuch=1")).await);
        let ask = async |name: &str, value: &str| {
            let reply = callers.get(&route, &format!("{path}?{name}={value}")).await;
            let blamed = |reply: &Reply| reply.json()["errors"][0]["parameter"].as_str().map(str::to_owned);
            let blamed = (reply.status == 400).then(|| blamed(&reply)).flatten();
            (reply, blamed)
        };
        for name in &names {
            for value in impossible() {
                let (reply, blamed) = ask(name, &value).await;
                assert_eq!((reply.status, blamed.as_ref()), (400, Some(name)), "{path}?{name}={value:.20}");
                tried += 1;
            }
            for value in ODD {
                let (reply, blamed) = ask(name, value).await;
                let is_named = blamed.is_some_and(|blamed| names.contains(&blamed));
                let is_answered =
                    matches!(reply.status, 200 | 303 | 404) || (reply.status == 400 && is_named);
                assert!(is_answered, "{path}?{name}={value}: {reply:?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 1_000, "{tried}: routes say which parameters they take");
    callers.house.stop().await;
}

/// All lists that have pages, as the types of their items say (`accounts::Listed`).
fn lists() -> Vec<String> {
    let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/accounts/src"))];
    let mut lists = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let named =
                text.lines().filter_map(|line| line.trim().strip_prefix("const LIST: &'static str = \""));
            lists.extend(named.filter_map(|rest| rest.strip_suffix("\";")).map(str::to_owned));
        }
    }
    lists
}

#[tokio::test]
async fn no_cursor_that_somebody_makes_up_makes_the_server_fail() {
    let callers = Callers::fresh().await;
    let (id, mut reached) = ("00000000-0000-0000-0000-000000000000", 0);
    let lists = lists();
    assert!(lists.len() > 19, "{lists:?}");
    let mut keys = vec![json!(i64::MAX), json!(i64::MIN), json!("a\0"), json!("x".repeat(5_000))];
    keys.push(json!([u32::MAX, u64::MAX]));
    for at in ["-9999-01-01T00:00:00Z", "+262142-01-01T00:00:00Z"] {
        keys.extend([
            json!([at, id]),
            json!([at, "job_0000000000000000000000"]),
            json!([at, "msg_0000000000000000000000"]),
            json!([at, 1]),
            json!([at, 1, 1]),
        ]);
    }
    for route in of_get() {
        let path = filled(route.path, "none");
        let takes = names(&callers.get(&route, &format!("{path}?nonesuch=1")).await);
        if !takes.contains(&"cursor".to_owned()) {
            continue;
        }
        for list in &lists {
            for key in &keys {
                let cursor = URL_SAFE_NO_PAD.encode(json!([list, key]).to_string());
                let reply = callers.get(&route, &format!("{path}?cursor={cursor}")).await;
                assert!(matches!(reply.status, 200 | 400), "{path} {list} {key:.40}: {reply:?}");
                reached += u32::from(reply.status == 200);
            }
        }
    }
    assert!(reached > 0, "some of them are of the right form");
    callers.house.stop().await;
}

#[tokio::test]
async fn no_name_in_a_path_makes_the_server_fail() {
    let callers = Callers::fresh().await;
    for route in of_get().into_iter().filter(|route| route.path.contains('{')) {
        for value in impossible() {
            let path = filled(route.path, &value).replace("acme", &value);
            let reply = callers.get(&route, &path).await;
            let what = format!("{} {value:.20}", route.path);
            assert!(matches!(reply.status, 400 | 404 | 414 | 431), "{what}: {reply:?}");
            if route.access != Access::Anyone {
                let mine = callers.get(&route, &filled(route.path, &value)).await;
                assert!(mine.status < 500, "{what}: {mine:?}");
            }
        }
    }
    callers.house.stop().await;
}

#[tokio::test]
async fn a_body_is_an_object_whose_texts_can_be_stored() {
    let callers = Callers::fresh().await;
    let bodies = [
        "[]",
        "[[]]",
        r#"["ada@example.com","kettle-orbit-mango"]"#,
        r#"["ada@example.com","kettle-orbit-mango",null,null,null]"#,
        "\"x\"",
        "1",
        "null",
    ];
    for route in routes() {
        let may_change = matches!(route.method, Method::POST | Method::PUT | Method::PATCH);
        let takes_none = ["/v1/auth/logout", "/v1/operator/reconciliation/verify"].contains(&route.path);
        if !may_change || takes_none {
            continue;
        }
        for body in bodies {
            let client = callers.of(&route);
            let path = filled(route.path, "none");
            let reply = client.send(route.method.clone(), &path, &[JSON], body).await;
            assert!((400..500).contains(&reply.status), "{} {path} {body}: {reply:?}", route.method);
        }
    }
    let post = async |path: &str, body: Value| callers.ada.post_json(path, body.to_string()).await;
    for (path, body, pointer) in [
        ("/v1/auth/login", json!({"email": "a\0@b.co", "password": PASSWORD}), "/email"),
        ("/v1/auth/switch", json!({"tenant": "a\0"}), "/tenant"),
        ("/v1/tenants/me/roles", json!({"name": "r", "permissions": ["a\0"]}), "/permissions/0"),
        ("/v1/tenants/me/projects", json!({"name": " \u{200b}"}), "/name"),
        ("/v1/tenants/me/projects", json!({"name": "a\u{202e}b"}), "/name"),
        (
            "/v1/auth/register",
            json!({"email": "e@b.co", "password": "short", "name": "E", "tenant_name": "e"}),
            "/password",
        ),
        (
            "/v1/auth/register",
            json!({"email": "e@b.co", "password": PASSWORD, "name": "E", "tenant_name": " "}),
            "/tenant_name",
        ),
        ("/v1/me/password", json!({"password": PASSWORD, "new_password": "short"}), "/new_password"),
    ] {
        let reply = post(path, body.clone()).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_argument"), "{path} {body}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{path} {body}");
    }
    callers.house.stop().await;
}

#[tokio::test]
async fn headers_are_read_as_their_standards_say() {
    let callers = Callers::fresh().await;
    let (house, nobody) = (&callers.house, callers.house.client(None));
    let token = house.login("ada@example.com").await;
    for (scheme, status) in [("Bearer", 200), ("bearer", 200), ("BEARER ", 200), ("Basic", 401), ("", 401)] {
        let authorization = format!("{scheme} {token}");
        let headers = [("authorization", authorization.as_str())];
        assert_eq!(nobody.send(Method::GET, "/v1/me", &headers, "").await.status, status, "{scheme}");
    }
    let headers = [JSON, ("idempotency-key", "one"), ("idempotency-key", "one")];
    let twice = callers.ada.send(Method::POST, "/v1/tenants/me/projects", &headers, r#"{"name":"p"}"#).await;
    assert_eq!((twice.status, &twice.json()["errors"][0]["header"]), (400, &json!("Idempotency-Key")));
    let latin = [("content-type", "application/json; charset=latin1")];
    let latin = callers.ada.send(Method::POST, "/v1/tenants/me/projects", &latin, r#"{"name":"p"}"#).await;
    assert_eq!((latin.status, latin.code().as_str()), (415, "unsupported_media_type"));
    callers.house.stop().await;
}

#[tokio::test]
async fn a_request_names_one_host_on_each_listener() {
    let callers = Callers::fresh().await;
    for address in [callers.house.address, callers.house.operators] {
        for (version, hosts, status) in [
            ("1.1", "", 400),
            ("1.1", "Host: weir\r\nHost: evil\r\n", 400),
            ("1.1", "Host: user@weir\r\n", 400),
            ("1.1", "Host: weir\r\n", 401),
            ("1.0", "", 401),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET /v1/me HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.unwrap();
            let is_it = reply.starts_with(&format!("HTTP/{version} {status} "));
            assert!(is_it, "{version} {hosts:?}: {reply}");
            let is_problem = reply.contains("x-request-id: ") && reply.contains("application/problem+json");
            assert!(is_problem, "{version} {hosts:?}: {reply}");
        }
    }
    callers.house.stop().await;
}

#[tokio::test]
async fn a_time_in_a_body_has_a_year_of_four_digits() {
    let callers = Callers::fresh().await;
    let far = "+10000-01-01T00:00:00Z";
    let token = json!({"name": "t", "permissions": [], "expires_at": far});
    let letters = json!({"letters": {"from": far}, "reason": "a test"});
    for (client, path, body, pointer) in [
        (&callers.ada, "/v1/tenants/me/keys", json!({"expires_at": far}), "/expires_at"),
        (&callers.ada, "/v1/tenants/me/tokens", token, "/expires_at"),
        (&callers.operator, "/v1/operator/dead-letters/replay", letters, "/letters/from"),
    ] {
        let reply = client.post_json(path, body.to_string()).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_argument"), "{path}: {reply:?}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{path}");
    }
    let last = json!({"expires_at": "9999-12-31T23:59:59Z"}).to_string();
    let made = callers.ada.post_json("/v1/tenants/me/keys", last).await;
    assert_eq!((made.status, &made.json()["expires_at"]), (201, &json!("9999-12-31T23:59:59Z")));
    let path = format!("/v1/tenants/me/keys/{}/rotate", made.json()["id"].as_str().unwrap());
    let rotated = callers.ada.post_json(&path, json!({"overlap_hours": 0}).to_string()).await;
    assert_eq!((rotated.status, &rotated.json()["expires_at"]), (201, &json!("9999-12-31T23:59:59Z")));
    callers.house.stop().await;
}

#[tokio::test]
async fn a_body_is_of_the_type_of_json_and_of_no_other_that_looks_like_it() {
    let callers = Callers::fresh().await;
    for (kind, status) in
        [("application/problem+json", 415), ("application/merge-patch+json", 415), ("application/json", 201)]
    {
        let headers = [("content-type", kind)];
        let path = "/v1/tenants/me/projects";
        let reply = callers.ada.send(Method::POST, path, &headers, r#"{"name":"p"}"#).await;
        assert_eq!(reply.status, status, "{kind}: {reply:?}");
    }
    let too_long = json!({"event_id": "x".repeat(129)}).to_string();
    let refused = callers.ada.post_json("/v1/tenants/me/erasures", too_long).await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (400, &json!("/event_id")));
    callers.house.stop().await;
}

#[tokio::test]
async fn what_a_problem_is_explained_by_stands_on_each_listener() {
    let callers = Callers::fresh().await;
    for client in [&callers.ada, &callers.operator] {
        let refused = client.post_json("/v1/tenants/acme/projects", "{").await;
        let page = refused.json()["type"].as_str().unwrap().to_owned();
        let explained = client.send(Method::GET, &page, &[], "").await;
        assert_eq!(explained.status, 200, "{page}");
        assert!(explained.body.starts_with(b"# invalid_json"), "{explained:?}");
        assert_eq!(client.send(Method::GET, "/errors/none", &[], "").await.code(), "not_found");
    }
    callers.house.stop().await;
}

/// Values of a member that its schema refuses.
fn beyond(schema: &Value) -> Vec<Value> {
    let long = schema["maxLength"].as_u64().map(|most| json!("x".repeat(usize::try_from(most).unwrap() + 1)));
    let short = schema["minLength"].as_u64().map(|_| json!(""));
    let large = schema["maximum"].as_i64().map(|most| json!(most + 1));
    let small = schema["minimum"].as_i64().map(|least| json!(least - 1));
    [long, short, large, small].into_iter().flatten().collect()
}

#[tokio::test]
async fn what_the_document_refuses_is_refused() {
    let callers = Callers::fresh().await;
    let document = admin_api::document::document(None);
    let mut refused = 0;
    for route in routes() {
        let method = route.method.as_str().to_lowercase();
        let content = &document["paths"][route.path][&method]["requestBody"]["content"]["application/json"];
        let name = content["schema"]["$ref"].as_str().unwrap_or_default().rsplit('/').next().unwrap();
        let members = document["components"]["schemas"][name]["properties"].as_object();
        for (member, schema) in members.into_iter().flatten() {
            for value in beyond(schema) {
                let mut body = content["example"].clone();
                // One of these says what is erased.
                if member.ends_with("_id") {
                    body = json!({});
                }
                body[member] = value;
                let (client, path) = (callers.of(&route), filled(route.path, "default"));
                let reply = client.send(route.method.clone(), &path, &[JSON], body.to_string()).await;
                // Who is named in the path may be looked for first.
                assert!(matches!(reply.status, 400 | 404), "{method} {path} {body}: {reply:?}");
                refused += u32::from(reply.status == 400);
            }
        }
    }
    assert!(refused > 40, "{refused}");
    callers.house.stop().await;
}
