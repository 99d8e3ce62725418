//! Quota of nodes that died with events in their spool. A spool whose log has not been reached yet stands for a Kafka
//! that is away.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eventlog::EventLog;
use eventlog::spool::{Spool, SpoolConfig, SpooledLog};
use metering::reclaim;
use metering::spool::{ForgetError, forget, list};
use service::clock::Clock;
use testkit::river::Customer;
use testkit::{Node, NodeConfig, River, eventually};
use uuid::Uuid;

use crate::river::metered;

/// A river with a second node, which is started again and again on its spool.
struct Place {
    river: River,
    folder: PathBuf,
}

impl Place {
    async fn new() -> Self {
        let river = River::start().await;
        let folder = river.stores.folder.path().join("node/spool");
        let place = Self { river, folder };
        // The spool is made while the log is there.
        drop(place.open(true).await);
        place
    }

    /// The spool, as soon as its former holder is gone.
    async fn open(&self, is_reached: bool) -> Arc<Spool> {
        let mut opened = None;
        eventually("the spool's folder is free", Duration::from_secs(10), async || {
            let (dir, patience) = (self.folder.clone(), Duration::from_secs(2));
            let config = SpoolConfig { dir, bytes_max: 1 << 30, patience, takes: true };
            opened = Spool::open(config, is_reached.then(|| Arc::clone(&self.river.log))).ok();
            opened.is_some()
        })
        .await;
        Arc::new(opened.unwrap())
    }

    async fn start(&self, spool: &Arc<Spool>) -> Node {
        let pool = self.river.stores.pool.clone();
        let log: Arc<dyn EventLog> = Arc::new(SpooledLog::new(Arc::clone(spool)));
        let (settings, directory_file, clock) = (vec![], None, Clock::system());
        Node::start(NodeConfig { pool, log, settings, directory_file, is_bound: true, clock }).await
    }

    /// A node that accepted 100 events and ended before the log was there.
    async fn ended_node(&self, customer: &Customer) -> Uuid {
        let spool = self.open(false).await;
        let node = self.start(&spool).await;
        assert_eq!(node.client(&customer.key).post_ids(0..100).await.status, 202);
        let live = forget(&self.river.stores.pool, spool.id()).await;
        assert!(matches!(live, Err(ForgetError::Live(_))), "{live:?}");
        node.stop().await;
        // So long ago that no append of it can still land.
        let ended =
            "UPDATE ingest_node SET lease_until = now() - interval '11 seconds' WHERE spool IS NOT NULL";
        sqlx::query(ended).execute(&self.river.stores.pool).await.unwrap();
        spool.id()
    }

    async fn number(&self, query: &'static str) -> i64 {
        self.river.stores.postgres_number(query).await
    }

    /// What is granted of the one tenant's quota, by the time that the river's own node has given back what it held.
    async fn granted(&self) -> i64 {
        self.number("SELECT granted FROM quota_period").await
    }

    async fn nodes(&self) -> i64 {
        self.number("SELECT count(*) FROM ingest_node").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_settled_when_its_spool_is_drained_and_not_before() {
    let place = Place::new().await;
    let customer = place.river.customer("capped", Some(1_000)).await;
    let before = place.nodes().await;
    place.ended_node(&customer).await;
    // Without a spool this node would be gone after these.
    for _ in 0..2 {
        reclaim::round(&place.river.stores.pool, &*place.river.log).await.unwrap();
    }
    assert_eq!(place.nodes().await, before + 1, "it is left alone");
    let granted = "SELECT granted FROM quota_lease l JOIN ingest_node n ON n.id = l.node_id
        WHERE n.lease_until < now()";
    assert_eq!(place.number(granted).await, 100);
    let [waiting] = &list(&place.river.stores.pool).await.unwrap()[..] else { panic!("one spool") };
    assert_eq!((waiting.ended, waiting.live, waiting.held), (1, false, 100));

    let spool = place.open(true).await;
    let node = place.start(&spool).await;
    metered(&place.river, &customer, 100).await;
    eventually("it is settled", Duration::from_secs(20), async || place.nodes().await == before + 1).await;
    assert_eq!(place.number("SELECT count(*) FROM ingest_node WHERE lease_until < now()").await, 0);
    node.stop().await;
    eventually(
        "its successor is settled at once, with an empty spool",
        Duration::from_secs(20),
        async || place.nodes().await == before && place.granted().await == 100,
    )
    .await;
    assert!(list(&place.river.stores.pool).await.unwrap().is_empty());
    place.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_spool_is_forgotten_is_settled_without_it() {
    let place = Place::new().await;
    let customer = place.river.customer("capped", Some(1_000)).await;
    let before = place.nodes().await;
    let spool = place.ended_node(&customer).await;
    let pool = &place.river.stores.pool;
    assert!(matches!(forget(pool, Uuid::nil()).await, Err(ForgetError::Unknown(_))));
    assert_eq!(forget(pool, spool).await.unwrap(), 1);
    eventually("it is settled", Duration::from_secs(20), async || {
        place.nodes().await == before && place.granted().await == 0
    })
    .await;
    place.river.stop().await;
}
