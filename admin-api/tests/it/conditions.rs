use accounts::{Client as Sender, OpenIdLogin, OpenIdentity};
use admin_api::{Access, Route, routes};
use hyper::Method;
use serde_json::{Value, json};
use service::clock::Clock;
use service::config::Secret;
use testkit::{Client, KeyKind, Reply, River, SoftAuthenticator, app_code};

use crate::house::{House, OPERATOR_TOKEN, PASSWORD, PUBLIC_URL};

const JSON: (&str, &str) = ("content-type", "application/json");

fn tag(reply: &Reply) -> String {
    reply.headers.get("etag").unwrap_or_else(|| panic!("no ETag: {reply:?}")).to_str().unwrap().to_owned()
}

async fn patch(operator: &Client, tag: &str, quota: u32) -> Reply {
    let body = format!(r#"{{"quota":{quota}}}"#);
    operator.send(Method::PATCH, "/v1/operator/tenants/acme", &[JSON, ("if-match", tag)], body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_made_to_what_was_read_and_to_nothing_else() {
    let river = River::start().await;
    river.customer("acme", None).await;
    let operator = river.operator();
    let read = operator.send(Method::GET, "/v1/tenants/acme", &[], "").await;
    let known = [("if-none-match", &*tag(&read))];
    let again = operator.send(Method::GET, "/v1/tenants/acme", &known, "").await;
    assert_eq!((again.status, again.body.len(), tag(&again)), (304, 0, tag(&read)));
    let changed = patch(&operator, &tag(&read), 5).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_ne!(tag(&changed), tag(&read));
    let read_again = operator.send(Method::GET, "/v1/tenants/acme", &known, "").await;
    assert_eq!((read_again.status, tag(&read_again)), (200, tag(&changed)));
    let stale = patch(&operator, &tag(&read), 6).await;
    assert_eq!((stale.status, stale.code().as_str()), (412, "precondition_failed"));
    assert_eq!(stale.json()["errors"][0]["header"], "If-Match");
    assert_eq!(patch(&operator, "*", 7).await.status, 200);
    let without = operator.send(Method::PATCH, "/v1/operator/tenants/acme", &[JSON], r#"{"quota":8}"#).await;
    assert_eq!(without.json()["quota"], 8);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_change_what_they_have_read_one_does() {
    let river = River::start().await;
    river.customer("acme", None).await;
    let operator = river.operator();
    let read = operator.send(Method::GET, "/v1/tenants/acme", &[], "").await;
    let tag = tag(&read);
    let tries = (1..=20).map(|quota| {
        let (operator, tag) = (operator.clone(), tag.clone());
        tokio::spawn(async move { patch(&operator, &tag, quota).await.status })
    });
    let mut statuses = Vec::new();
    for each in tries.collect::<Vec<_>>() {
        statuses.push(each.await.unwrap());
    }
    statuses.sort_unstable();
    let mut expected = vec![412; 20];
    expected[0] = 200;
    assert_eq!(statuses, expected);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_is_deleted_by_its_tag_or_not_at_all() {
    let river = River::start().await;
    river.customer("acme", None).await;
    let operator = river.operator();
    for (list, body, id) in [
        ("keys", r#"{}"#, "id"),
        ("tokens", r#"{"name":"t","permissions":[],"expires_at":"2027-06-01T00:00:00Z"}"#, "id"),
    ] {
        let made = operator.post_json(&format!("/v1/tenants/acme/{list}"), body).await;
        let path = format!("/v1/tenants/acme/{list}/{}", made.json()[id].as_str().unwrap());
        let read = operator.send(Method::GET, &path, &[], "").await;
        assert_eq!((read.status, tag(&read)), (200, tag(&made)), "{list}");
        assert_eq!(made.headers["cache-control"], "no-store");
        let delete =
            async |tag: &str| operator.send(Method::DELETE, &path, &[("if-match", tag)], "").await.status;
        assert_eq!(delete("\"stale\"").await, 412, "{list}");
        assert_eq!(delete(&tag(&read)).await, 204, "{list}");
    }
    let plan = operator.send(
        Method::PUT,
        "/v1/operator/plans/new",
        &[JSON, ("if-match", "*")],
        r#"{"quota":1,"rate":1}"#,
    );
    assert_eq!(plan.await.status, 412, "there is no such plan");
    river.stop().await;
}

/// A path of the table with something in each place.
fn filled(path: &str) -> String {
    path.replace("{tenant}", "acme")
        .replace("{erasure}", "1")
        .replace("{key}", "0000000000")
        .replace("{plan}", "developer")
        .replace("{member}", "mem_0000000000000000000000")
        .replace("{role}", "rol_0000000000000000000000")
        .replace("{token}", "tok_0000000000000000000000")
        .replace("{invitation}", "ivt_0000000000000000000000")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_overlooks_what_its_caller_expects() {
    let river = River::start().await;
    river.customer("acme", None).await;
    let operator = river.operator();
    let bodies =
        ["{}", r#"{"quota":1,"rate":1}"#, r#"{"role":"viewer"}"#, r#"{"name":"n","permissions":[]}"#];
    for Route { method, path, access, .. } in routes() {
        let may_change = matches!(method, Method::PATCH | Method::PUT | Method::DELETE);
        if !may_change || !matches!(access, Access::Tenant(_) | Access::Operator) {
            continue;
        }
        for body in bodies {
            let headers = [JSON, ("if-match", "\"stale\"")];
            let reply = operator.send(method.clone(), &filled(path), &headers, body).await;
            assert!(matches!(reply.status, 400 | 404 | 412), "{method} {path} {body}: {reply:?}");
        }
    }
    river.stop().await;
}

/// Something that can be deleted: who does so, where it is read, where it is deleted, and with which body.
struct Doomed {
    client: Client,
    shown: String,
    path: String,
    body: Value,
}

async fn post(client: &Client, path: &str, body: Value) -> Value {
    let reply = client.post_json(path, body.to_string()).await;
    assert!(matches!(reply.status, 200 | 201), "{path}: {reply:?}");
    reply.json()
}

/// Lets the provider `sso` sign ada in.
async fn link_provider(house: &House) {
    let who = OpenIdentity {
        provider: "sso".to_owned(),
        issuer: "https://sso.example".to_owned(),
        subject: "1".to_owned(),
        verified_email: Some("ada@example.com".to_owned()),
        name: None,
        replaces_second_factor: false,
    };
    let OpenIdLogin::PasswordNeeded(link) = house.auth.login_openid(&who, &Sender::default()).await.unwrap()
    else {
        panic!("the address is ada's")
    };
    house.auth.link_openid(link.expose(), Secret::from(PASSWORD), &Sender::default()).await.unwrap();
}

/// Adds a passkey; its id.
async fn made_passkey(ada: &Client) -> String {
    let begun = post(ada, "/v1/me/passkeys", json!({"password": PASSWORD})).await;
    let credential =
        SoftAuthenticator::new(KeyKind::Ed25519, PUBLIC_URL, "weir.example").make(&begun["options"]);
    let made = json!({"challenge": begun["challenge"], "name": "key", "credential": credential});
    post(ada, "/v1/me/passkeys/confirm", made).await["id"].as_str().unwrap().to_owned()
}

/// Makes what the route of that path deletes. A route that is not here has to be added.
async fn doomed(house: &House, path: &str) -> Doomed {
    let ada = house.client(Some(&house.login("ada@example.com").await));
    let operator = Client::new(house.operators, Some(OPERATOR_TOKEN));
    let again = json!({"password": PASSWORD});
    let of = |client: &Client, path: String, body: Value| Doomed {
        client: client.clone(),
        shown: path.clone(),
        path,
        body,
    };
    let made = async |list: &str, body: Value| {
        let made = post(&ada, &format!("/v1/tenants/me/{list}"), body).await;
        of(&ada, format!("/v1/tenants/me/{list}/{}", made["id"].as_str().unwrap()), Value::Null)
    };
    let first = async |client: &Client, list: &str| {
        let listed = client.send(Method::GET, list, &[], "").await.json();
        listed["items"][0]["id"].as_str().unwrap().to_owned()
    };
    match path {
        "/v1/me/sessions" => of(&ada, path.to_owned(), Value::Null),
        "/v1/me/sessions/{session}" => {
            house.login("ada@example.com").await;
            of(&ada, format!("/v1/me/sessions/{}", first(&ada, "/v1/me/sessions").await), Value::Null)
        }
        "/v1/me/identities/{provider}" => {
            link_provider(house).await;
            let shown = "/v1/me/identities".to_owned();
            Doomed { shown, ..of(&ada, "/v1/me/identities/sso".to_owned(), again) }
        }
        "/v1/me/totp" => {
            let proposed = post(&ada, path, again.clone()).await;
            let now = Clock::system().now_micros() / 1_000_000;
            let code = app_code(proposed["secret"].as_str().unwrap(), now);
            post(&ada, "/v1/me/totp/confirm", json!({"code": code})).await;
            Doomed { shown: "/v1/me".to_owned(), ..of(&ada, path.to_owned(), again) }
        }
        "/v1/me/passkeys/{passkey}" => {
            of(&ada, format!("/v1/me/passkeys/{}", made_passkey(&ada).await), again)
        }
        "/v1/tenants/{tenant}" => of(&ada, "/v1/tenants/me".to_owned(), Value::Null),
        "/v1/tenants/{tenant}/projects/{project}" => made("projects", json!({"name": "doomed"})).await,
        "/v1/tenants/{tenant}/keys/{key}" => made("keys", json!({})).await,
        "/v1/tenants/{tenant}/tokens/{token}" => {
            let expires_at = "2027-06-01T00:00:00Z";
            made("tokens", json!({"name": "t", "permissions": [], "expires_at": expires_at})).await
        }
        "/v1/tenants/{tenant}/roles/{role}" => made("roles", json!({"name": "r", "permissions": []})).await,
        "/v1/tenants/{tenant}/invitations/{invitation}" => {
            made("invitations", json!({"email": "eve@example.com", "role": "viewer"})).await
        }
        "/v1/tenants/{tenant}/members/{member}" => {
            house.joins(&ada, "bob@example.com").await;
            let members = ada.send(Method::GET, "/v1/tenants/me/members", &[], "").await.json();
            let members = members["items"].as_array().unwrap();
            let bob = members.iter().find(|member| member["email"] == "bob@example.com").unwrap();
            of(&ada, format!("/v1/tenants/me/members/{}", bob["id"].as_str().unwrap()), Value::Null)
        }
        "/v1/operator/keys/{key}" => {
            let key = post(&ada, "/v1/tenants/me/keys", json!({})).await["id"].as_str().unwrap().to_owned();
            let shown = format!("/v1/tenants/acme/keys/{key}");
            Doomed { shown, ..of(&operator, format!("/v1/operator/keys/{key}"), Value::Null) }
        }
        "/v1/operator/jobs/{job}" => {
            let job = first(&operator, "/v1/operator/jobs").await;
            of(&operator, format!("/v1/operator/jobs/{job}"), Value::Null)
        }
        path => panic!("DELETE {path} is not tried here"),
    }
}

#[tokio::test]
async fn whatever_can_be_deleted_is_deleted_by_the_tag_with_which_it_is_shown_and_by_no_other() {
    let house = House::with(&[]).await;
    house.person("ada@example.com").await;
    let mut all = routes();
    all.retain(|route| route.method == Method::DELETE);
    // The tenant last: nobody gets into one that is deleted.
    all.sort_by_key(|route| route.path == "/v1/tenants/{tenant}");
    for Route { path, .. } in all {
        let Doomed { client, shown, path: doomed, body } = doomed(&house, path).await;
        let read = client.send(Method::GET, &shown, &[], "").await;
        assert_eq!(read.status, 200, "{path}: {read:?}");
        let delete = async |tag: &str| {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            client.send(Method::DELETE, &doomed, &[JSON, ("if-match", tag)], body).await
        };
        let stale = delete("\"stale\"").await;
        assert_eq!((stale.status, stale.code().as_str()), (412, "precondition_failed"), "{path}");
        assert_eq!(tag(&client.send(Method::GET, &shown, &[], "").await), tag(&read), "{path}");
        let deleted = delete(&tag(&read)).await;
        assert!(matches!(deleted.status, 200 | 204), "{path}: {deleted:?}");
    }
    house.stop().await;
}
