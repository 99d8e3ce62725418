//! Records of which nobody knows whether they are in the log: none is there twice, and none holds quota without end.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use eventlog::kafka::{KafkaConfig, KafkaLog};
use eventlog::{Append, AppendError, Bounds, EventLog, LogError, LogReader};
use service::clock::Clock;
use testkit::broker::free_port;
use testkit::{Broker, Node, NodeConfig, Proxy, River, eventually};
use tokio::time::sleep;

use crate::river::metered;

const SOON: Duration = Duration::from_secs(20);

/// Two records are in the log, and their acknowledgements lost. The first is given up while there is no connection.
/// Then the second must not be sent again: brokers would take it for a new one.
#[tokio::test(flavor = "multi_thread")]
async fn what_brokers_have_is_not_sent_again_when_another_record_is_given_up() {
    let port = free_port();
    let proxy = Proxy::to(&format!("127.0.0.1:{port}")).await;
    let Some(broker) = Broker::start_behind(port, proxy.address()).await else { return };
    let direct = KafkaConfig { ack_timeout: Duration::from_secs(6), ..KafkaConfig::new(&broker.address) };
    KafkaLog::create_topic(&direct, 2, 1, None).await.unwrap();
    let direct_log = KafkaLog::open(direct.clone()).await.unwrap();
    let log = KafkaLog::open(KafkaConfig { brokers: proxy.address().to_string(), ..direct }).await.unwrap();
    let log = Arc::new(log);
    log.append(vec![record(0, "before"), record(1, "before")], SOON).await.unwrap();
    let ends_are = async |wanted: [u64; 2]| {
        eventually("the broker has them", SOON, async || {
            direct_log.bounds().await.unwrap().iter().map(|bounds| bounds.end).eq(wanted)
        })
        .await;
    };

    proxy.mute();
    let first = append(&log, record(0, "first"));
    ends_are([2, 1]).await;
    // So that the second is still in time when the first is late.
    sleep(Duration::from_secs(3)).await;
    let second = append(&log, record(1, "second"));
    ends_are([2, 2]).await;
    proxy.cut();
    assert!(matches!(first.await.unwrap(), Err(AppendError::Unknown(_))));
    proxy.mend();
    let second = second.await.unwrap();
    let ends: Vec<u64> = direct_log.bounds().await.unwrap().iter().map(|bounds| bounds.end).collect();
    assert_eq!(ends, [2, 2], "the second is there once, whatever is said of it: {second:?}");
    assert!(matches!(second, Err(AppendError::Unknown(_))), "{second:?}");

    eventually("the log takes records again", SOON, async || {
        log.append(vec![record(1, "after")], SOON).await.is_ok()
    })
    .await;
}

fn record(partition: u32, text: &'static str) -> Append {
    Append { partition, timestamp_ms: 1_760_000_000_000, payload: text.into() }
}

fn append(log: &Arc<KafkaLog>, record: Append) -> tokio::task::JoinHandle<Result<(), AppendError>> {
    let log = Arc::clone(log);
    tokio::spawn(async move { log.append(vec![record], SOON).await })
}

/// A log that takes every record, confirms none, and has forgotten them all.
struct Forgetful(Arc<dyn EventLog>);

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl EventLog for Forgetful {
    fn partitions(&self) -> u32 {
        self.0.partitions()
    }

    fn identity(&self) -> &str {
        self.0.identity()
    }

    fn append(&self, _: Vec<Append>, _: Duration) -> Answer<'_, Result<(), AppendError>> {
        Box::pin(async { Err(AppendError::Unknown("it was not confirmed".to_owned())) })
    }

    fn reader(&self, from: &[(u32, u64)]) -> Answer<'_, Result<Box<dyn LogReader>, LogError>> {
        self.0.reader(from)
    }

    fn bounds(&self) -> Answer<'_, Result<Vec<Bounds>, LogError>> {
        self.0.bounds()
    }

    fn trim(&self, partition: u32, before: u64) -> Answer<'_, Result<(), LogError>> {
        self.0.trim(partition, before)
    }

    fn close(&self, deadline: Duration) -> Answer<'_, ()> {
        self.0.close(deadline)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quota_of_events_that_never_came_into_the_log_comes_back_while_their_node_lives() {
    let river = River::start().await;
    let customer = river.customer("capped", Some(100)).await;
    let (pool, clock) = (river.stores.pool.clone(), Clock::system());
    let log = Arc::new(Forgetful(Arc::clone(&river.log)));
    let settings = vec![("WEIR_INGEST_LEASE_MS", "3000".to_owned())];
    let node = NodeConfig { pool, log, settings, directory_file: None, is_bound: true, clock };
    let node = Node::start(node).await;
    let reply = node.client(&customer.key).post_ids(0..60).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "not_durable"));

    let granted = async || river.stores.postgres_number("SELECT granted FROM quota_period").await;
    assert!(granted().await >= 60, "they are charged: they may be in the log");
    eventually("they are not, and are given back", Duration::from_secs(40), async || granted().await == 0)
        .await;
    let reply = river.client(&customer.key).post_ids(0..100).await;
    assert_eq!(reply.json()["accepted"], 100, "{reply:?}");
    metered(&river, &customer, 100).await;
    node.stop().await;
    river.stop().await;
}
