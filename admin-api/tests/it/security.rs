//! What hostile pages and clients try, and what must never be printed.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use accounts::Client as Sender;
use hyper::Method;
use serde_json::{Value, json};
use testkit::{KeyKind, Reply, SoftAuthenticator};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::house::{House, KEY, OPERATOR_TOKEN, PASSWORD};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn login(house: &House, email: &str, password: &str) -> Reply {
    house.post("/v1/auth/login", json!({"email": email, "password": password})).await
}

fn text(reply: &Reply, member: &str) -> String {
    let value = &reply.json()[member];
    value.as_str().unwrap_or_else(|| panic!("{member} in {reply:?}")).to_owned()
}

/// More than the pool has connections.
const SLOW_SENDERS: usize = 12;

#[tokio::test]
async fn bodies_that_do_not_arrive_keep_nobody_else_from_the_database() {
    let house = House::with(&[]).await;
    house.person("ada@example.com").await;
    let token = text(&login(&house, "ada@example.com", PASSWORD).await, "access_token");
    for (target, token) in [
        (house.address, token.as_str()),
        (house.operators, token.as_str()),
        (house.operators, OPERATOR_TOKEN),
    ] {
        for key in ["", "Idempotency-Key: k\r\n"] {
            let mut slow = Vec::new();
            for _ in 0..SLOW_SENDERS {
                let mut stream = TcpStream::connect(target).await.unwrap();
                let head = format!(
                    "POST /v1/tenants/acme/projects HTTP/1.1\r\nHost: weir\r\nAuthorization: Bearer {token}\r\n\
                     Content-Type: application/json\r\nContent-Length: 100\r\n{key}\r\n{{"
                );
                stream.write_all(head.as_bytes()).await.unwrap();
                slow.push(stream);
            }
            // Nothing says that all of them are being waited for.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let owner =
                house.client(Some(&text(&login(&house, "ada@example.com", PASSWORD).await, "access_token")));
            let begun = Instant::now();
            let reply = owner.send(Method::GET, "/v1/tenants/me", &[], "").await;
            assert!(reply.status == 200 && begun.elapsed() < Duration::from_secs(2), "{key}: {reply:?}");
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn no_page_of_another_site_signs_anybody_in_or_out() {
    let house = House::with(&[]).await;
    house.person("ada@example.com").await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD}).to_string();
    for path in ["/v1/auth/login", "/v1/auth/refresh", "/v1/auth/oidc/link", "/v1/auth/reset-password"] {
        for hostile in [
            ("origin", "https://evil.example"),
            ("origin", "https://weir.example.evil.example"),
            ("origin", "null"),
            ("origin", "weir.example"),
            ("origin", "http://weir.example"),
            ("origin", "https://weir.example:8443"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let headers = [JSON, ("host", "weir.example"), hostile];
            let reply = house.client(None).send(Method::POST, path, &headers, body.clone()).await;
            assert_eq!(reply.code(), "forbidden", "{path} {hostile:?}");
        }
    }
    // What a page may send without asking the browser first is no JSON.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let headers = [("content-type", kind)];
        let reply = house.client(None).send(Method::POST, "/v1/auth/login", &headers, body.clone()).await;
        assert!((400..500).contains(&reply.status) && reply.status != 401, "{kind}: {reply:?}");
        assert!(reply.headers.get("set-cookie").is_none(), "{kind}");
    }
    let ours = [
        JSON,
        ("host", "weir.example"),
        ("origin", "https://weir.example"),
        ("sec-fetch-site", "same-origin"),
    ];
    let login = async |headers: &[(&str, &str)]| {
        house.client(None).send(Method::POST, "/v1/auth/login", headers, body.clone()).await.status
    };
    assert_eq!(login(&ours).await, 200);
    // Whatever a proxy makes of the host: pages are those of the public URL.
    let behind_proxy = [JSON, ("host", "10.0.0.7:7401"), ("origin", "https://weir.example")];
    assert_eq!(login(&behind_proxy).await, 200);
    let of_another = [JSON, ("host", "evil.example"), ("origin", "https://evil.example")];
    assert_eq!(login(&of_another).await, 403);
    // The operators' pages are of the host that they call.
    let operators = testkit::Client::new(house.operators, None);
    for (origin, status) in [("http://ops.internal", 401), ("http://evil.example", 403)] {
        let headers = [JSON, ("host", "ops.internal"), ("origin", origin)];
        let reply = operators.send(Method::POST, "/v1/auth/login", &headers, body.clone()).await;
        assert_eq!(reply.status, status, "{origin}");
    }
    house.stop().await;
}

#[tokio::test]
async fn nobody_sets_what_is_not_theirs_to_set() {
    let house = House::with(&[]).await;
    house.person("ada@example.com").await;
    let access = text(&login(&house, "ada@example.com", PASSWORD).await, "access_token");
    let client = house.client(Some(&access));
    for (method, path, body) in [
        (Method::PATCH, "/v1/me", json!({"name": "Ada", "email": "eve@example.com"})),
        (Method::PATCH, "/v1/me", json!({"name": "Ada", "id": "usr_0000000000000000000000"})),
        (Method::PATCH, "/v1/me/notifications", json!({"security": false})),
        (Method::POST, "/v1/me/email", json!({"email": "a@b.co", "password": PASSWORD, "verified": true})),
        (Method::POST, "/v1/auth/switch", json!({"tenant": "acme", "role": "owner"})),
        (
            Method::POST,
            "/v1/me/passkeys",
            json!({"password": PASSWORD, "person": "usr_0000000000000000000000"}),
        ),
        (
            Method::POST,
            "/v1/tenants/me/invitations",
            json!({"email": "a@b.co", "role": "viewer", "tenant_id": 1}),
        ),
        (Method::POST, "/v1/tenants/me/invitations", json!({"email": "a@b.co", "role": "owner"})),
    ] {
        let reply = client.send(method, path, &[JSON], body.to_string()).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_argument"), "{path} {body}");
    }
    let register =
        json!({"email": "x@y.co", "password": PASSWORD, "name": "X", "tenant_name": "X", "role": "owner"});
    assert_eq!(house.post("/v1/auth/register", register).await.code(), "invalid_argument");
    house.stop().await;
}

#[tokio::test]
async fn a_link_depends_on_no_host_that_a_request_names() {
    let house = House::with(&[]).await;
    house.person("ada@example.com").await;
    for header in ["host", "x-forwarded-host", "forwarded", "x-original-url"] {
        let body = json!({"email": "ada@example.com"}).to_string();
        let headers = [JSON, (header, "evil.example")];
        let reply = house.client(None).send(Method::POST, "/v1/auth/forgot-password", &headers, body).await;
        assert_eq!(reply.status, 202, "{header}");
        let begun = house.client(None).send(Method::GET, "/v1/me", &[(header, "evil.example")], "").await;
        assert!(!format!("{begun:?}").contains("evil.example"), "{header}");
    }
    let mails = house.auth.unsent_mails(100).await.unwrap();
    assert!(mails.len() >= 5 && !format!("{mails:?}").contains("evil.example"));
    house.stop().await;
}

/// All lines of the log, at its most talkative.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is secret, and every reply that was given.
struct Canaries {
    house: House,
    secrets: Vec<(&'static str, String)>,
    replies: Vec<String>,
}

impl Canaries {
    async fn call(&mut self, bearer: Option<&str>, method: Method, path: &str, body: Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.house.client(bearer).send(method, path, &[JSON], body).await;
        assert!(reply.status < 400, "{path} {reply:?}");
        self.replies.push(format!("{path} {:?} {}", reply.headers, String::from_utf8_lossy(&reply.body)));
        reply
    }

    async fn post(&mut self, bearer: Option<&str>, path: &str, body: Value) -> Reply {
        self.call(bearer, Method::POST, path, body).await
    }

    fn note(&mut self, what: &'static str, secret: impl Into<String>) {
        self.secrets.push((what, secret.into()));
    }

    fn note_cookies(&mut self, reply: &Reply) {
        for cookie in reply.headers.get_all("set-cookie") {
            let (_, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            if !value.is_empty() {
                self.note("a cookie", value);
            }
        }
    }
}

/// Somebody who does everything that has to do with secrets.
async fn live(canaries: &mut Canaries) {
    canaries.house.person("ada@example.com").await;
    let signed_in = canaries
        .post(None, "/v1/auth/login", json!({"email": "ada@example.com", "password": PASSWORD}))
        .await;
    canaries.note_cookies(&signed_in);
    let access = text(&signed_in, "access_token");
    canaries.note("an access token", &access);
    let me = Some(access.as_str());
    let key = canaries.post(me, "/v1/tenants/me/keys", json!({})).await;
    canaries.note("an API key", text(&key, "key"));
    let token = json!({"name": "ci", "permissions": ["audit.read"], "expires_at": "2027-06-01T00:00:00Z"});
    let token = canaries.post(me, "/v1/tenants/me/tokens", token).await;
    canaries.note("a machine token", text(&token, "secret"));
    canaries
        .post(me, "/v1/tenants/me/invitations", json!({"email": "bob@example.com", "role": "viewer"}))
        .await;
    canaries.post(me, "/v1/me/email", json!({"email": "new@example.com", "password": PASSWORD})).await;
    let totp = canaries.post(me, "/v1/me/totp", json!({"password": PASSWORD})).await;
    canaries.note("a TOTP secret", text(&totp, "secret"));
    let begun = canaries.post(me, "/v1/me/passkeys", json!({"password": PASSWORD})).await;
    canaries.note("a passkey's challenge", text(&begun, "challenge"));
    let mut authenticator = SoftAuthenticator::new(KeyKind::Ed25519, "https://weir.example", "weir.example");
    let credential = authenticator.make(&begun.json()["options"]);
    let made = json!({"challenge": text(&begun, "challenge"), "name": "key", "credential": credential});
    let added = canaries.post(me, "/v1/me/passkeys/confirm", made).await;
    for code in added.json()["recovery_codes"].as_array().unwrap() {
        canaries.note("a recovery code", code.as_str().unwrap());
    }
    canaries.post(None, "/v1/auth/forgot-password", json!({"email": "ada@example.com"})).await;
    let links = canaries.house.auth.unsent_mails(100).await.unwrap();
    for link in links.iter().filter_map(|mail| mail.token.as_ref()) {
        canaries.note("a link", link.expose());
    }
    let reset = links.iter().rfind(|mail| mail.kind == "reset_password").unwrap();
    let new = json!({"token": reset.token.as_ref().unwrap().expose(), "password": NEW_PASSWORD});
    canaries.post(None, "/v1/auth/reset-password", new).await;
    let machine = canaries.secrets.iter().find(|(what, _)| *what == "a machine token").unwrap().1.clone();
    canaries.call(Some(&machine), Method::GET, "/v1/tenants/me/audit/export", Value::Null).await;
    canaries.call(Some(&machine), Method::GET, "/v1/tenants/me/audit?limit=200", Value::Null).await;
    // Wrong ones are secrets, too: they may be right elsewhere.
    login(&canaries.house, "ada@example.com", WRONG_PASSWORD).await;
    canaries.house.client(Some(WRONG_TOKEN)).send(Method::GET, "/v1/me", &[], "").await;
    let refused = canaries.house.auth.refresh(WRONG_TOKEN, &Sender::default()).await;
    assert!(refused.is_err());
}

const NEW_PASSWORD: &str = "velvet-quartz-74-lamp";
const WRONG_PASSWORD: &str = "brandy-ladder-29-moss";
const WRONG_TOKEN: &str = "wr_canary0123456789abcdef";
const CLIENT_SECRET: &str = "canary-of-a-client-secret";

/// On one thread, so that everything that the process does is in this log.
#[tokio::test(flavor = "current_thread")]
async fn no_secret_is_printed_stored_or_shown_again() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::NEW)
        .with_writer(move || writer.clone())
        .finish();
    // While there is one subscriber, a line that another test's thread comes to first is asked for there, where nobody
    // listens, and is off for all threads from then on. With two, both are asked.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    let house = House::with(&[
        ("WEIR_OIDC_SSO_ISSUER", "https://sso.invalid"),
        ("WEIR_OIDC_SSO_CLIENT_ID", "weir"),
        ("WEIR_OIDC_SSO_CLIENT_SECRET", CLIENT_SECRET),
    ])
    .await;
    let mut canaries = Canaries { house, secrets: Vec::new(), replies: Vec::new() };
    for (what, secret) in [
        ("a password", PASSWORD),
        ("another password", NEW_PASSWORD),
        ("a wrong password", WRONG_PASSWORD),
        ("a wrong token", WRONG_TOKEN),
        ("the accounts key", KEY),
        ("the operator's token", OPERATOR_TOKEN),
        ("a client secret", CLIENT_SECRET),
    ] {
        canaries.note(what, secret);
    }
    live(&mut canaries).await;
    let Canaries { house, secrets, replies } = canaries;
    let dump = house.database.dump().await;
    assert!(dump.contains("ada@example.com") && dump.contains("audit.export"), "the dump holds the rows");
    let printed = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        printed.contains("/v1/auth/login"),
        "the log holds the requests: {}",
        &printed[..printed.len().min(2000)]
    );
    assert!(secrets.len() > 25, "{}", secrets.len());
    for (what, secret) in &secrets {
        // A prefix and an id may stand anywhere: look for what is secret of it.
        let tail = &secret[secret.len().saturating_sub(16)..];
        let hex: String = tail.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!printed.contains(tail), "{what} is in the log");
        assert!(!dump.contains(tail) && !dump.contains(&hex), "{what} is in the database");
        let shown = replies.iter().filter(|reply| reply.contains(tail)).count();
        // A secret is shown once, by the reply that makes it.
        assert!(shown <= 1, "{what} is shown by {shown} replies");
        assert!(shown == 0 || !what.contains("password") && *what != "a link", "{what} is shown");
    }
    house.stop().await;
}
