use std::sync::Arc;
use std::time::Duration;

use eventlog::local::{LocalConfig, LocalLog};
use eventlog::{Append, EventLog};
use metering::ledger::Counts;
use metering::reclaim;
use metering::settle::Settlement;
use schemas::outcome::Outcome;
use uuid::Uuid;

use crate::lease::granted;
use crate::{NOVEMBER, Place};

/// A log of one partition, to which the database is bound.
pub(crate) async fn log(place: &Place) -> Arc<dyn EventLog> {
    sqlx::query("INSERT INTO partition_cursor (partition) VALUES (0)")
        .execute(&place.stores.pool)
        .await
        .unwrap();
    Arc::new(LocalLog::open(LocalConfig::new(place.stores.folder.path().join("log"), 1)).unwrap())
}

pub(crate) async fn round(place: &Place, log: &Arc<dyn EventLog>) {
    reclaim::round(&place.billing, &**log).await.unwrap();
}

async fn nodes(place: &Place) -> i64 {
    place.number("SELECT count(*) FROM ingest_node").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_gives_back_what_it_had_not_spent_once_the_log_is_processed_past_it() {
    let place = Place::new().await;
    let log = log(&place).await;
    let tenant = place.tenant(10).await;
    let node = place.node(None).await;
    let lease = granted(&place, node, tenant, 8).await.lease;
    let record = Append { partition: 0, timestamp_ms: 0, payload: bytes::Bytes::from_static(b"of the node") };
    log.append(vec![record], Duration::from_secs(5)).await.unwrap();
    round(&place, &log).await;
    assert_eq!((nodes(&place).await, place.granted().await), (1, (8, 8)), "it lives");
    place.is_dead(node).await;
    round(&place, &log).await;
    round(&place, &log).await;
    assert_eq!((nodes(&place).await, place.granted().await), (1, (8, 8)), "its record is not processed");

    let mut settlement = Settlement::default();
    settlement.add(tenant, NOVEMBER, lease, Counts::of(Outcome::Stored, 3));
    let mut tx = place.processor.begin().await.unwrap();
    settlement.apply(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    sqlx::query("UPDATE partition_cursor SET next_offset = 1").execute(&place.processor).await.unwrap();
    round(&place, &log).await;
    assert_eq!(nodes(&place).await, 0);
    assert_eq!(place.number("SELECT granted FROM quota_period").await, 3, "what was stored");
    assert_eq!(place.number("SELECT count(*) FROM quota_lease").await, 0);
    round(&place, &log).await;
    assert_eq!(place.number("SELECT granted FROM quota_period").await, 3, "and not twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_with_a_spool_is_left_alone_until_the_spool_is_drained_or_forgotten() {
    let place = Place::new().await;
    let log = log(&place).await;
    let tenant = place.tenant(10).await;
    let spool = Uuid::from_u128(7);
    let node = place.node(Some(spool)).await;
    granted(&place, node, tenant, 8).await;
    place.is_dead(node).await;
    for _ in 0..3 {
        round(&place, &log).await;
    }
    assert_eq!((nodes(&place).await, place.granted().await), (1, (8, 8)));
    let found = metering::spool::ended(&place.ingest, spool).await.unwrap();
    assert_eq!(metering::spool::release(&place.ingest, &found).await.unwrap(), 1);
    round(&place, &log).await;
    assert_eq!((nodes(&place).await, place.number("SELECT granted FROM quota_period").await), (0, 0));
}
