//! An admin API with people, as a process has it, without the rest of the river.

use std::net::SocketAddr;
use std::sync::Arc;

use accounts::{AuthParts, Authenticator, Client as Sender, HashCost, Hasher, Random, Registration, SealKey};
use admin_api::{Admin, AdminConfig, Listener};
use eventlog::local::{LocalConfig, LocalLog};
use schemas::public_id::PersonId;
use service::clickhouse::{ClickHouseConfig, client};
use service::clock::Clock;
use service::config::{Secret, Settings};
use service::postgres::Role;
use service::task::Tasks;
use sqlx::PgPool;
use tempfile::TempDir;
use testkit::{Client, Database, Reply};

pub(crate) const PASSWORD: &str = "kettle-orbit-mango";
pub(crate) const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub(crate) const OPERATOR_TOKEN: &str = "fedcba9876543210fedcba9876543210";
/// Where people reach it, as they believe.
pub(crate) const PUBLIC_URL: &str = "https://weir.example";

pub(crate) struct House {
    pub(crate) database: Database,
    /// Another process of the same weir.
    pub(crate) auth: Authenticator,
    pub(crate) address: SocketAddr,
    /// The operators' listener.
    pub(crate) operators: SocketAddr,
    tasks: Tasks,
    _log: TempDir,
}

impl House {
    pub(crate) async fn with(more: &[(&str, &str)]) -> Self {
        let database = Database::fresh().await;
        let pool = database.pool_of(8, Role::Api);
        Self::on(database, pool, more).await
    }

    /// One on a database that is there, through these connections.
    pub(crate) async fn on(database: Database, pool: PgPool, more: &[(&str, &str)]) -> Self {
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
        // Nothing here asks for usage, so no ClickHouse is behind it.
        let nowhere = ClickHouseConfig {
            url: "http://127.0.0.1:1".to_owned(),
            database: "weir".to_owned(),
            user: None,
            password: None,
        };
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(LocalLog::open(LocalConfig::new(folder.path().join("log"), 1)).unwrap());
        let (of_api, clock) = (pool.clone(), Clock::system());
        let api = Admin::build(config, of_api, client(&nowhere), log, clock).await.unwrap();
        let address = api.local_addr(Listener::Tenants);
        let operators = api.local_addr(Listener::Operators);
        let mut tasks = Tasks::default();
        tasks.spawn("the admin API", api.run(tasks.shutdown()));
        let auth = Authenticator::new(AuthParts {
            pool,
            clock: Clock::system(),
            random: Random::system(),
            hasher: Hasher::new(HashCost { memory_kib: 64, passes: 1, lanes: 1 }, 1).unwrap(),
            seal: SealKey::read(&Secret::from(KEY)).unwrap(),
            issuer: PUBLIC_URL.to_owned(),
        });
        Self { database, auth, address, operators, tasks, _log: folder }
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

    pub(crate) async fn stop(self) {
        self.tasks.stop().await.unwrap();
    }
}
