//! The whole river in one process, on ports that the system chose, with a local log: the same four Apps as in `weir`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use accounts::key::{self, NewKey};
use accounts::project;
use accounts::tenant::{self, NewTenant};
use accounts::{Caller, PlatformScope, Scope};
use admin_api::{Admin, AdminConfig, Listener, Pools};
use eventlog::EventLog;
use eventlog::local::{LocalConfig, LocalLog};
use evidence::SigningKey;
use ingest::{Ingest, IngestConfig};
use metering::Billing;
use metering::outcomes::RetentionConfig;
use processor::{ProcessorConfig, own};
use proof::{Processing, Verdict};
use schemas::id::TenantId;
use service::clock::Clock;
use service::config::Settings;
use service::postgres::Role;
use service::task::Tasks;
use sqlx::PgPool;
use tokio::sync::watch;
use worker::{WorkerConfig, Working};

use crate::client::Client;
use crate::node::{Node, NodeConfig};
use crate::stores::Stores;

/// The operator's token of every river.
pub const OPERATOR_TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A running river.
pub struct River {
    /// Its databases.
    pub stores: Stores,
    /// Its log.
    pub log: Arc<dyn EventLog>,
    /// Where ingest listens.
    pub ingest: SocketAddr,
    /// Where the admin API listens for tenants.
    pub admin: SocketAddr,
    /// Where it listens for operators.
    pub operators: SocketAddr,
    /// As the admin API has it.
    api_pool: PgPool,
    front: Tasks,
    back: Tasks,
}

/// What a test may set. Everything else is as a user has it.
#[derive(Debug, Clone)]
pub struct RiverConfig {
    /// Of the local log.
    pub partitions: u32,
    /// How many processors share the partitions.
    pub processors: usize,
    /// Whether they carry out erasures, as users have it.
    pub erases: bool,
    /// Whether they roll up hours, as users have it.
    pub rolls_up: bool,
    /// Settings by name, as in the environment.
    pub settings: Vec<(&'static str, String)>,
    /// What time it is.
    pub clock: Clock,
    /// What receipts are signed with.
    pub evidence_key: Option<Arc<SigningKey>>,
}

impl Default for RiverConfig {
    fn default() -> Self {
        let (settings, clock) = (Vec::new(), Clock::system());
        Self {
            partitions: 2,
            processors: 1,
            erases: true,
            rolls_up: true,
            settings,
            clock,
            evidence_key: None,
        }
    }
}

/// A tenant and a key of its project `default`.
#[derive(Debug, Clone)]
pub struct Customer {
    /// Its id.
    pub tenant: TenantId,
    /// Its key.
    pub key: String,
}

impl River {
    /// Starts a river as a user has it.
    pub async fn start() -> Self {
        Self::start_with(RiverConfig::default()).await
    }

    /// Starts a river.
    pub async fn start_with(config: RiverConfig) -> Self {
        let stores = Stores::fresh().await;
        let local = LocalConfig::new(stores.folder.path().join("log"), config.partitions);
        let log: Arc<dyn EventLog> = Arc::new(LocalLog::open(local).unwrap());
        Self::start_on(stores, log, config).await
    }

    /// Starts a river on databases and a log that are there.
    pub async fn start_on(stores: Stores, log: Arc<dyn EventLog>, config: RiverConfig) -> Self {
        let mut settings = vec![
            ("WEIR_INGEST_ADDR", "127.0.0.1:0".to_owned()),
            ("WEIR_ADMIN_ADDR", "127.0.0.1:0".to_owned()),
            ("WEIR_OPERATOR_ADDR", "127.0.0.1:0".to_owned()),
            ("WEIR_OPERATOR_TOKEN", OPERATOR_TOKEN.to_owned()),
            ("WEIR_BATCH_LINGER_MS", "20".to_owned()),
            ("WEIR_DRAIN_DEADLINE_MS", "2000".to_owned()),
            // Clients of tests keep connections that they need no more.
            ("WEIR_DRAIN_GRACE_MS", "20".to_owned()),
            // All people of a test are at one address.
            ("WEIR_ADMIN_ADDRESS_RATE", "0".to_owned()),
            ("WEIR_SIGN_IN_ADDRESS_RATE", "0".to_owned()),
        ];
        settings.extend(config.settings);
        let mut settings = Settings::new(settings.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let (ingest, admin) = (IngestConfig::read(&mut settings), AdminConfig::read(&mut settings));
        let processor = ProcessorConfig {
            erases: config.erases,
            rolls_up: config.rolls_up,
            ..ProcessorConfig::read(&mut settings, stores.folder.path())
        };
        let retention = RetentionConfig::read(&mut settings);
        let (key, url) = (admin.accounts.key.clone(), admin.accounts.public_url.clone());
        let worker = WorkerConfig::read(&mut settings, key, url);
        settings.finish().unwrap();
        let ingest = IngestConfig { evidence_key: config.evidence_key, ..ingest };

        let ingest_pool = stores.pool_of(Role::Ingest);
        let (processor_pool, billing_pool) = (stores.pool_of(Role::Processor), stores.pool_of(Role::Billing));
        own::bind_log(&ingest_pool, &*log).await.unwrap();
        let (mut front, mut back) = (Tasks::default(), Tasks::default());
        let clock = config.clock;
        let bound = watch::channel(true).1;
        let node = Ingest::build(ingest, ingest_pool, Arc::clone(&log), clock.clone(), bound).await.unwrap();
        let ingest = node.local_addr().unwrap();
        front.try_spawn("ingest", node.run(front.shutdown()));
        let api_pool = stores.pool_of(Role::Api);
        let pools = Pools { tenants: api_pool.clone(), operators: stores.pool_of(Role::Api) };
        let (clickhouse, seen) = (stores.clickhouse(), Arc::clone(&log));
        let api = Admin::build(admin, pools, clickhouse, seen, clock.clone()).await.unwrap();
        let (admin, operators) = (api.local_addr(Listener::Tenants), api.local_addr(Listener::Operators));
        front.spawn("the admin API", api.run(front.shutdown()));
        let working = Working::build(&worker, stores.pool_of(Role::Api), clock.clone()).unwrap();
        back.try_spawn("the worker", working.run(back.shutdown()));
        for _ in 0..config.processors {
            let (config, pool, log) = (processor.clone(), processor_pool.clone(), Arc::clone(&log));
            let processor = Processing::build(config, pool, stores.clickhouse(), log, clock.clone());
            back.try_spawn("the processor", processor.run(back.shutdown()));
        }
        let billing = Billing::build(retention, billing_pool, Arc::clone(&log));
        back.try_spawn("billing", billing.run(back.shutdown()));
        Self { stores, log, ingest, admin, operators, api_pool, front, back }
    }

    /// Drains and stops; a role that broke fails the test here. The stores stay.
    pub async fn stop(self) -> (Stores, Arc<dyn EventLog>) {
        self.front.stop().await.unwrap();
        self.back.stop().await.unwrap();
        (self.stores, self.log)
    }

    /// A client of ingest with that key.
    #[must_use]
    pub fn client(&self, key: &str) -> Client {
        Client::new(self.ingest, Some(key))
    }

    /// A second ingest node with settings of its own.
    pub async fn second_node(&self, settings: Vec<(&'static str, String)>) -> Node {
        let (pool, log) = (self.stores.pool_of(Role::Ingest), Arc::clone(&self.log));
        let (directory_file, is_bound, clock) = (None, true, Clock::system());
        Node::start(NodeConfig { pool, log, settings, directory_file, is_bound, clock }).await
    }

    /// What a proof of it comes to.
    pub async fn verdict(&self) -> Verdict {
        self.stores.verdict(&*self.log).await
    }

    /// A client of the operators' listener with the operator's token.
    #[must_use]
    pub fn operator(&self) -> Client {
        Client::new(self.operators, Some(OPERATOR_TOKEN))
    }

    /// Makes a tenant, with a quota of its own or none, and a key.
    pub async fn customer(&self, name: &str, quota: Option<i64>) -> Customer {
        let plan = if quota.is_some() { "developer" } else { "unlimited" };
        let new = NewTenant {
            name: name.to_owned(),
            slug: None,
            plan: plan.to_owned(),
            quota,
            rate: None,
            time_zone: None,
            client_ip: None,
        };
        let clock = Clock::system();
        let scope = PlatformScope::open_platform(&self.api_pool, &clock, Caller::COMMAND_LINE);
        let mut scope = scope.await.unwrap();
        let tenant = TenantId(tenant::create(&mut scope, &new).await.unwrap().number);
        scope.commit().await.unwrap();
        Customer { tenant, key: self.key(tenant, project::DEFAULT).await }
    }

    /// Makes a key of that project of the tenant, and the project if it is not there. Ingest knows it when this
    /// returns.
    pub async fn key(&self, tenant: TenantId, project_name: &str) -> String {
        let clock = Clock::system();
        let scope = Scope::open(&self.api_pool, &clock, Caller::COMMAND_LINE, tenant);
        let mut scope = scope.await.unwrap();
        if project::find(&mut scope, project_name).await.is_err() {
            project::create(&mut scope, project_name).await.unwrap();
        }
        let new = NewKey { project: Some(project_name.to_owned()), ..NewKey::default() };
        let made = key::create(&mut scope, &new).await.unwrap().key;
        scope.commit().await.unwrap();
        let client = self.client(&made);
        crate::eventually("ingest knows the key", Duration::from_secs(5), async || {
            client.post_json("/v1/events", "").await.status != 401
        })
        .await;
        made
    }
}
