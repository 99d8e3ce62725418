//! An admin API with people, as a process has it, without the rest of the river.

use std::net::SocketAddr;
use std::sync::Arc;

use accounts::{AuthParts, Authenticator, Client as Sender, HashCost, Hasher, Random, Registration, SealKey};
use admin_api::{Admin, AdminConfig, Listener, Pools};
use eventlog::local::{LocalConfig, LocalLog};
use schemas::public_id::PersonId;
use service::clickhouse::{ClickHouseConfig, client};
use service::clock::Clock;
use service::config::{Secret, Settings};
use service::postgres::Role;
use service::task::Tasks;
use tempfile::TempDir;
use testkit::{Client, Database, Reply};

pub(crate) const PASSWORD: &str = "kettle-orbit-mango";
pub(crate) const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub(crate) const OPERATOR_TOKEN: &str = "fedcba9876543210fedcba9876543210";
/// Where people reach it, as they believe.
pub(crate) const PUBLIC_URL: &str = "https://weir.example";

/// Most tests ask for no usage, so no ClickHouse is behind it.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:1";

pub(crate) struct House {
    pub(crate) database: Database,
    /// Another process of the same weir.
    pub(crate) auth: Authenticator,
    pub(crate) address: SocketAddr,
    /// The operators' listener.
    pub(crate) operators: SocketAddr,
    /// Its connections.
    pub(crate) pools: Pools,
    tasks: Tasks,
    _log: TempDir,
}

impl House {
    pub(crate) async fn with(more: &[(&str, &str)]) -> Self {
        Self::with_stores(more, 8, NOWHERE).await
    }

    /// The same with so many connections for tenants, and that ClickHouse.
    pub(crate) async fn with_stores(more: &[(&str, &str)], connections: u32, clickhouse: &str) -> Self {
        let database = Database::fresh().await;
        let pool = database.pool_of(connections, Role::Api);
        let mut pairs = vec![
            ("WEIR_ADMIN_ADDR", "127.0.0.1:0"),
            ("WEIR_OPERATOR_ADDR", "127.0.0.1:0"),
            ("WEIR_OPERATOR_TOKEN", OPERATOR_TOKEN),
            ("WEIR_ACCOUNTS_KEY", KEY),
            ("WEIR_PUBLIC_URL", PUBLIC_URL),
        ];
        pairs.extend(more);
        let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut settings = Settings::new(pairs);
        let config = AdminConfig::read(&mut settings);
        settings.finish().unwrap();
        let pools = Pools { tenants: pool, operators: database.pool_of(3, Role::Api) };
        let clickhouse = ClickHouseConfig {
            url: clickhouse.to_owned(),
            database: "weir".to_owned(),
            user: None,
            password: None,
        };
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(LocalLog::open(LocalConfig::new(folder.path().join("log"), 1)).unwrap());
        let (of_api, clock) = (pools.clone(), Clock::system());
        let api = Admin::build(config, of_api, client(&clickhouse), log, clock).await.unwrap();
        let address = api.local_addr(Listener::Tenants);
        let operators = api.local_addr(Listener::Operators);
        let mut tasks = Tasks::default();
        tasks.spawn("the admin API", api.run(tasks.shutdown()));
        let auth = Authenticator::new(AuthParts {
            pool: database.pool_of(4, Role::Api),
            clock: Clock::system(),
            random: Random::system(),
            hasher: Hasher::new(HashCost { memory_kib: 64, passes: 1, lanes: 1 }, 1).unwrap(),
            seal: SealKey::read(&Secret::from(KEY)).unwrap(),
            issuer: PUBLIC_URL.to_owned(),
        });
        Self { database, auth, address, operators, pools, tasks, _log: folder }
    }

    pub(crate) fn client(&self, bearer: Option<&str>) -> Client {
        Client::new(self.address, bearer)
    }

    pub(crate) async fn post(&self, path: &str, body: serde_json::Value) -> Reply {
        self.client(None).post_json(path, body.to_string()).await
    }

    /// Somebody who has registered, and followed the link.
    pub(crate) async fn person(&self, email: &str) -> PersonId {
        let new = Registration {
            email: email.to_owned(),
            password: Secret::from(PASSWORD),
            name: "Ada".to_owned(),
            tenant_name: "Acme".to_owned(),
        };
        self.auth.register(new, &Sender::default()).await.unwrap();
        let mails = self.auth.unsent_mails(100).await.unwrap();
        let mail = mails.into_iter().rfind(|mail| mail.recipient == email && mail.token.is_some());
        let link = mail.unwrap().token.unwrap();
        self.auth.verify_email(link.expose(), &Sender::default()).await.unwrap()
    }

    /// Makes somebody a viewer in the tenant of `owner`.
    pub(crate) async fn joins(&self, owner: &Client, email: &str) {
        let body = serde_json::json!({"email": email, "role": "viewer"}).to_string();
        let invited = owner.post_json("/v1/tenants/me/invitations", body).await;
        assert_eq!(invited.status, 201, "{invited:?}");
        let mails = self.auth.unsent_mails(100).await.unwrap();
        let mail = mails.into_iter().rfind(|mail| mail.recipient == email && mail.token.is_some());
        let (link, password) = (mail.unwrap().token.unwrap(), Secret::from(PASSWORD));
        self.auth.register_invited(link.expose(), "Name", password, &Sender::default()).await.unwrap();
    }

    /// The access token of somebody who signs in.
    pub(crate) async fn login(&self, email: &str) -> String {
        let reply =
            self.post("/v1/auth/login", serde_json::json!({"email": email, "password": PASSWORD})).await;
        reply.json()["access_token"].as_str().unwrap_or_else(|| panic!("{reply:?}")).to_owned()
    }

    pub(crate) async fn stop(self) {
        self.tasks.stop().await.unwrap();
    }
}
