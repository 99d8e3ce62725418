//! Storms of retries: the same batch again and again, and all clients at once after an outage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use testkit::stores::optional;
use testkit::{Client, eventually};
use tokio::task::JoinSet;

use crate::process::{Place, Process};

/// The batch of a hundred events whose ids are always the same, and whose bodies say which `version` this is.
fn batch(version: &str) -> String {
    let events: Vec<String> = (0..100)
        .map(|n| format!(r#"{{"id":"storm-{n}","event":"e","properties":{{"version":"{version}"}}}}"#))
        .collect();
    format!("[{}]", events.join(","))
}

/// Sends `body` a hundred times at once, to all nodes in turn; every reply says that all of it was accepted.
async fn storm(nodes: &[&Process], key: &str, body: String) {
    let mut sending = JoinSet::new();
    for number in 0..100 {
        let (client, body) = (nodes[number % nodes.len()].client(Some(key)), body.clone());
        sending.spawn(async move { client.post_json("/v1/events", body).await });
    }
    for reply in sending.join_all().await {
        assert_eq!((reply.status, reply.json()["accepted"].as_u64()), (202, Some(100)), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_sent_three_hundred_times_through_two_nodes_and_restarts_is_stored_once_as_it_came_first() {
    let Some(brokers) = optional("WEIR_TEST_KAFKA_BROKERS") else {
        println!("NO KAFKA BROKER: the storm of duplicates was not run, see `make test`");
        return;
    };
    let place = Place::new(Some(&brokers)).await;
    place.run(&["migrate"]).await;
    let (tenant, key) = place.customer("storm", &["--plan", "unlimited"]).await;
    let (one, two) = (place.start("ingest").await, place.start("ingest").await);
    let mut processor = place.start("processor").await;
    storm(&[&one, &two], &key, batch("first")).await;
    // In the middle of processing: what was seen must be known to the next owner.
    processor.kill().await;
    let mut one = one;
    one.kill().await;
    let processor = place.start_again(processor).await;
    let one = place.start_again(one).await;
    storm(&[&one, &two], &key, batch("first")).await;
    storm(&[&one, &two], &key, batch("second")).await;
    eventually("all of it is processed", Duration::from_secs(60), async || {
        let usage = place.run_json(&["usage", &tenant]).await;
        usage["stored"].as_u64().unwrap() + usage["duplicate"].as_u64().unwrap() == 30_000
    })
    .await;
    let usage = place.run_json(&["usage", &tenant]).await;
    assert_eq!((&usage["stored"], &usage["duplicate"]), (&100.into(), &29_900.into()), "{usage}");
    let rows = "SELECT count() FROM events WHERE properties = '{\"version\":\"first\"}'";
    assert_eq!(place.stores.clickhouse_number(rows).await, 100);
    assert_eq!(place.stores.clickhouse_number("SELECT count() FROM events").await, 100);
    assert_eq!(place.run_json(&["verify"]).await["mismatch_count"], 0);
    drop((one, two, processor));
}

/// Clients that send batches, each again until it is accepted.
struct Crowd {
    /// Batches that were accepted.
    accepted: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

/// Events of a batch.
const BATCH: u64 = 20;
/// How long goodput is measured.
const WINDOW: Duration = Duration::from_secs(3);

impl Crowd {
    fn start(clients: u32, name: &'static str, process: &Process, key: &str) -> Self {
        let mut crowd = Self { accepted: Arc::default(), stop: Arc::default(), clients: JoinSet::new() };
        for number in 0..clients {
            let client = process.client(Some(key));
            let (accepted, stop) = (Arc::clone(&crowd.accepted), Arc::clone(&crowd.stop));
            crowd.clients.spawn(async move {
                let mut sent = 0;
                while !stop.load(Ordering::Relaxed) {
                    insist(&client, &format!("{name}-{number}-{sent}")).await;
                    accepted.fetch_add(1, Ordering::Relaxed);
                    sent += 1;
                }
            });
        }
        crowd
    }

    fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Batches that are accepted in a window.
    async fn goodput(&self) -> u64 {
        let before = self.accepted();
        // What is measured is how much comes through in this time.
        tokio::time::sleep(WINDOW).await;
        self.accepted() - before
    }

    /// Lets every client end its batch; how many were accepted in all.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        self.accepted.load(Ordering::Relaxed)
    }
}

/// Sends a batch until it is accepted, without patience, as the worst of SDKs do.
async fn insist(client: &Client, batch: &str) {
    let events: Vec<String> = (0..BATCH).map(|n| format!(r#"{{"id":"{batch}-{n}","event":"e"}}"#)).collect();
    let body = format!("[{}]", events.join(","));
    let json = [("content-type", "application/json")];
    loop {
        match client.try_send(hyper::Method::POST, "/v1/events", &json, body.clone()).await {
            Ok(reply) if reply.status == 202 => return,
            Ok(reply) => assert_eq!(reply.status, 503, "{reply:?}"),
            Err(_) => {}
        }
        // A client's pause, and all the patience that it has.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_ten_times_the_clients_are_served_as_well_as_those_before() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    let (tenant, key) = place.customer("storm", &["--plan", "unlimited"]).await;
    let mut process = place.start("standalone").await;
    let few = Crowd::start(8, "few", &process, &key);
    few.goodput().await;
    let usual = few.goodput().await;

    process.kill().await;
    let many = Crowd::start(80, "many", &process, &key);
    // The outage: every client is refused again and again meanwhile.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let process = place.start_again(process).await;
    let back = Instant::now();
    let mut seen = Vec::new();
    // 80 % of it, within a minute of the return.
    while seen.last().is_none_or(|now| now * 10 < usual * 8) {
        assert!(back.elapsed() < Duration::from_secs(60), "usual {usual}, since then {seen:?}");
        let before = few.accepted();
        seen.push(many.goodput().await + few.accepted() - before);
    }
    println!("batches in {WINDOW:?}: {usual} before, {seen:?} with eleven times the clients");
    let sent = BATCH * (few.stop().await + many.stop().await);
    eventually("every batch is stored once", Duration::from_secs(90), async || {
        place.run_json(&["usage", &tenant]).await["stored"].as_u64().unwrap() >= sent
    })
    .await;
    assert_eq!(place.run_json(&["usage", &tenant]).await["stored"], sent);
    assert_eq!(place.run_json(&["verify"]).await["mismatch_count"], 0);
    assert!(process.stop().await.success());
}
