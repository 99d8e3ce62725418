//! Quota on its way between nodes and Postgres: what is lost on the way is not lost for good.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use eventlog::{Append, AppendError, Bounds, EventLog, LogError, LogReader};
use service::clock::Clock;
use service::config::Secret;
use service::postgres::{self, Role};
use testkit::river::RiverConfig;
use testkit::{Node, NodeConfig, Proxy, River, eventually};
use tokio::sync::Notify;

use crate::river::metered;

const SOON: Duration = Duration::from_secs(30);
const GRANTED: &str = "SELECT coalesce(sum(granted), 0)::bigint FROM quota_period";

/// Commits something of which the node does not hear, so that `is_done`. Other commits may come before.
async fn unheard(proxy: &Proxy, is_done: impl AsyncFn() -> bool) {
    let (until, mut done) = (Instant::now() + SOON, false);
    while !done {
        assert!(Instant::now() < until, "it is never committed");
        proxy.mute_at("COMMIT");
        let once = Instant::now() + Duration::from_secs(2);
        while !done && Instant::now() < once {
            // Between two looks.
            tokio::time::sleep(Duration::from_millis(20)).await;
            done = is_done().await;
        }
        proxy.cut();
        proxy.mend();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_heard_of_costs_no_quota_while_the_node_lives() {
    let river = River::start().await;
    let customer = river.customer("capped", Some(1_000)).await;
    let granted = async || river.stores.postgres_number(GRANTED).await;
    let (proxy, url) = Proxy::to_postgres(&river.stores.database_url).await;
    let pool = postgres::pool(&Secret::from(url.as_str()), 8, Some(Role::Ingest)).unwrap();
    let (log, clock) = (Arc::clone(&river.log), Clock::system());
    let node = NodeConfig { pool, log, settings: vec![], directory_file: None, is_bound: true, clock };
    let node = Node::start(node).await;
    let client = node.client(&customer.key);

    // Of the grant.
    proxy.mute_at("COMMIT");
    let sending = tokio::spawn({
        let client = client.clone();
        async move { client.post_ids(0..5).await.status }
    });
    unheard(&proxy, async || granted().await > 0).await;
    let status = sending.await.unwrap();
    assert!(matches!(status, 202 | 503), "{status}");
    eventually("it is accepted", SOON, async || client.post_ids(0..5).await.status == 202).await;
    // Of what it gives back as soon as nobody spends it.
    unheard(&proxy, async || granted().await == 5).await;
    metered(&river, &customer, 5).await;
    let lives = "SELECT count(*) FROM ingest_node WHERE lease_until > now()";
    assert_eq!(river.stores.postgres_number(lives).await, 2, "nothing was reclaimed");
    let reply = client.post_ids(100..1_095).await;
    assert_eq!((reply.status, &reply.json()["accepted"]), (202, &995.into()), "{reply:?}");
    assert_eq!(client.post_ids(["more"]).await.status, 402);
    metered(&river, &customer, 1_000).await;
    assert_eq!(granted().await, 1_000);
    node.stop().await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_that_is_set_in_mid_month_holds_at_once_on_all_nodes_while_no_processor_runs() {
    let river = River::start_with(RiverConfig { processors: 0, ..RiverConfig::default() }).await;
    let customer = river.customer("uncapped", None).await;
    let second = river.second_node(Vec::new()).await;
    let nodes = [river.client(&customer.key), second.client(&customer.key)];
    for (number, node) in nodes.iter().enumerate() {
        let reply = node.post_ids((0..300).map(|id| format!("before-{number}-{id}"))).await;
        assert_eq!(reply.json()["accepted"], 300, "{reply:?}");
    }
    sqlx::query("UPDATE tenant SET quota = 700").execute(&river.stores.pool).await.unwrap();
    let (mut accepted, mut next) = (600, 0_u64);
    for (turn, node) in nodes.iter().cycle().take(2_000).enumerate() {
        let reply = node.post_ids((0..7).map(|id| format!("after-{turn}-{id}"))).await;
        next = if reply.status == 202 { 0 } else { next + 1 };
        accepted += reply.json()["accepted"].as_u64().unwrap_or(0);
        // Refused while the other node holds what is left does not say that it is used up.
        if next > 50 && accepted >= 700 {
            break;
        }
        // The other node gives back within a second.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(accepted, 700);
    assert_eq!(river.stores.postgres_number(GRANTED).await, 700);
    second.stop().await;
    let (stores, log) = river.stop().await;
    let river = River::start_on(stores, log, RiverConfig::default()).await;
    metered(&river, &customer, 700).await;
    let verdict = river.verdict().await;
    assert!(verdict.holds(), "{verdict:?}");
    river.stop().await;
}

/// A log that refuses records, some time after it got them.
struct Slow {
    log: Arc<dyn EventLog>,
    has_begun: Arc<AtomicBool>,
    goes_on: Arc<Notify>,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl EventLog for Slow {
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn identity(&self) -> &str {
        self.log.identity()
    }

    fn append(&self, _: Vec<Append>, _: Duration) -> Answer<'_, Result<(), AppendError>> {
        Box::pin(async {
            self.has_begun.store(true, Ordering::Relaxed);
            self.goes_on.notified().await;
            Err(AppendError::Refused("it is full".to_owned()))
        })
    }

    fn reader(&self, from: &[(u32, u64)]) -> Answer<'_, Result<Box<dyn LogReader>, LogError>> {
        self.log.reader(from)
    }

    fn bounds(&self) -> Answer<'_, Result<Vec<Bounds>, LogError>> {
        self.log.bounds()
    }

    fn trim(&self, partition: u32, before: u64) -> Answer<'_, Result<(), LogError>> {
        self.log.trim(partition, before)
    }

    fn close(&self, deadline: Duration) -> Answer<'_, ()> {
        self.log.close(deadline)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_during_an_append_takes_no_quota_with_it() {
    let river = River::start().await;
    let customer = river.customer("capped", Some(100)).await;
    let (has_begun, goes_on) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let log = Arc::new(Slow {
        log: Arc::clone(&river.log),
        has_begun: Arc::clone(&has_begun),
        goes_on: Arc::clone(&goes_on),
    });
    let (pool, clock) = (river.stores.pool_of(Role::Ingest), Clock::system());
    let node = NodeConfig { pool, log, settings: vec![], directory_file: None, is_bound: true, clock };
    let node = Node::start(node).await;
    let sending = tokio::spawn({
        let client = node.client(&customer.key);
        async move { client.post_ids(0..60).await.status }
    });
    eventually("its events are handed over", SOON, async || has_begun.load(Ordering::Relaxed)).await;
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    let granted = async || river.stores.postgres_number(GRANTED).await;
    eventually("what is not charged is given back", SOON, async || granted().await == 60).await;
    // The node sees that the client has left.
    tokio::time::sleep(Duration::from_millis(300)).await;
    goes_on.notify_waiters();
    eventually("nothing is charged for it", SOON, async || granted().await == 0).await;
    let lives = "SELECT count(*) FROM ingest_node";
    assert_eq!(river.stores.postgres_number(lives).await, 2, "and no lease was begun for that");
    node.stop().await;
    river.stop().await;
}
