//! Clients that send batches of all sizes to all nodes, and keep the replies.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hyper::Method;
use testkit::{Client, Reply};
use tokio::task::JoinSet;

/// Events of a batch: most are small, most events are in large ones.
const SIZES: [usize; 8] = [1, 1, 1, 5, 20, 50, 200, 1_000];
/// After a refusal.
const PAUSE: Duration = Duration::from_millis(100);

/// The replies to all clients.
#[derive(Default)]
struct Replies {
    accepted: HashSet<String>,
    /// Sent at least once without a reply.
    unknown: HashSet<String>,
    refused: u64,
    /// The first acceptance of each node.
    first: Vec<Option<Instant>>,
    /// Whether requests may be left without a reply.
    unknown_is_expected: bool,
    /// Replies that should not have come.
    wrong: Vec<String>,
}

struct Shared {
    nodes: Vec<Client>,
    stop: AtomicBool,
    replies: Mutex<Replies>,
}

/// Clients that go on until they are stopped.
pub(super) struct Crowd {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

impl Crowd {
    /// So many clients, each of which turns to one node after the other.
    pub(super) fn start(clients: usize, nodes: Vec<Client>) -> Self {
        let replies = Replies { first: vec![None; nodes.len()], ..Replies::default() };
        let shared = Arc::new(Shared { nodes, stop: AtomicBool::new(false), replies: Mutex::new(replies) });
        let mut crowd = Self { shared, clients: JoinSet::new() };
        for number in 0..clients {
            let shared = Arc::clone(&crowd.shared);
            crowd.clients.spawn(async move { shared.client(number).await });
        }
        crowd
    }

    pub(super) fn accepted(&self) -> u64 {
        self.shared.replies().accepted.len() as u64
    }

    pub(super) fn refused(&self) -> u64 {
        self.shared.replies().refused
    }

    /// From now on, requests may be left without a reply.
    pub(super) fn expect_unknown(&self) {
        self.shared.replies().unknown_is_expected = true;
    }

    pub(super) fn forget_first_accepted(&self) {
        self.shared.replies().first.fill(None);
    }

    /// When each node first accepted something; `None` if one has not yet.
    pub(super) fn first_accepted(&self) -> Option<Vec<Instant>> {
        self.shared.replies().first.iter().copied().collect()
    }

    /// Every reply so far was an acceptance, or a 402 with a problem document.
    pub(super) fn assert_clean(&self) {
        let replies = self.shared.replies();
        assert!(
            replies.wrong.is_empty(),
            "{} replies, such as {:?}",
            replies.wrong.len(),
            replies.wrong.first()
        );
    }

    /// Stops the clients; which ids were accepted, and of which the outcome was unknown.
    pub(super) async fn stop(self) -> (HashSet<String>, HashSet<String>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        let mut replies = self.shared.replies();
        (std::mem::take(&mut replies.accepted), std::mem::take(&mut replies.unknown))
    }
}

impl Shared {
    fn replies(&self) -> MutexGuard<'_, Replies> {
        self.replies.lock().unwrap()
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn client(&self, number: usize) {
        // Not the same order of sizes for all.
        let (mut chance, mut requests) = (number, number);
        for batch in 0.. {
            if self.is_stopped() {
                return;
            }
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let size = SIZES[(chance >> 33) % SIZES.len()];
            let ids: Vec<String> = (0..size).map(|n| format!("{number}-{batch}-{n}")).collect();
            // Without a reply, the same ids are sent again, to another node.
            while !self.send(requests % self.nodes.len(), &ids).await && !self.is_stopped() {
                requests += 1;
                // The client's pause before it tries again.
                tokio::time::sleep(PAUSE).await;
            }
            requests += 1;
        }
    }

    /// Whether there was a reply.
    async fn send(&self, node: usize, ids: &[String]) -> bool {
        let events: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":"{id}","event":"e"}}"#)).collect();
        let json = [("content-type", "application/json")];
        let body = format!("[{}]", events.join(","));
        match self.nodes[node].try_send(Method::POST, "/v1/events", &json, body).await {
            Ok(reply) if reply.status == 202 => self.note_accepted(node, ids, &reply),
            Ok(reply) => {
                self.note_refused(&reply);
                // The client's pause after a refusal.
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                let mut replies = self.replies();
                replies.unknown.extend(ids.iter().cloned());
                if !replies.unknown_is_expected {
                    replies.wrong.push(error.to_string());
                }
                return false;
            }
        }
        true
    }

    fn note_accepted(&self, node: usize, ids: &[String], reply: &Reply) {
        let receipt = reply.json();
        let rejected = receipt["rejected"].as_array().unwrap();
        let over: HashSet<u64> = rejected.iter().map(|event| event["index"].as_u64().unwrap()).collect();
        let mut replies = self.replies();
        let is_sound = rejected.iter().all(|event| event["code"] == "quota_exceeded")
            && receipt["accepted"] == ids.len() - over.len()
            && over.len() < ids.len();
        if !is_sound {
            replies.wrong.push(format!("{reply:?}"));
        }
        let accepted = (0..).zip(ids).filter(|(index, _)| !over.contains(index)).map(|(_, id)| id.clone());
        replies.accepted.extend(accepted);
        replies.first[node].get_or_insert_with(Instant::now);
    }

    fn note_refused(&self, reply: &Reply) {
        let is_problem = reply.headers.get("content-type").is_some_and(|is| is == "application/problem+json");
        let is_sound = reply.status == 402 && is_problem && reply.code() == "quota_exceeded";
        let mut replies = self.replies();
        replies.refused += 1;
        if !is_sound {
            replies.wrong.push(format!("{reply:?}"));
        }
    }
}
