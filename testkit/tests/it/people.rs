//! People over HTTP: signing up, cookies, and who may call which route.

use accounts::{AuthParts, Authenticator, Client as Sender, HashCost, Hasher, Random, SealKey};
use admin_api::{Access, Listener, Route, routes};
use hyper::Method;
use schemas::lifecycle::TenantState;
use schemas::permission::{BuiltInRole, Permission};
use service::clock::Clock;
use service::config::Secret;
use service::postgres::Role;
use testkit::river::{OPERATOR_TOKEN, RiverConfig};
use testkit::{Client, Reply, River};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub(crate) const PASSWORD: &str = "kettle-orbit-mango";
pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

pub(crate) struct House {
    pub(crate) river: River,
    /// What reads mails, as the process that sends them will.
    mails: Authenticator,
}

impl House {
    pub(crate) async fn fresh() -> Self {
        let settings = vec![("WEIR_ACCOUNTS_KEY", KEY.to_owned())];
        let river = River::start_with(RiverConfig { settings, ..RiverConfig::default() }).await;
        let mails = Authenticator::new(AuthParts {
            pool: river.stores.pool_of(Role::Api),
            clock: Clock::system(),
            random: Random::system(),
            hasher: Hasher::new(HashCost { memory_kib: 64, passes: 1, lanes: 1 }, 1).unwrap(),
            seal: SealKey::read(&Secret::from(KEY)).unwrap(),
            issuer: String::new(),
        });
        Self { river, mails }
    }

    pub(crate) fn client(&self, bearer: Option<&str>) -> Client {
        Client::new(self.river.admin, bearer)
    }

    pub(crate) async fn post(&self, path: &str, body: serde_json::Value) -> Reply {
        self.client(None).post_json(path, body.to_string()).await
    }

    async fn link_to(&self, email: &str) -> String {
        let mails = self.mails.unsent_mails(1_000).await.unwrap();
        let mail = mails.into_iter().rfind(|mail| mail.recipient == email && mail.token.is_some()).unwrap();
        mail.token.unwrap().expose().to_owned()
    }

    /// Signs somebody up, with a tenant, and in. The access token.
    pub(crate) async fn owner(&self, email: &str, tenant: &str) -> String {
        let new =
            serde_json::json!({"email": email, "password": PASSWORD, "name": "Name", "tenant_name": tenant});
        assert_eq!(self.post("/v1/auth/register", new).await.status, 202);
        let link = serde_json::json!({"token": self.link_to(email).await});
        assert_eq!(self.post("/v1/auth/verify-email", link).await.status, 200);
        self.login(email).await
    }

    async fn login(&self, email: &str) -> String {
        let reply =
            self.post("/v1/auth/login", serde_json::json!({"email": email, "password": PASSWORD})).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// Makes somebody a member of the tenant of `owner`.
    pub(crate) async fn member(&self, owner: &str, email: &str, role: BuiltInRole) -> String {
        let body = serde_json::json!({"email": email, "role": role}).to_string();
        let invited = self.client(Some(owner)).post_json("/v1/tenants/me/invitations", body).await;
        assert_eq!(invited.status, 201, "{invited:?}");
        let token = self.link_to(email).await;
        let new = serde_json::json!({"invitation": token, "password": PASSWORD, "name": "Name"});
        assert_eq!(self.post("/v1/auth/register", new).await.status, 202);
        self.login(email).await
    }
}

fn cookies(reply: &Reply) -> Vec<String> {
    reply.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_up_in_and_out_with_cookies_that_no_page_can_read() {
    let house = House::fresh().await;
    let access = house.owner("ada@example.com", "Acme").await;
    let me = house.client(Some(&access)).send(Method::GET, "/v1/me", &[], "").await;
    assert_eq!(me.json()["email"], "ada@example.com");
    let login = serde_json::json!({"email": "ada@example.com", "password": PASSWORD});
    let reply = house.post("/v1/auth/login", login).await;
    let cookies_set = cookies(&reply);
    assert_eq!(cookies_set.len(), 2, "{cookies_set:?}");
    for cookie in &cookies_set {
        assert!(cookie.starts_with("__Host-weir_"), "{cookie}");
        for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
    }
    assert!(
        !String::from_utf8_lossy(&reply.body).contains("wr_"),
        "the refresh token is in its cookie alone"
    );
    let pair = cookies_set[0].split(';').next().unwrap().to_owned();
    let refresh = async |extra: (&'static str, &'static str)| {
        let headers = [("cookie", pair.as_str()), extra];
        house.client(None).send(Method::POST, "/v1/auth/refresh", &headers, "").await
    };
    assert_eq!(refresh(("sec-fetch-site", "cross-site")).await.code(), "forbidden");
    assert_eq!(refresh(("sec-fetch-site", "same-site")).await.code(), "forbidden");
    assert_eq!(refresh(("origin", "https://evil.example")).await.code(), "forbidden");
    assert_eq!(refresh(("origin", "null")).await.code(), "forbidden");
    let refreshed = refresh(("sec-fetch-site", "same-origin")).await;
    assert_eq!(refreshed.status, 200);
    let access = refreshed.json()["access_token"].as_str().unwrap().to_owned();
    let out = house.client(Some(&access)).send(Method::POST, "/v1/auth/logout", &[], "").await;
    assert!(out.status == 204 && cookies(&out)[0].contains("Max-Age=0"));
    assert_eq!(house.client(Some(&access)).send(Method::GET, "/v1/me", &[], "").await.status, 401);
    house.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sign_in_comes_to_stand_in_the_audit_of_the_tenant() {
    let house = House::fresh().await;
    let ada = house.owner("ada@example.com", "Acme").await;
    let login = serde_json::json!({"email": "ada@example.com", "password": "wrong-wrong-wrong"});
    let refused = house.post("/v1/auth/login", login).await;
    let request = refused.json()["request_id"].clone();
    testkit::eventually("it is noted", std::time::Duration::from_secs(20), async || {
        let path = "/v1/tenants/me/audit?action=login.fail";
        let audit = house.client(Some(&ada)).send(Method::GET, path, &[], "").await.json();
        audit["items"][0]["request_id"] == request
    })
    .await;
    house.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_members_and_those_of_another_kind_are_refused_by_name() {
    let house = House::fresh().await;
    for body in [
        r#"{"email":"a@b.co","password":"x","admin":true}"#,
        r#"{"email":"a@b.co","password":"x","tenant_id":1}"#,
    ] {
        let reply = house.client(None).post_json("/v1/auth/login", body).await;
        assert_eq!(reply.code(), "invalid_argument");
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(text.contains("admin") || text.contains("tenant_id"), "{text}");
    }
    let access = house.owner("ada@example.com", "Acme").await;
    for terms in [r#"{"quota":1000000000}"#, r#"{"plan":"unlimited"}"#, r#"{"status":"active"}"#] {
        let raised = house.client(Some(&access)).send(Method::PATCH, "/v1/tenants/me", &[JSON], terms).await;
        assert_eq!(raised.code(), "invalid_argument", "terms are the operator's");
    }
    house.river.stop().await;
}

/// A path of the table with something in each place.
pub(crate) fn filled(path: &str, tenant: &str) -> String {
    let mut filled = String::new();
    for part in path.split('/').skip(1) {
        filled.push('/');
        filled.push_str(match part {
            "{tenant}" => tenant,
            "{key}" => "0000000000",
            "{member}" => "mem_0000000000000000000000",
            "{role}" => "rol_0000000000000000000000",
            "{token}" => "tok_0000000000000000000000",
            "{invitation}" => "ivt_0000000000000000000000",
            "{session}" => "ses_0000000000000000000000",
            "{passkey}" => "pky_0000000000000000000000",
            "{provider}" => "none",
            "{code}" => "not_found",
            "{erasure}" => "era_0000000000000000000000",
            "{project}" => "prj_0000000000000000000000",
            "{person}" => "usr_0000000000000000000000",
            "{job}" => "job_0000000000000000000000",
            "{mail}" => "msg_0000000000000000000000",
            "{letter}" => "0:0",
            "{verification}" => "vrf_0000000000000000000000",
            part => part,
        });
    }
    filled
}

pub(crate) async fn call(client: &Client, method: &Method, path: &str) -> Reply {
    client.send(method.clone(), path, &[JSON], "{}").await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_whom_the_table_names_and_nobody_else() {
    let house = House::fresh().await;
    let ada = house.owner("ada@example.com", "Acme").await;
    let zoe = house.owner("zoe@example.com", "Zeta").await;
    let acme = house.client(Some(&ada)).send(Method::GET, "/v1/me/tenants", &[], "").await.json()["items"][0]
        ["id"]
        .clone();
    let acme = acme.as_str().unwrap();
    let mut members = Vec::new();
    for role in BuiltInRole::ALL.into_iter().filter(|role| *role != BuiltInRole::Owner) {
        members.push((role, house.member(&ada, &format!("{role}@example.com"), role).await));
    }
    members.push((BuiltInRole::Owner, ada.clone()));
    let made = house
        .client(Some(&ada))
        .post_json(
            "/v1/tenants/me/tokens",
            serde_json::json!({"name": "none", "permissions": [], "expires_at": year_from_now()}).to_string(),
        )
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = made.json()["secret"].as_str().unwrap().to_owned();
    let mut all = routes();
    assert!(all.len() > 50);
    all.retain(|route| route.listeners.contains(&Listener::Tenants));
    for Route { method, path, access, .. } in &all {
        // These end what the test goes on with.
        if matches!((method.as_str(), *path), ("DELETE", "/v1/me/sessions") | ("POST", "/v1/auth/logout")) {
            continue;
        }
        let what = format!("{method} {path}");
        let nobody = call(&house.client(None), method, &filled(path, acme)).await.status;
        let operator = call(&house.client(Some(OPERATOR_TOKEN)), method, &filled(path, acme)).await.status;
        assert_eq!(operator, nobody, "the operator's token is nobody's here: {what}");
        match access {
            // No provider is configured here, so none is there.
            Access::Anyone if path.contains("{provider}") => assert_eq!(nobody, 404, "{what}"),
            Access::Anyone => assert!(nobody != 403 && nobody != 404, "{what}: {nobody}"),
            Access::Session | Access::Support | Access::Operator | Access::Tenant(_) | Access::Project(_) => {
                assert_eq!(nobody, 401, "{what}");
            }
        }
        for (role, bearer) in &members {
            let status = call(&house.client(Some(bearer)), method, &filled(path, "me")).await.status;
            match access {
                Access::Tenant(permission) | Access::Project(permission) => {
                    assert_eq!(status == 403, !role.may(*permission), "{what} {role}: {status}");
                    assert_ne!(status, 401, "{what} {role}");
                }
                Access::Operator | Access::Support => panic!("{what} is on the tenants' listener"),
                Access::Session => {
                    assert!(status != 401 || path.contains("totp") || path.contains("password"), "{what}")
                }
                Access::Anyone => {}
            }
        }
        if let Access::Tenant(permission) | Access::Project(permission) = access {
            let other = call(&house.client(Some(&zoe)), method, &filled(path, acme)).await;
            assert_eq!((other.status, other.code().as_str()), (404, "not_found"), "{what}");
            let machine = call(&house.client(Some(&token)), method, &filled(path, "me")).await.status;
            assert_eq!(machine, 403, "{what} {permission}");
        }
    }
    assert!(all.iter().any(|route| route.access == Access::Tenant(Permission::AuditRead)));
    house.river.stop().await;
}

/// Makes ada's tenant be in that state, and waits for nobody: people's requests read it.
async fn put(house: &House, state: TenantState) {
    let update = sqlx::query("UPDATE tenant SET status = $1 WHERE name = 'acme'").bind(state.as_str());
    update.execute(&house.river.stores.pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_an_owner_as_far_as_the_tenants_state_does() {
    let house = House::fresh().await;
    let ada = house.owner("ada@example.com", "Acme").await;
    for state in TenantState::ALL {
        put(&house, *state).await;
        for Route { method, path, access, .. } in routes() {
            let (Access::Tenant(permission) | Access::Project(permission)) = access else { continue };
            // These change the state.
            if state.admits(permission) && permission == Permission::TenantDelete {
                continue;
            }
            let reply = call(&house.client(Some(&ada)), &method, &filled(path, "me")).await;
            assert_eq!(reply.status == 403, !state.admits(permission), "{state} {method} {path}: {reply:?}");
            let frozen = *state == TenantState::Frozen && reply.status == 403;
            assert!(!frozen || reply.code() == "tenant_frozen", "{method} {path}");
        }
    }
    house.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_whole_tenant_refuses_who_is_limited_to_a_project() {
    let house = House::fresh().await;
    let ada = house.owner("ada@example.com", "Acme").await;
    let bob = house.member(&ada, "bob@example.com", BuiltInRole::Admin).await;
    let (owner, limited) = (house.client(Some(&ada)), house.client(Some(&bob)));
    let staging = owner.post_json("/v1/tenants/me/projects", r#"{"name":"staging"}"#).await.json();
    for project in ["default", "staging"] {
        let body = serde_json::json!({"project": project}).to_string();
        assert_eq!(owner.post_json("/v1/tenants/me/keys", body).await.status, 201);
    }
    let get = async |client: &Client, path: &str| {
        client.send(Method::GET, &format!("/v1/tenants/me/{path}"), &[], "").await.json()
    };
    let members = get(&owner, "members").await;
    let member = members["items"].as_array().unwrap().iter().find(|of| of["email"] == "bob@example.com");
    let member = member.unwrap()["id"].as_str().unwrap();
    let change = serde_json::json!({"role": "admin", "projects": [staging["id"]]}).to_string();
    let path = format!("/v1/tenants/me/members/{member}");
    assert_eq!(owner.send(Method::PATCH, &path, &[JSON], change).await.status, 200);
    for Route { method, path, access, .. } in routes() {
        let status = match access {
            Access::Tenant(_) | Access::Project(_) => {
                call(&limited, &method, &filled(path, "me")).await.status
            }
            Access::Anyone | Access::Session | Access::Support | Access::Operator => continue,
        };
        assert_eq!(status == 403, matches!(access, Access::Tenant(_)), "{method} {path}: {status}");
    }
    let every = get(&owner, "keys").await;
    let other =
        every["items"].as_array().unwrap().iter().find(|key| key["project_name"] == "default").unwrap();
    for path in [
        format!("keys/{}", other["id"].as_str().unwrap()),
        format!("projects/{}", other["project"].as_str().unwrap()),
    ] {
        assert_eq!(get(&limited, &path).await["code"], "not_found", "{path}");
    }
    let seen = get(&limited, "keys").await;
    assert_eq!((seen["items"].as_array().unwrap().len(), &seen["items"][0]["project"]), (1, &staging["id"]));
    assert_eq!(get(&limited, "usage").await["granted"], serde_json::Value::Null, "of the whole tenant");
    let patched = async |body: &'static str| owner.send(Method::PATCH, &path, &[JSON], body).await.json();
    let still = patched(r#"{"role":"developer"}"#).await;
    assert_eq!((&still["role"], &still["projects"][0]), (&"developer".into(), &staging["id"]), "{still}");
    let lifted = patched(r#"{"role":"developer","projects":null}"#).await;
    assert!(lifted["projects"].is_null() && lifted["role"] == "developer", "{lifted}");
    house.river.stop().await;
}

/// Some 300 days, within what a token may be good for.
fn year_from_now() -> String {
    let micros = Clock::system().now_micros() + 300 * 86_400 * 1_000_000;
    chrono::DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339()
}

#[tokio::test(flavor = "multi_thread")]
async fn links_do_not_depend_on_what_host_a_request_names() {
    let house = House::fresh().await;
    let email = "ada@example.com";
    let new = serde_json::json!({"email": email, "password": PASSWORD, "name": "Ada", "tenant_name": "Acme"});
    let headers = [JSON, ("x-forwarded-host", "evil.example")];
    let reply = house.client(None).send(Method::POST, "/v1/auth/register", &headers, new.to_string()).await;
    assert_eq!(reply.status, 202);
    let link = house.link_to("ada@example.com").await;
    assert!(link.starts_with("wo_") && !link.contains("evil"));
    let sender = Sender::default();
    assert!(house.mails.verify_email(&link, &sender).await.is_ok());
    house.river.stop().await;
}
