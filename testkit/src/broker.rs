//! A Kafka broker of a test's own, which can be held up.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::stores::optional;
use crate::wait::eventually;

/// A broker and controller in one. Killed when it is dropped.
pub struct Broker {
    /// `host:port`
    pub address: String,
    process: Child,
    folder: TempDir,
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            println!("the broker said last:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

impl Broker {
    /// Starts one; `None` where Kafka can't be had, which the output says.
    pub async fn start() -> Option<Self> {
        let port = free_port();
        Self::start_behind(port, SocketAddr::from(([127, 0, 0, 1], port))).await
    }

    /// Starts one that can also be reached on `port`. Clients that come there are sent on to `proxy`.
    pub async fn start_behind(port: u16, proxy: SocketAddr) -> Option<Self> {
        let Some(jars) = optional("WEIR_TEST_KAFKA_JARS") else {
            println!("NO KAFKA: a test with a broker of its own was not run, see `make test`");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let (own, controller) = (free_port(), free_port());
        let properties = folder.path().join("server.properties");
        std::fs::write(&properties, text(own, port, proxy, controller, folder.path())).unwrap();
        let cluster = URL_SAFE_NO_PAD.encode(Uuid::now_v7().as_bytes());
        let formatted = java(&jars)
            .args(["kafka.tools.StorageTool", "format", &format!("--cluster-id={cluster}"), "-c"])
            .arg(&properties)
            .output()
            .await
            .unwrap();
        assert!(formatted.status.success(), "{formatted:?}");
        let log = folder.path().join("log");
        let process = java(&jars)
            .arg("kafka.Kafka")
            .arg(&properties)
            .stdout(File::create(&log).unwrap())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        eventually("Kafka has started", Duration::from_secs(60), async || {
            std::fs::read_to_string(&log).unwrap().contains("Kafka Server started")
        })
        .await;
        Some(Self { address: format!("127.0.0.1:{own}"), process, folder })
    }

    /// Where it keeps a partition of a topic.
    #[must_use]
    pub fn partition_folder(&self, topic: &str, partition: u32) -> PathBuf {
        self.folder.path().join(format!("data/{topic}-{partition}"))
    }

    /// SIGSTOP: connections stay, and nobody answers.
    pub async fn pause(&self) {
        self.signal("-STOP").await;
    }

    /// SIGCONT: what was sent meanwhile is worked on.
    pub async fn resume(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let pid = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    }
}

fn java(jars: &str) -> Command {
    let mut command = Command::new("java");
    // Without a level, it does not say that it has started.
    let level = "-Dorg.apache.logging.log4j.level=INFO";
    command.args(["-Xms128m", "-Xmx384m", level, "-cp", &format!("{jars}/*")]).stdin(Stdio::null());
    command
}

fn text(own: u16, port: u16, proxy: SocketAddr, controller: u16, folder: &Path) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{own},PROXIED://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{own},PROXIED://{proxy}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={}/data
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# One that is held up is no longer the leader when its session has run out, and it takes its time to be that again.
broker.session.timeout.ms=120000
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
",
        folder.display()
    )
}

/// A port that was free a moment ago.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
