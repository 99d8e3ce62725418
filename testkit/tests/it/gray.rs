//! A dependency that is there and does not answer.

use std::time::{Duration, Instant};

use service::clock::Clock;
use service::config::Secret;
use service::postgres;
use testkit::{Client, Node, NodeConfig, Proxy, River, eventually};

use crate::river::metered;

/// How long Postgres says nothing.
const FROZEN: Duration = Duration::from_secs(30);
/// SDKs give up after ten seconds; a busy machine may take a little longer than the deadline of eight.
const ANSWERED_WITHIN: Duration = Duration::from_millis(8_500);

/// What a client saw while Postgres was frozen.
#[derive(Debug, Default)]
struct Seen {
    accepted: u64,
    refused: u64,
    longest: Duration,
}

/// Sends one event after the other until `until`: each is accepted or refused with a 503 that says when to come back,
/// and each in time.
async fn send(client: Client, name: &'static str, until: Instant) -> Seen {
    let mut seen = Seen::default();
    while Instant::now() < until {
        let begun = Instant::now();
        let id = format!("{name}-{}", seen.accepted + seen.refused);
        let reply = client.post_ids([id]).await;
        seen.longest = seen.longest.max(begun.elapsed());
        match reply.status {
            202 => seen.accepted += 1,
            503 => {
                assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
                seen.refused += 1;
            }
            status => panic!("{status}: {reply:?}"),
        }
        // The client's pause between two requests.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_says_nothing_every_request_is_answered_within_eight_seconds() {
    let river = River::start().await;
    let (uncapped, capped) =
        (river.customer("uncapped", None).await, river.customer("capped", Some(100_000)).await);
    let (proxy, url) = Proxy::to_postgres(&river.stores.database_url).await;
    let pool = postgres::pool(&Secret::from(url.as_str()), 4, None).unwrap();
    let (log, directory_file) = (std::sync::Arc::clone(&river.log), None);
    let (settings, clock) = (Vec::new(), Clock::system());
    let node = Node::start(NodeConfig { pool, log, settings, directory_file, is_bound: true, clock }).await;
    let (free, held) = (node.client(&uncapped.key), node.client(&capped.key));
    assert_eq!((free.post_ids(["a"]).await.status, held.post_ids(["a"]).await.status), (202, 202));

    proxy.freeze();
    let until = Instant::now() + FROZEN;
    let sending =
        [(free.clone(), "free"), (free, "free-too"), (held.clone(), "held"), (held.clone(), "held-too")]
            .map(|(client, name)| tokio::spawn(send(client, name, until)));
    let mut seen = Vec::new();
    for sent in sending {
        seen.push(sent.await.unwrap());
    }
    println!("{seen:?}");
    assert!(seen.iter().all(|seen| seen.longest < ANSWERED_WITHIN), "{seen:?}");
    assert!(seen[..2].iter().all(|seen| seen.refused == 0 && seen.accepted > 100), "{seen:?}");
    assert!(seen[2..].iter().all(|seen| seen.refused > 0), "a slice comes to its end: {seen:?}");

    proxy.mend();
    eventually("the capped are served again", Duration::from_secs(15), async || {
        held.post_ids(["b"]).await.status == 202
    })
    .await;
    let accepted = |seen: &[Seen]| seen.iter().map(|seen| i64::try_from(seen.accepted).unwrap()).sum::<i64>();
    metered(&river, &uncapped, accepted(&seen[..2]) + 1).await;
    metered(&river, &capped, accepted(&seen[2..]) + 2).await;
    node.stop().await;
    river.stop().await;
}
