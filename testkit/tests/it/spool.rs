//! Quota of nodes that died with events in their spool. A spool whose log has not been reached yet stands for a Kafka
//! that is away.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eventlog::EventLog;
use eventlog::spool::{Spool, SpoolConfig, SpooledLog};
use metering::lease::{self, heartbeat};
use metering::spool::{Copies, ForgetError, ended, forget, list, release};
use schemas::frame::{Envelope, FrameWriter};
use schemas::id::{KeyId, LeaseId, ProjectId, TenantId};
use schemas::time::Micros;
use service::clock::Clock;
use sqlx::PgPool;
use testkit::river::Customer;
use testkit::{Node, NodeConfig, River, Stores, eventually};
use uuid::Uuid;

use crate::river::metered;

const LEASE: Duration = Duration::from_secs(15);

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

    /// The spool, as soon as whoever had it before is gone.
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
    // Reclaiming looks each second, and without a spool this node would be gone by now.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(place.nodes().await, before + 1, "it is left alone");
    assert_eq!(place.number("SELECT granted FROM quota_lease l JOIN ingest_node n ON n.id = l.node_id WHERE n.lease_until = '-infinity'").await, 100);
    let [waiting] = &list(&place.river.stores.pool).await.unwrap()[..] else { panic!("one spool") };
    assert_eq!((waiting.ended, waiting.live, waiting.held), (1, false, 100));

    let spool = place.open(true).await;
    let node = place.start(&spool).await;
    metered(&place.river, &customer, 100).await;
    eventually("it is settled", Duration::from_secs(20), async || place.nodes().await == before + 1).await;
    assert_eq!(place.number("SELECT count(*) FROM ingest_node WHERE lease_until = '-infinity'").await, 0);
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

async fn spool_of(pool: &PgPool, node: Uuid) -> Option<Uuid> {
    sqlx::query_scalar("SELECT spool FROM ingest_node WHERE id = $1")
        .bind(node)
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_is_not_released_and_one_that_was_names_its_spool_again() {
    let stores = Stores::fresh().await;
    let (pool, spool) = (&stores.pool, Some(Uuid::from_u128(7)));
    let [silent, dead, live] = [1, 2, 3].map(Uuid::from_u128);
    for node in [silent, dead, live] {
        lease::register(pool, node, LEASE, spool).await.unwrap();
    }
    lease::register(pool, Uuid::from_u128(4), LEASE, Some(Uuid::from_u128(8))).await.unwrap();
    sqlx::query("UPDATE ingest_node SET lease_until = now() - interval '11 seconds' WHERE id = ANY($1)")
        .bind([silent, Uuid::from_u128(4)])
        .execute(pool)
        .await
        .unwrap();
    lease::end(pool, dead).await.unwrap();
    let found = ended(pool, spool.unwrap()).await.unwrap();
    let mut nodes: Vec<Uuid> = found.iter().map(|ended| ended.node).collect();
    nodes.sort();
    assert_eq!(nodes, [silent, dead], "not those that live, and not another spool's");
    // It comes back, and is silent again, between the first step and the third.
    heartbeat(pool, silent, LEASE, spool).await.unwrap();
    sqlx::query("UPDATE ingest_node SET lease_until = now() - interval '11 seconds' WHERE id = $1")
        .bind(silent)
        .execute(pool)
        .await
        .unwrap();
    assert_eq!(release(pool, &found).await.unwrap(), 1);
    assert_eq!((spool_of(pool, silent).await, spool_of(pool, dead).await), (spool, None));
    assert_eq!(spool_of(pool, live).await, spool);
    // It comes back after the third.
    let found = ended(pool, spool.unwrap()).await.unwrap();
    assert_eq!(release(pool, &found).await.unwrap(), 1);
    assert_eq!(spool_of(pool, silent).await, None);
    heartbeat(pool, silent, LEASE, spool).await.unwrap();
    assert_eq!(spool_of(pool, silent).await, spool);
}

fn frame(tenant: TenantId, lease: LeaseId) -> bytes::Bytes {
    let envelope = Envelope {
        tenant,
        project: ProjectId(1),
        key: KeyId::from_number(1).unwrap(),
        lease,
        period_start: 1_793_491_200,
        received_at: Micros(1_795_000_000_000_000),
        request_id: Uuid::nil(),
        client_ip: None,
        user_agent: "",
    };
    let mut writer = FrameWriter::new(&envelope, 0);
    let event = schemas::event::Event {
        hash: schemas::id::EventHash(1),
        kind: schemas::event::EventKind::Track,
        flags: schemas::event::EventFlags::default(),
        timestamp: Micros(0),
        id: "a",
        name: "b",
        user_id: "",
        anonymous_id: "",
        properties: "",
        context: "",
        extra: "",
    };
    assert_eq!((writer.push(&event), writer.push(&event)), (Ok(()), Ok(())));
    writer.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_charged_to_its_lease_and_period_also_beyond_the_cap() {
    let stores = Stores::fresh().await;
    let node = Uuid::from_u128(1);
    lease::register(&stores.pool, node, LEASE, Some(Uuid::from_u128(7))).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO tenant (name, plan_id, quota) SELECT 'capped', id, 3 FROM plan LIMIT 1;
         INSERT INTO quota_period SELECT id, '2026-11-01 00:00:00Z', 3 FROM tenant;
         INSERT INTO quota_lease (node_id, tenant_id, period_start, granted)
             SELECT '00000000-0000-0000-0000-000000000001', tenant_id, period_start, 3 FROM quota_period;",
    )
    .execute(&stores.pool)
    .await
    .unwrap();
    let (tenant, lease): (i64, i64) =
        sqlx::query_as("SELECT tenant_id, id FROM quota_lease").fetch_one(&stores.pool).await.unwrap();
    let of_lease = frame(TenantId(tenant), LeaseId(lease));
    let of_none = frame(TenantId(tenant), LeaseId::NONE);
    let of_gone = frame(TenantId(tenant), LeaseId(lease + 1));
    Copies::of([&of_lease[..], &of_lease, &of_none]).charge(&stores.pool).await.unwrap();
    let granted = async || {
        let query = "SELECT q.granted, l.granted FROM quota_period q JOIN quota_lease l USING (tenant_id, period_start)";
        sqlx::query_as::<_, (i64, i64)>(query).fetch_one(&stores.pool).await.unwrap()
    };
    assert_eq!(granted().await, (7, 7));
    Copies::of([&of_gone[..]]).charge(&stores.pool).await.unwrap();
    assert_eq!(granted().await, (9, 7), "the safe side");
}
