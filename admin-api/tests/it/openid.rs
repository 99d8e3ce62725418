//! Signing in through an OpenID provider: a certified one, in a process of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use accounts::Proof;
use hyper::Method;
use serde_json::{Value, json};
use service::clock::Clock;
use service::config::Secret;
use testkit::stores::optional;
use testkit::{Client, Reply, app_code};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::house::{House, PASSWORD, PUBLIC_URL};

/// The provider's process ends with its standard input.
struct Provider {
    issuer: String,
    _process: Child,
    /// It goes on to print, and would end if nobody could read that.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Provider {
    /// `None` where it can't be had.
    async fn start() -> Option<Self> {
        let folder = optional("WEIR_TEST_OPENID")?;
        // What the API says of a failed sign-in is shown where a test fails.
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let mut process = Command::new("node")
            .arg(Path::new(&folder).join("provider.js"))
            .args(["weir", "a secret: with + odd / letters"])
            .args(["sso", "strong"].map(|name| format!("{PUBLIC_URL}/v1/auth/oidc/{name}/callback")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if line.starts_with("http") {
                return Some(Self { issuer: line, _process: process, _output: lines });
            }
        }
    }

    /// Who signs in there from now on.
    async fn be(&self, account: Value) {
        let address = self.issuer.strip_prefix("http://").unwrap().parse().unwrap();
        let reply = Client::new(address, None).post_json("/account", account.to_string()).await;
        assert_eq!(reply.status, 204);
    }

    async fn house(&self) -> House {
        let mut settings = Vec::new();
        for name in ["SSO", "STRONG"] {
            settings.push((format!("WEIR_OIDC_{name}_ISSUER"), self.issuer.clone()));
            settings.push((format!("WEIR_OIDC_{name}_CLIENT_ID"), "weir".to_owned()));
            let secret = "a secret: with + odd / letters".to_owned();
            settings.push((format!("WEIR_OIDC_{name}_CLIENT_SECRET"), secret));
        }
        settings.push(("WEIR_OIDC_STRONG_REPLACES_SECOND_FACTOR".to_owned(), "true".to_owned()));
        let pairs: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        House::with(&pairs).await
    }
}

/// A browser, which keeps cookies by host.
#[derive(Default)]
struct Browser(BTreeMap<(String, String), String>);

impl Browser {
    async fn get(&mut self, house: &House, url: &str) -> Reply {
        let (_, rest) = url.split_once("://").unwrap();
        let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
        let address = if url.starts_with(PUBLIC_URL) { house.address } else { host.parse().unwrap() };
        let ours = self.0.iter().filter(|((of, _), _)| of == host);
        let cookies: Vec<String> = ours.map(|((_, name), value)| format!("{name}={value}")).collect();
        let headers = [("cookie", cookies.join("; ")), ("host", host.to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let reply = Client::new(address, None).send(Method::GET, &format!("/{path}"), &headers, "").await;
        for cookie in reply.headers.get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.0.insert((host.to_owned(), name.to_owned()), value.to_owned());
        }
        reply
    }

    /// Goes through the provider and gives the URL on our side to which it sent the browser.
    async fn reach_callback(&mut self, house: &House, name: &str) -> String {
        let mut url = format!("{PUBLIC_URL}/v1/auth/oidc/{name}");
        for _ in 0..10 {
            let reply = self.get(house, &url).await;
            let next = location(&reply);
            url = if next.starts_with('/') {
                let (scheme, rest) = url.split_once("://").unwrap();
                format!("{scheme}://{}{next}", rest.split('/').next().unwrap())
            } else {
                next
            };
            if url.starts_with(PUBLIC_URL) {
                return url;
            }
        }
        panic!("the provider does not lead back");
    }

    /// The page of ours on which it ends.
    async fn sign_in(&mut self, house: &House, name: &str) -> String {
        let url = self.reach_callback(house, name).await;
        location(&self.get(house, &url).await)
    }

    /// What the console asks first: who it is, by the cookie of the session.
    async fn me(&self, house: &House) -> Value {
        let host = "weir.example".to_owned();
        let cookie = format!("__Host-weir_refresh={}", self.0[&(host, "__Host-weir_refresh".to_owned())]);
        let client = house.client(None);
        let reply = client.send(Method::POST, "/v1/auth/refresh", &[("cookie", &cookie)], "").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let access = reply.json()["access_token"].as_str().unwrap().to_owned();
        house.client(Some(&access)).send(Method::GET, "/v1/me", &[], "").await.json()
    }
}

fn location(reply: &Reply) -> String {
    assert_eq!(reply.status, 303, "{reply:?}");
    reply.headers["location"].to_str().unwrap().to_owned()
}

/// What stands behind `#` under that name.
fn part(page: &str, name: &str) -> String {
    let (_, value) = page.split_once(&format!("#{name}=")).unwrap_or_else(|| panic!("{page}"));
    value.to_owned()
}

fn account(subject: &str, email: &str, verified: bool) -> Value {
    json!({"sub": subject, "email": email, "email_verified": verified, "name": "Ada Lovelace"})
}

#[tokio::test]
async fn a_new_person_comes_through_a_provider_and_comes_back_as_the_same() {
    let Some(provider) = Provider::start().await else { return };
    let house = provider.house().await;
    provider.be(account("1", "Ada@Example.com", true)).await;
    let mut browser = Browser::default();
    assert_eq!(browser.sign_in(&house, "sso").await, format!("{PUBLIC_URL}/"));
    let me = browser.me(&house).await;
    assert_eq!((me["email"].as_str(), me["name"].as_str()), (Some("ada@example.com"), Some("Ada Lovelace")));
    assert_eq!((me["tenant"]["role"].as_str(), me["has_password"].as_bool()), (Some("owner"), Some(false)));
    // Whatever address the provider says later: the subject is the same.
    provider.be(account("1", "countess@example.com", false)).await;
    let mut other = Browser::default();
    assert_eq!(other.sign_in(&house, "sso").await, format!("{PUBLIC_URL}/"));
    assert_eq!(other.me(&house).await["id"], me["id"]);
    let login = json!({"email": "ada@example.com", "password": ""});
    assert_eq!(house.post("/v1/auth/login", login).await.status, 401, "no password is no empty password");
    house.stop().await;
}

#[tokio::test]
async fn an_account_with_a_password_is_joined_by_who_shows_it() {
    let Some(provider) = Provider::start().await else { return };
    let house = provider.house().await;
    let ada = house.person("ada@example.com").await;
    provider.be(account("evil", "ada@example.com", true)).await;
    let mut browser = Browser::default();
    let link = part(&browser.sign_in(&house, "sso").await, "link");
    assert!(!browser.0.keys().any(|(_, name)| name.contains("refresh")), "nobody is let in yet");
    let join = async |password: &str| {
        house.post("/v1/auth/oidc/link", json!({"link": link, "password": password})).await
    };
    assert_eq!(join("wrong-wrong-wrong").await.status, 401);
    let joined = join(PASSWORD).await;
    assert_eq!(
        (joined.status, joined.json()["person"]["id"].as_str()),
        (200, Some(ada.to_string().as_str()))
    );
    assert_eq!(join(PASSWORD).await.status, 401, "the link was used");
    assert_eq!(browser.sign_in(&house, "sso").await, format!("{PUBLIC_URL}/"));
    assert_eq!(browser.me(&house).await["id"], ada.to_string());
    house.stop().await;
}

#[tokio::test]
async fn an_address_that_the_provider_has_not_verified_is_nobodys() {
    let Some(provider) = Provider::start().await else { return };
    let house = provider.house().await;
    house.person("ada@example.com").await;
    for account in
        [account("1", "ada@example.com", false), account("2", "new@example.com", false), json!({"sub": "3"})]
    {
        provider.be(account).await;
        let page = Browser::default().sign_in(&house, "sso").await;
        assert_eq!(part(&page, "error"), "address_not_verified");
    }
    let people: i64 =
        sqlx::query_scalar("SELECT count(*) FROM person").fetch_one(&house.database.pool).await.unwrap();
    assert_eq!(people, 1);
    house.stop().await;
}

#[tokio::test]
async fn a_code_is_good_once_in_the_browser_that_asked_for_it() {
    let Some(provider) = Provider::start().await else { return };
    let house = provider.house().await;
    provider.be(account("1", "ada@example.com", true)).await;
    let (mut ada, mut eve) = (Browser::default(), Browser::default());
    let url = ada.reach_callback(&house, "sso").await;
    // Eve has a sign-in of her own under way, or none.
    let error = |page: String| part(&page, "error");
    assert_eq!(error(location(&Browser::default().get(&house, &url).await)), "expired");
    eve.get(&house, &format!("{PUBLIC_URL}/v1/auth/oidc/sso")).await;
    assert_eq!(error(location(&eve.get(&house, &url).await)), "expired");
    // Another provider's callback, another code, another issuer.
    let mut again = Browser(ada.0.clone());
    assert_eq!(error(location(&again.get(&house, &url.replace("/sso/", "/strong/")).await)), "expired");
    let mut again = Browser(ada.0.clone());
    let forged = url.replace("code=", "code=x");
    assert_eq!(error(location(&again.get(&house, &forged).await)), "refused");
    let mut again = Browser(ada.0.clone());
    let elsewhere = url.replace("iss=http", "iss=https");
    assert_eq!(error(location(&again.get(&house, &elsewhere).await)), "expired");
    let mut replayed = Browser(ada.0.clone());
    assert_eq!(location(&ada.get(&house, &url).await), format!("{PUBLIC_URL}/"));
    assert_eq!(error(location(&replayed.get(&house, &url).await)), "refused", "the code was used");
    assert_eq!(house.client(None).send(Method::GET, "/v1/auth/oidc/none", &[], "").await.status, 404);
    house.stop().await;
}

/// What an app shows now.
fn app(secret: &str) -> String {
    app_code(secret, Clock::system().now_micros() / 1_000_000)
}

#[tokio::test]
async fn a_second_factor_is_asked_for_unless_the_provider_is_trusted_to_ask() {
    let Some(provider) = Provider::start().await else { return };
    let house = provider.house().await;
    let ada = house.person("ada@example.com").await;
    provider.be(account("1", "ada@example.com", true)).await;
    let link = part(&Browser::default().sign_in(&house, "sso").await, "link");
    let joined = house.post("/v1/auth/oidc/link", json!({"link": link, "password": PASSWORD})).await;
    assert_eq!(joined.status, 200);
    let (proof, from) = (Proof::Password(Secret::from(PASSWORD)), accounts::Client::default());
    let proposed = house.auth.propose_totp(ada, proof, &from).await.unwrap();
    let codes = house.auth.confirm_totp(ada, &app(&proposed.secret), &from).await.unwrap();
    let page = Browser::default().sign_in(&house, "sso").await;
    let challenge =
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, part(&page, "challenge"));
    let challenge: Value = serde_json::from_slice(&challenge.unwrap()).unwrap();
    assert_eq!(challenge["methods"], json!(["totp", "recovery_code"]));
    let shown = json!({"challenge": challenge["challenge"], "code": codes.recovery_codes[0]});
    assert_eq!(house.post("/v1/auth/login/recovery-code", shown).await.status, 200);
    assert_eq!(Browser::default().sign_in(&house, "strong").await, format!("{PUBLIC_URL}/"));
    house.stop().await;
}
