//! How counts come into Postgres when it has been away.

use std::sync::Arc;
use std::time::Duration;

use service::clock::Clock;
use service::config::Secret;
use service::postgres;
use testkit::{Node, NodeConfig, Proxy, River, eventually};

use super::outcomes_of;

#[tokio::test(flavor = "multi_thread")]
async fn counts_come_through_when_postgres_has_been_away_and_are_complete() {
    let river = River::start().await;
    let acme = river.customer("acme", None).await;
    let (proxy, url) = Proxy::to_postgres(&river.stores.database_url).await;
    let pool = postgres::pool(&Secret::from(url.as_str()), 4, None).unwrap();
    let (log, clock) = (Arc::clone(&river.log), Clock::system());
    let config = NodeConfig { pool, log, settings: vec![], directory_file: None, is_bound: true, clock };
    let node = Node::start(config).await;
    let client = node.client(&acme.key);
    let accepted = async || {
        let found = outcomes_of(&river.stores.pool, acme.tenant).await;
        found
            .iter()
            .filter(|((_, _, outcome), _)| outcome == "accepted")
            .map(|(_, (events, _))| events)
            .sum::<i64>()
    };
    for (round, is_away) in [false, true, true, false].into_iter().enumerate() {
        if is_away {
            proxy.cut();
        } else {
            proxy.mend();
        }
        let ids = (0..10).map(|number| format!("{round}-{number}"));
        assert_eq!(client.post_ids(ids).await.status, 202);
        let sent = i64::try_from(round + 1).unwrap() * 10;
        if is_away {
            // Longer than it takes to try: nothing shows from outside that it was tried.
            tokio::time::sleep(Duration::from_secs(6)).await;
            assert_eq!(accepted().await, 10);
        } else {
            eventually("what was accepted is shown", Duration::from_secs(15), async || {
                accepted().await == sent
            })
            .await;
        }
    }
    // The last write is made when the node ends.
    assert_eq!(client.post_ids(["last"]).await.status, 202);
    node.stop().await;
    assert_eq!(accepted().await, 41);
    river.stop().await;
}
