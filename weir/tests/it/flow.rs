//! A person's whole way, over HTTP and by mail: from registering to an audit that says all of it.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use service::clock::Clock;
use testkit::{Catcher, Client, Reply, app_code, eventually};

use crate::process::{Place, Process};

const PASSWORD: &str = "kettle-orbit-mango";
const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
/// What is not bound to be quick: mails, metering.
const WAIT: Duration = Duration::from_secs(60);
/// What is: keys and sessions that were ended.
const SECOND: Duration = Duration::from_secs(1);

struct Person(Client);

impl Person {
    fn of(process: &Process, bearer: Option<&str>) -> Self {
        Self(Client::new(process.admin_address(), bearer))
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Reply {
        let json = [("content-type", "application/json")];
        self.0.send(method, path, &json, if body.is_null() { String::new() } else { body.to_string() }).await
    }

    /// Must be done. What the reply shows.
    async fn done(&self, method: Method, path: &str, body: Value) -> Value {
        let reply = self.send(method, path, &body).await;
        assert!(matches!(reply.status, 200..=204), "{path}: {reply:?}");
        if reply.body.is_empty() { Value::Null } else { reply.json() }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.done(Method::POST, path, body).await
    }

    async fn get(&self, path: &str) -> Value {
        self.done(Method::GET, path, Value::Null).await
    }
}

fn text<'a>(shown: &'a Value, name: &str) -> &'a str {
    shown[name].as_str().unwrap()
}

/// Signs in. The access token, or a challenge.
async fn login(process: &Process, email: &str) -> Value {
    Person::of(process, None).post("/v1/auth/login", json!({"email": email, "password": PASSWORD})).await
}

/// Registers, confirms the address by the link in the mail, and signs in.
async fn registered(process: &Process, catcher: &Catcher) -> Person {
    let nobody = Person::of(process, None);
    let new = json!({"email": ADA, "password": PASSWORD, "name": "Ada", "tenant_name": "Acme"});
    nobody.post("/v1/auth/register", new).await;
    let link = json!({"token": catcher.token(ADA, "Confirm your address").await});
    let early = json!({"email": ADA, "password": PASSWORD});
    assert_eq!(nobody.send(Method::POST, "/v1/auth/login", &early).await.status, 401, "not confirmed yet");
    nobody.post("/v1/auth/verify-email", link.clone()).await;
    assert_eq!(nobody.send(Method::POST, "/v1/auth/verify-email", &link).await.status, 401, "good once");
    Person::of(process, Some(text(&login(process, ADA).await, "access_token")))
}

/// Turns the second factor on, and signs in with it.
async fn with_second_factor(process: &Process, person: Person) -> Person {
    let now = Clock::system().now_micros() / 1_000_000;
    let proposed = person.post("/v1/me/totp", json!({"password": PASSWORD})).await;
    let secret = text(&proposed, "secret");
    let codes = person.post("/v1/me/totp/confirm", json!({"code": app_code(secret, now)})).await;
    assert_eq!(codes["recovery_codes"].as_array().unwrap().len(), 10, "{codes}");
    let challenged = login(process, ADA).await;
    assert!(challenged["access_token"].is_null() && challenged["methods"][0] == "totp", "{challenged}");
    // A code is good once: the next one.
    let shown = json!({"challenge": challenged["challenge"], "code": app_code(secret, now + 30)});
    let signed_in = Person::of(process, None).post("/v1/auth/login/totp", shown).await;
    Person::of(process, Some(text(&signed_in, "access_token")))
}

/// Invites somebody by mail, who accepts and signs in, and gives a role that was made for this.
async fn member(process: &Process, catcher: &Catcher, owner: &Person) -> (Person, String) {
    owner.post("/v1/tenants/me/invitations", json!({"email": BOB, "role": "viewer"})).await;
    let link = catcher.token(BOB, "You are invited to weir").await;
    let new = json!({"invitation": link, "password": PASSWORD, "name": "Bob"});
    Person::of(process, None).post("/v1/auth/register", new).await;
    let bob = Person::of(process, Some(text(&login(process, BOB).await, "access_token")));
    let key = json!({"project": "shop"});
    assert_eq!(bob.send(Method::POST, "/v1/tenants/me/keys", &key).await.status, 403, "a viewer only looks");

    let permissions = json!(["projects.read", "projects.manage", "keys.read", "keys.manage", "usage.read"]);
    let role =
        owner.post("/v1/tenants/me/roles", json!({"name": "keeper", "permissions": permissions})).await;
    let members = owner.get("/v1/tenants/me/members").await;
    let membership = members["items"].as_array().unwrap().iter().find(|of| of["email"] == BOB).unwrap();
    let path = format!("/v1/tenants/me/members/{}", text(membership, "id"));
    owner.done(Method::PATCH, &path, json!({"role": role["id"]})).await;
    (bob, path)
}

/// Asks again and again until it is refused with that status. What is asked for a second from now must not be accepted:
/// how long replies take says nothing.
async fn refused(what: &str, status: u16, ask: impl AsyncFn() -> u16) {
    let since = Instant::now();
    let mut accepted = since;
    eventually(what, WAIT, async || {
        let asked = Instant::now();
        let is_refused = ask().await == status;
        if !is_refused {
            accepted = asked;
        }
        is_refused
    })
    .await;
    assert!(accepted - since < SECOND, "{what}: accepted after {:?}", accepted - since);
}

/// The actions of the tenant's audit, the oldest first, each with who did it.
async fn audit(owner: &Person) -> Vec<(String, String)> {
    let listed = owner.get("/v1/tenants/me/audit?limit=200").await;
    let entries = listed["items"].as_array().unwrap().iter().rev();
    entries.map(|entry| (text(entry, "action").to_owned(), text(entry, "actor").to_owned())).collect()
}

/// A weir that sends mails.
async fn place(catcher: &Catcher) -> Place {
    let mut place = Place::new(None).await;
    place.set("WEIR_ACCOUNTS_KEY", &"5a".repeat(32));
    place.set("WEIR_SMTP_URL", &catcher.url());
    place.set("WEIR_MAIL_FROM", "weir <weir@weir.example>");
    place.run(&["migrate"]).await;
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_registers_works_with_others_and_the_audit_says_all_of_it_in_order() {
    let catcher = Catcher::start().await;
    let place = place(&catcher).await;
    let process = place.start("standalone").await;

    let ada = with_second_factor(&process, registered(&process, &catcher).await).await;
    let (bob, membership) = member(&process, &catcher, &ada).await;
    bob.post("/v1/tenants/me/projects", json!({"name": "shop"})).await;
    let key = bob.post("/v1/tenants/me/keys", json!({"project": "shop"})).await;
    let ingest = process.client(Some(text(&key, "key")));
    eventually("the key is known", WAIT, async || ingest.post_ids(["one"]).await.status == 202).await;
    eventually("the event is metered", WAIT, async || {
        bob.get("/v1/tenants/me/usage").await["stored"] == json!(1)
    })
    .await;

    let path = format!("/v1/tenants/me/keys/{}", text(&key, "id"));
    bob.done(Method::DELETE, &path, Value::Null).await;
    refused("the key", 401, async || ingest.post_ids(["two"]).await.status).await;
    ada.done(Method::DELETE, &membership, Value::Null).await;
    let asked = async || bob.send(Method::GET, "/v1/tenants/me/usage", &Value::Null).await.status;
    refused("the member's session", 401, asked).await;

    let (owner, alone) = (ada.get("/v1/me").await, bob.get("/v1/me").await);
    assert!(alone["tenant"].is_null(), "a person still, of no tenant: {alone}");
    let said = audit(&ada).await;
    let actions: Vec<&str> = said.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ALL_OF_IT, "{said:?}");
    let by = |action: &str| &said.iter().rfind(|(of, _)| of == action).unwrap().1;
    assert_eq!(by("role.create"), text(&owner, "id"));
    assert!(by("key.create") == by("key.revoke") && by("key.create") != by("role.create"), "{said:?}");

    let verified = ada.get("/v1/tenants/me/audit/verify").await;
    assert_eq!((&verified["entries"], &verified["broken"]), (&json!(said.len()), &Value::Null), "{verified}");
    let all = place.run(&["audit", "verify"]).await;
    assert!(
        all.lines().count() > 1 && all.lines().all(|line| line.ends_with("as they were written")),
        "{all}"
    );
    assert!(all.contains(&format!("tenant 1: {} entries", said.len())), "{all}");
    assert!(process.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_and_ends_by_the_command_line_what_people_have() {
    let catcher = Catcher::start().await;
    let place = place(&catcher).await;
    let process = place.start("admin").await;
    let ada = registered(&process, &catcher).await;
    let permissions = json!(["usage.read"]);
    ada.post("/v1/tenants/me/roles", json!({"name": "counter", "permissions": permissions})).await;
    let token = json!({"name": "meter", "permissions": permissions, "expires_at": in_a_month()});
    let token = ada.post("/v1/tenants/me/tokens", token).await;
    ada.post("/v1/tenants/me/invitations", json!({"email": BOB, "role": "viewer"})).await;

    let listed =
        async |noun: &str, of: &str| place.run_json(&[noun, "list", of]).await.as_array().unwrap().clone();
    let id = |of: &Value| text(of, "id").to_owned();
    let members = listed("member", "acme").await;
    assert!(members.len() == 1 && members[0]["email"] == ADA && members[0]["role"] == "owner", "{members:?}");
    let removed = place.command(&["member", "remove", "acme", &id(&members[0])]).output().await.unwrap();
    assert_eq!(removed.status.code(), Some(1), "the last owner stays: {removed:?}");
    let role = listed("role", "acme").await.pop().unwrap();
    assert_eq!((&role["name"], &role["permissions"]), (&json!("counter"), &permissions));
    place.run(&["role", "delete", "acme", &id(&role)]).await;
    assert_eq!(listed("role", "acme").await.len(), 5, "those that every tenant has");
    let invitation = listed("invitation", "acme").await.pop().unwrap();
    place.run(&["invitation", "revoke", "acme", &id(&invitation)]).await;
    assert!(listed("invitation", "acme").await.is_empty());

    let machine = Person::of(&process, Some(text(&token, "secret")));
    machine.get("/v1/tenants/me/usage").await;
    place.run(&["token", "revoke", "acme", &id(&listed("token", "acme").await[0])]).await;
    let usage = async |of: &Person| of.send(Method::GET, "/v1/tenants/me/usage", &Value::Null).await.status;
    refused("the token", 401, async || usage(&machine).await).await;
    let sessions = listed("session", ADA).await;
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    place.run(&["session", "end", ADA, &id(&sessions[0]), "--reason", "a lost laptop"]).await;
    refused("the session", 401, async || usage(&ada).await).await;
    assert!(listed("session", ADA).await.is_empty());

    let said = place.run(&["audit", "list", "acme", "--action", "token.*"]).await;
    assert!(said.lines().count() == 2 && said.contains("operator token.revoke tok_"), "{said}");
    let said = place.run(&["audit", "list", "--action", "person.end_session", "--json"]).await;
    let said: Value = serde_json::from_str(said.trim()).unwrap();
    assert!(said["tenant"].is_null() && text(&said, "after").contains("a lost laptop"), "{said}");
    assert!(process.stop().await.success());
}

/// As RFC 3339 writes it.
fn in_a_month() -> String {
    let micros = Clock::system().now_micros() + 30 * 86_400 * 1_000_000;
    chrono::DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339()
}

/// What the tenant's audit says of it.
const ALL_OF_IT: &[&str] = &[
    "tenant.create",
    "person.join",
    "membership.create",
    "login",
    "login",
    "invitation.create",
    "invitation.accept",
    "person.join",
    "membership.create",
    "login",
    "role.create",
    "membership.change",
    "project.create",
    "key.create",
    "key.revoke",
    "membership.remove",
];
