//! Processes of the real binary, with databases of their own.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use testkit::{Client, Proxy, Stores, eventually};
use tokio::process::{Child, Command};

/// Where weir's processes run: their settings, and the stores behind them.
pub(crate) struct Place {
    pub(crate) stores: Stores,
    settings: Vec<(String, String)>,
}

/// One running process. Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    role: String,
    /// Where it serves, if it is an ingest node.
    pub(crate) url: String,
    ports: Ports,
}

#[derive(Clone, Copy)]
struct Ports {
    ingest: u16,
    admin: u16,
    operator: u16,
    ops: u16,
}

impl Ports {
    /// Free a moment ago.
    fn free() -> Self {
        Self { ingest: free_port(), admin: free_port(), operator: free_port(), ops: free_port() }
    }
}

/// The settings of all addresses on which a process may listen.
pub(crate) const ADDRESSES: [&str; 4] =
    ["WEIR_INGEST_ADDR", "WEIR_ADMIN_ADDR", "WEIR_OPERATOR_ADDR", "WEIR_OPS_ADDR"];

impl Place {
    /// New databases; the log is on the local disk, unless brokers are named.
    pub(crate) async fn new(kafka_brokers: Option<&str>) -> Self {
        let stores = Stores::fresh().await;
        let folder = stores.folder.path().display();
        let mut settings = vec![
            ("DATABASE_URL", stores.database_url.clone()),
            ("CLICKHOUSE_URL", stores.clickhouse.url.clone()),
            ("CLICKHOUSE_DATABASE", stores.clickhouse.database.clone()),
            ("WEIR_DATA_DIR", format!("{folder}/data")),
            ("WEIR_OPERATOR_TOKEN", testkit::river::OPERATOR_TOKEN.to_owned()),
            ("WEIR_PROCESSOR_LEASE_MS", "2000".to_owned()),
            ("WEIR_INGEST_LEASE_MS", "2000".to_owned()),
            // Clients of tests keep connections that they need no more.
            ("WEIR_DRAIN_GRACE_MS", "20".to_owned()),
        ];
        if let Some(brokers) = kafka_brokers {
            settings.push(("KAFKA_BROKERS", brokers.to_owned()));
            settings.push(("KAFKA_TOPIC", stores.clickhouse.database.clone()));
            settings.push(("WEIR_PARTITIONS", "4".to_owned()));
        }
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { stores, settings }
    }

    /// A setting of all processes that are started from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Puts a proxy between processes that are started from now on and Postgres.
    pub(crate) async fn behind_proxy(&mut self) -> Proxy {
        let (proxy, url) = Proxy::to_postgres(&self.stores.database_url).await;
        self.set("DATABASE_URL", &url);
        proxy
    }

    /// Starts a role that may have so many descriptors open until it asks for more.
    pub(crate) async fn start_with_descriptors(&self, role: &str, soft_limit: u32) -> Process {
        let ports = Ports::free();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", r#"ulimit -S -n "$1" && exec "$0" "$2""#, env!("CARGO_BIN_EXE_weir")])
            .args([&soft_limit.to_string(), role])
            .env_clear()
            .envs(self.settings.iter().cloned())
            .stdin(Stdio::null());
        self.spawn(command, role, ports).await
    }

    /// The settings of all processes.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        self.settings.clone()
    }

    /// The binary with these settings, and no others.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(arguments).env_clear().envs(self.settings.iter().cloned()).stdin(Stdio::null());
        command
    }

    /// Runs a command that must succeed; what it printed.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must succeed and prints JSON.
    pub(crate) async fn run_json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.run(&[arguments, &["--json"]].concat()).await).unwrap()
    }

    /// A tenant of that name, made with these options, and its key.
    pub(crate) async fn customer(&self, name: &str, options: &[&str]) -> (String, String) {
        let tenant = self.run_json(&[&["tenant", "create", name], options].concat()).await;
        let tenant = tenant["id"].as_str().unwrap().to_owned();
        let key = self.run_json(&["key", "create", &tenant]).await["key"].as_str().unwrap().to_owned();
        (tenant, key)
    }

    /// Starts a role and waits until it is ready.
    pub(crate) async fn start(&self, role: &str) -> Process {
        let ports = Ports::free();
        self.start_on(role, ports).await
    }

    /// Starts a process that has ended, at its old address, and waits until it is ready.
    pub(crate) async fn start_again(&self, ended: Process) -> Process {
        self.start_on(&ended.role, ended.ports).await
    }

    /// Starts a role that logs all it can into `log`.
    pub(crate) async fn start_traced(&self, role: &str, log: std::fs::File) -> Process {
        let ports = Ports::free();
        let mut command = self.command(&[role]);
        command.env("WEIR_LOG", "trace").stderr(log);
        self.spawn(command, role, ports).await
    }

    async fn start_on(&self, role: &str, ports: Ports) -> Process {
        let mut command = self.command(&[role]);
        command.env("WEIR_LOG", "warn");
        self.spawn(command, role, ports).await
    }

    /// Starts a role and does not wait.
    pub(crate) async fn start_unready(&self, role: &str) -> Process {
        let mut command = self.command(&[role]);
        command.env("WEIR_LOG", "warn");
        let process = self.spawn_unready(command, role, Ports::free());
        eventually("the process listens", Duration::from_secs(60), async || {
            process.ops().try_send(hyper::Method::GET, "/readyz", &[], "").await.is_ok()
        })
        .await;
        process
    }

    async fn spawn(&self, command: Command, role: &str, ports: Ports) -> Process {
        let process = self.spawn_unready(command, role, ports);
        process.ready().await;
        process
    }

    /// A process has a data folder of its own in a cluster.
    fn spawn_unready(&self, mut command: Command, role: &str, ports: Ports) -> Process {
        if self.settings.iter().any(|(name, _)| name == "KAFKA_BROKERS") {
            command.env("WEIR_DATA_DIR", self.stores.folder.path().join(format!("data-{}", ports.ops)));
        }
        let Ports { ingest, admin, operator, ops } = ports;
        for (name, port) in ADDRESSES.into_iter().zip([ingest, admin, operator, ops]) {
            command.env(name, format!("127.0.0.1:{port}"));
        }
        let child = command.kill_on_drop(true).spawn().unwrap();
        let url = format!("http://127.0.0.1:{}", ports.ingest);
        Process { child, role: role.to_owned(), url, ports }
    }
}

impl Process {
    async fn ready(&self) {
        eventually("the process is ready", Duration::from_secs(60), async || {
            let reply = self.ops().try_send(hyper::Method::GET, "/readyz", &[], "").await;
            reply.is_ok_and(|reply| reply.status == 200)
        })
        .await;
    }

    fn ops(&self) -> Client {
        Client::new(([127, 0, 0, 1], self.ports.ops).into(), None)
    }

    /// What it says of itself: a status and a text.
    pub(crate) async fn readiness(&self) -> (u16, String) {
        let reply = self.ops().send(hyper::Method::GET, "/readyz", &[], "").await;
        (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
    }

    /// A client of its ingest listener, with a key in the header or none.
    pub(crate) fn client(&self, key: Option<&str>) -> Client {
        Client::new(([127, 0, 0, 1], self.ports.ingest).into(), key)
    }

    /// A client of its operators' listener with the operator's token.
    pub(crate) fn operator(&self) -> Client {
        Client::new(self.operator_address(), Some(testkit::river::OPERATOR_TOKEN))
    }

    /// Where its admin API listens for tenants.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.admin).into()
    }

    /// Where its admin API listens for operators.
    pub(crate) fn operator_address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.operator).into()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Its metrics, as Prometheus reads them.
    pub(crate) async fn metrics(&self) -> String {
        let reply = self.ops().send(hyper::Method::GET, "/metrics", &[], "").await;
        String::from_utf8(reply.body.to_vec()).unwrap()
    }

    /// How many files and sockets it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id().unwrap())).unwrap().count()
    }

    /// Bytes of memory that it holds.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        kilobytes.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM; the exit status.
    pub(crate) async fn stop(mut self) -> std::process::ExitStatus {
        self.terminate().await
    }

    /// SIGTERM; the exit status.
    pub(crate) async fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        self.child.wait().await.unwrap()
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
