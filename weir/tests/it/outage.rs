//! A broker that is held up under load: nobody waits, nothing is lost, and no cap is passed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use testkit::{Broker, Client, eventually};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;

use crate::process::{Place, Process};

/// The longest that a client may wait.
const REPLY_WITHIN: Duration = Duration::from_secs(8);
const SENDERS: usize = 8;
const BATCH: u64 = 10;

/// A broker and five processes under load are as much as a machine may have besides other tests.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// What senders sent, and the replies.
#[derive(Default)]
struct Sent {
    next_id: AtomicU64,
    accepted: std::sync::Mutex<BTreeSet<u64>>,
    /// Statuses other than 202, and how often. 0: no reply.
    others: std::sync::Mutex<Vec<u16>>,
    slowest: std::sync::Mutex<Duration>,
    enough: AtomicBool,
}

impl Sent {
    /// Sends batches until there have been enough. What was not confirmed is sent again, with the same ids.
    async fn send(self: Arc<Self>, clients: Vec<Client>, turn: usize) {
        let mut again: Option<Vec<u64>> = None;
        let mut clients = clients.iter().cycle().skip(turn);
        while !self.enough.load(Ordering::Relaxed) {
            let ids = again.take().unwrap_or_else(|| {
                let first = self.next_id.fetch_add(BATCH, Ordering::Relaxed);
                (first..first + BATCH).collect()
            });
            let status = self.post(clients.next().unwrap(), &ids).await;
            if status == 503 || status == 0 {
                again = Some(ids);
            }
            let pause = if status == 202 { 60 } else { 250 };
            // A client's pause between two batches.
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn post(&self, client: &Client, ids: &[u64]) -> u16 {
        let events: Vec<String> =
            ids.iter().map(|id| format!(r#"{{"id":"e-{id}","event":"tested"}}"#)).collect();
        let headers = [("content-type", "application/json")];
        let body = format!("[{}]", events.join(","));
        let begun = Instant::now();
        let reply = client.try_send(hyper::Method::POST, "/v1/events", &headers, body).await;
        let Ok(reply) = reply else {
            self.others.lock().unwrap().push(0);
            return 0;
        };
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = slowest.max(begun.elapsed());
        if reply.status == 202 {
            let body = reply.json();
            let rejected: BTreeSet<u64> = body["rejected"]
                .as_array()
                .unwrap()
                .iter()
                .map(|rejected| rejected["id"].as_str().unwrap().trim_start_matches("e-").parse().unwrap())
                .collect();
            self.accepted.lock().unwrap().extend(ids.iter().filter(|id| !rejected.contains(id)));
        } else {
            self.others.lock().unwrap().push(reply.status);
        }
        reply.status
    }

    fn accepted(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// Statuses other than 202, each once.
    fn kinds(&self) -> BTreeSet<u16> {
        self.others.lock().unwrap().iter().copied().collect()
    }
}

/// Two ingest nodes and all that is behind them, on a broker of their own.
struct Cluster {
    broker: Broker,
    place: Place,
    ingest: Vec<Process>,
    behind: Vec<Process>,
    tenant: String,
    key: String,
    _alone: MutexGuard<'static, ()>,
}

impl Cluster {
    async fn start(quota: u64, settings: &[(&str, &str)]) -> Option<Self> {
        let alone = ONE_AT_A_TIME.lock().await;
        let broker = Broker::start().await?;
        let mut place = Place::new(Some(&broker.address)).await;
        for (name, value) in settings {
            place.set(name, value);
        }
        place.run(&["migrate"]).await;
        let tenant = place.run_json(&["tenant", "create", "capped", "--quota", &quota.to_string()]).await;
        let tenant = tenant["id"].as_str().unwrap().to_owned();
        let key = place.run_json(&["key", "create", &tenant]).await["key"].as_str().unwrap().to_owned();
        let mut ingest = Vec::new();
        for _ in 0..2 {
            ingest.push(place.start("ingest").await);
        }
        let behind = vec![place.start("processor").await, place.start("billing").await];
        Some(Self { broker, place, ingest, behind, tenant, key, _alone: alone })
    }

    fn clients(&self) -> Vec<Client> {
        self.ingest.iter().map(|node| node.client(Some(&self.key))).collect()
    }

    fn load(&self) -> (Arc<Sent>, JoinSet<()>) {
        let sent = Arc::new(Sent::default());
        let mut senders = JoinSet::new();
        for turn in 0..SENDERS {
            senders.spawn(Arc::clone(&sent).send(self.clients(), turn));
        }
        (sent, senders)
    }

    async fn usage(&self, what: &str) -> i64 {
        self.place.run_json(&["usage", &self.tenant]).await[what].as_i64().unwrap()
    }

    /// Stops ingest and waits until its quota is settled: then what is granted is what is stored, to the event.
    async fn settle(&mut self) {
        for node in self.ingest.drain(..) {
            assert!(node.stop().await.success());
        }
        let pool = self.place.stores.pool.clone();
        eventually("all nodes are settled", Duration::from_secs(60), async || {
            let nodes: i64 =
                sqlx::query_scalar("SELECT count(*) FROM ingest_node").fetch_one(&pool).await.unwrap();
            nodes == 0
        })
        .await;
        assert_eq!(self.usage("granted").await, self.usage("stored").await, "every copy was charged once");
    }

    /// Uses the quota up, and holds everything against the replies that senders got.
    async fn assert_kept(mut self, sent: &Sent, quota: u64) {
        self.settle().await;
        self.ingest.push(self.place.start("ingest").await);
        let client = self.clients().remove(0);
        let mut first = 1_000_000_000;
        while sent.post(&client, &(first..first + 100).collect::<Vec<_>>()).await == 202 {
            first += 100;
        }
        self.settle().await;
        let stores = &self.place.stores;
        let query = "SELECT DISTINCT event_id FROM events";
        let stored: BTreeSet<String> =
            stores.clickhouse().query(query).fetch_all::<String>().await.unwrap().into_iter().collect();
        let lost: Vec<u64> = sent
            .accepted
            .lock()
            .unwrap()
            .iter()
            .filter(|id| !stored.contains(&format!("e-{id}")))
            .copied()
            .collect();
        assert!(lost.is_empty(), "accepted, and not stored: {lost:?}");
        assert_eq!(stored.len() as u64, quota, "the cap is reached, and not passed");
        assert_eq!(stores.clickhouse_number("SELECT count() FROM events").await, quota, "stored once");
        let verdict = self.place.run_json(&["verify"]).await;
        assert_eq!(verdict["mismatch_count"], 0, "{verdict}");
        println!("duplicates refunded: {}", self.usage("duplicate").await);
        for process in self.behind {
            assert!(process.stop().await.success());
        }
    }
}

async fn stop(sent: &Sent, senders: JoinSet<()>) {
    sent.enough.store(true, Ordering::Relaxed);
    senders.join_all().await;
    println!(
        "accepted {}, others {:?}, slowest {:?}",
        sent.accepted(),
        sent.kinds(),
        *sent.slowest.lock().unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_held_up_for_a_quarter_of_a_minute_costs_no_event_and_no_wait() {
    let quota = 15_000;
    let Some(cluster) = Cluster::start(quota, &[]).await else { return };
    let (sent, senders) = cluster.load();
    eventually("the load is on", Duration::from_secs(20), async || sent.accepted() > 1_000).await;
    cluster.broker.pause().await;
    // What the test is about: so long, and no longer.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let during = sent.accepted();
    assert!(cluster.ingest[0].metrics().await.contains("weir_spool_spooling 1"));
    cluster.broker.resume().await;
    eventually("the spools are drained", Duration::from_secs(60), async || {
        for node in &cluster.ingest {
            let metrics = node.metrics().await;
            if !metrics.contains("weir_spool_records 0") || !metrics.contains("weir_spool_spooling 0") {
                return false;
            }
        }
        true
    })
    .await;
    stop(&sent, senders).await;
    assert!(during > 3_000, "{during} were accepted, nearly all of them while the broker was held up");
    assert!(sent.kinds().is_subset(&[402].into()), "{:?}", sent.kinds());
    assert!(*sent.slowest.lock().unwrap() < REPLY_WITHIN);
    cluster.assert_kept(&sent, quota).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_while_kafka_is_away_starts_without_it_and_loses_nothing() {
    // More than is sent before the last phase.
    let quota = 40_000;
    let Some(mut cluster) = Cluster::start(quota, &[]).await else { return };
    let (sent, senders) = cluster.load();
    eventually("the load is on", Duration::from_secs(20), async || sent.accepted() > 1_000).await;
    cluster.broker.pause().await;
    eventually("the node spools", Duration::from_secs(30), async || {
        cluster.ingest[0].metrics().await.contains("weir_spool_spooling 1")
    })
    .await;
    let mut victim = cluster.ingest.remove(0);
    victim.kill().await;
    let again = cluster.place.start_again(victim).await;
    cluster.ingest.insert(0, again);
    let before = sent.accepted();
    eventually("it takes events, and Kafka is still away", Duration::from_secs(20), async || {
        sent.accepted() > before
    })
    .await;
    let client = cluster.ingest[0].client(Some(&cluster.key));
    let reply = client.post_ids(["after the start"]).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    cluster.broker.resume().await;
    // Clients go on for a while with Kafka back, whatever is drained and accepted by then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    stop(&sent, senders).await;
    eventually(
        "the one that was killed is settled: its spool is drained",
        Duration::from_secs(60),
        async || cluster.place.stores.postgres_number("SELECT count(*) FROM ingest_node").await == 2,
    )
    .await;
    assert!(sent.kinds().is_subset(&[0, 402, 503].into()), "{:?}", sent.kinds());
    assert!(*sent.slowest.lock().unwrap() < REPLY_WITHIN);
    cluster.assert_kept(&sent, quota).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_the_quota_does_not_cover_is_not_made_and_what_was_not_confirmed_is_charged_once() {
    let Some(mut cluster) = Cluster::start(15, &[]).await else { return };
    let client = cluster.clients().remove(0);
    eventually("Kafka confirms", Duration::from_secs(20), async || client.post_ids([0]).await.status == 202)
        .await;
    eventually("it is stored", Duration::from_secs(20), async || cluster.usage("stored").await == 1).await;
    cluster.broker.pause().await;
    let begun = Instant::now();
    let unclear = client.post_ids(10..20).await;
    assert_eq!((unclear.status, unclear.code()), (503, "not_durable".to_owned()));
    assert!(begun.elapsed() < REPLY_WITHIN, "{:?}", begun.elapsed());
    let begun = Instant::now();
    let spooled = client.post_ids(20..23).await;
    assert_eq!((spooled.status, spooled.json()["accepted"].as_u64()), (202, Some(3)));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    cluster.broker.resume().await;
    eventually("what stood in the broker's socket is stored", Duration::from_secs(30), async || {
        cluster.usage("stored").await == 14
    })
    .await;
    cluster.settle().await;
    assert_eq!(cluster.usage("duplicate").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_events_are_to_be_refused_they_are_at_once_and_memory_stays_flat() {
    let Some(cluster) = Cluster::start(1_000_000, &[("WEIR_OUTAGE_POLICY", "refuse")]).await else { return };
    let client = cluster.clients().remove(0);
    assert_eq!(client.post_ids(0..10).await.status, 202);
    cluster.broker.pause().await;
    let first = client.post_ids(10..20).await;
    assert_eq!((first.status, first.code()), (503, "not_durable".to_owned()));
    let before = cluster.ingest[0].resident_bytes();
    let (mut refused, mut waited, begun) = (0, 0, Instant::now());
    // 50 MB, as fast as the machine lets one client send them.
    while refused < 500 && begun.elapsed() < Duration::from_secs(30) {
        let sent = Instant::now();
        let large = "x".repeat(100_000);
        let body = format!(r#"{{"event":"tested","properties":{{"x":"{large}"}}}}"#);
        let reply = client.post_json("/v1/events", body);
        // A probe waits for as long as Kafka may take, and each half second lets one out: a client that gave up
        // only after half a second would be the next probe too, and the one after.
        match tokio::time::timeout(Duration::from_millis(150), reply).await {
            Ok(reply) => {
                assert_eq!((reply.status, reply.code()), (503, "overloaded".to_owned()));
                assert!(reply.headers.contains_key("retry-after"));
                refused += 1;
            }
            Err(_) => waited += 1,
        }
        assert!(sent.elapsed() < Duration::from_secs(1));
    }
    let took = begun.elapsed();
    let grown = cluster.ingest[0].resident_bytes().saturating_sub(before);
    println!("{refused} refused, {waited} probes in {took:?}, {grown} bytes more memory");
    assert_eq!(refused, 500, "{waited} waited");
    // A busy machine answers late now and then; what may not be is that most wait.
    assert!(waited < 100, "{waited} waited in {took:?}");
    assert!(grown < 32 << 20, "{grown} bytes of memory more, after {} of requests", refused * 100_000);
    cluster.broker.resume().await;
    eventually("it goes on", Duration::from_secs(20), async || client.post_ids(20..30).await.status == 202)
        .await;
}
