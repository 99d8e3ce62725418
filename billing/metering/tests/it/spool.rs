use metering::lease::{self, heartbeat};
use metering::ledger::{Account, Counts, Sum, Usage};
use metering::settle::{Drift, Settlement, mend_drift};
use metering::spool::{Copies, ForgetError, ended, forget, list, release, stopped};
use schemas::frame::Envelope;
use schemas::id::{LeaseId, ProjectId, TenantId};
use schemas::time::Micros;
use uuid::Uuid;

use crate::lease::granted;
use crate::{LEASE, NOVEMBER, Place};

const SPOOL: Uuid = Uuid::from_u128(7);

async fn spool_of(place: &Place, node: Uuid) -> Option<Uuid> {
    let query = "SELECT spool FROM ingest_node WHERE id = $1";
    sqlx::query_scalar(query).bind(node).fetch_one(&place.stores.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_is_not_released_and_one_that_was_names_its_spool_again() {
    let place = Place::new().await;
    let pool = &place.ingest;
    let [silent, dead, live] =
        [place.node(Some(SPOOL)).await, place.node(Some(SPOOL)).await, place.node(Some(SPOOL)).await];
    let of_another = place.node(Some(Uuid::from_u128(8))).await;
    place.is_dead(silent).await;
    place.is_dead(of_another).await;
    lease::end(pool, dead).await.unwrap();
    let found = ended(pool, SPOOL).await.unwrap();
    assert_eq!(found.len(), 1, "an append of the one that ended now may still land");
    assert_eq!(stopped(pool, SPOOL).await.unwrap().len(), 2, "its own process knows that none does");
    place.is_dead(dead).await;
    let found = ended(pool, SPOOL).await.unwrap();
    let mut nodes: Vec<Uuid> = found.iter().map(|ended| ended.node).collect();
    nodes.sort();
    assert_eq!(nodes, [silent, dead], "not those that live, and not another spool's");
    // It comes back, and is silent again, between the first step and the third.
    heartbeat(pool, silent, LEASE, Some(SPOOL)).await.unwrap();
    place.is_dead(silent).await;
    assert_eq!(release(pool, &found).await.unwrap(), 1);
    assert_eq!((spool_of(&place, silent).await, spool_of(&place, dead).await), (Some(SPOOL), None));
    assert_eq!(spool_of(&place, live).await, Some(SPOOL));
    // It comes back after the third.
    let found = ended(pool, SPOOL).await.unwrap();
    assert_eq!(release(pool, &found).await.unwrap(), 1);
    assert_eq!(spool_of(&place, silent).await, None);
    heartbeat(pool, silent, LEASE, Some(SPOOL)).await.unwrap();
    assert_eq!(spool_of(&place, silent).await, Some(SPOOL));
}

/// Two events of a request, spent under that lease.
fn frame(tenant: TenantId, lease: LeaseId) -> bytes::Bytes {
    let of_project = testkit::frame::envelope(tenant, ProjectId(1));
    let (period_start, received_at) = (NOVEMBER.0 / Micros::SECOND, NOVEMBER);
    let envelope = Envelope { lease, period_start, received_at, ..of_project };
    testkit::frame::frame(&envelope, ["a", "b"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_charged_to_its_lease_and_period_also_beyond_the_cap() {
    let place = Place::new().await;
    let tenant = place.tenant(3).await;
    let node = place.node(Some(SPOOL)).await;
    let lease = granted(&place, node, tenant, 3).await.lease;
    let of_lease = frame(tenant, lease);
    let of_none = frame(tenant, LeaseId::NONE);
    let of_gone = frame(tenant, LeaseId(lease.0 + 1));
    Copies::of([&of_lease[..], &of_lease, &of_none]).charge(&place.ingest).await.unwrap();
    assert_eq!(place.granted().await, (7, 7));
    Copies::of([&of_gone[..]]).charge(&place.ingest).await.unwrap();
    assert_eq!(place.granted().await, (7, 7), "it counts when it is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_is_forgotten_for_all_of_its_nodes_and_not_while_one_lives() {
    let place = Place::new().await;
    let tenant = place.tenant(10).await;
    let (dead, other) = (place.node(Some(SPOOL)).await, place.node(Some(SPOOL)).await);
    granted(&place, dead, tenant, 4).await;
    place.is_dead(dead).await;
    let [waiting] = &list(&place.billing).await.unwrap()[..] else { panic!("one spool") };
    assert_eq!((waiting.id, waiting.ended, waiting.live, waiting.held), (SPOOL, 1, true, 4));
    let live = forget(&place.billing, SPOOL).await;
    assert!(matches!(live, Err(ForgetError::Live(SPOOL))), "{live:?}");
    assert_eq!(spool_of(&place, dead).await, Some(SPOOL), "nothing is changed");
    place.is_dead(other).await;
    assert_eq!(forget(&place.billing, SPOOL).await.unwrap(), 2);
    assert!(list(&place.billing).await.unwrap().is_empty());
    let unknown = forget(&place.billing, SPOOL).await;
    assert!(matches!(unknown, Err(ForgetError::Unknown(SPOOL))), "{unknown:?}");
}

/// Commits a batch of the only tenant, as the processor does.
async fn process(place: &Place, tenant: TenantId, lease: LeaseId, counts: Counts) {
    let account = Account { tenant, project: ProjectId(1), period_start: NOVEMBER, hour: NOVEMBER };
    let (mut usage, mut settlement) = (Usage::default(), Settlement::default());
    usage.add(account, Sum { counts, ..Sum::default() });
    settlement.add(tenant, NOVEMBER, lease, counts);
    let mut tx = place.processor.begin().await.unwrap();
    usage.apply(&mut tx).await.unwrap();
    settlement.apply(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// A tenant with a forgotten spool, of which 3 events were stored before, and the lease that is gone.
async fn forgotten(place: &Place) -> (TenantId, LeaseId) {
    let tenant = place.tenant(100).await;
    let node = place.node(Some(SPOOL)).await;
    let lease = granted(place, node, tenant, 10).await.lease;
    process(place, tenant, lease, Counts { stored: 3, duplicate: 0, dead: 0 }).await;
    place.is_dead(node).await;
    forget(&place.billing, SPOOL).await.unwrap();
    let log = crate::reclaim::log(place).await;
    crate::reclaim::round(place, &log).await;
    crate::reclaim::round(place, &log).await;
    assert_eq!(place.number("SELECT count(*) FROM quota_lease").await, 0);
    assert_eq!(place.number("SELECT granted FROM quota_period").await, 3);
    (tenant, lease)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_turns_up_after_it_was_forgotten_leaves_no_drift() {
    let place = Place::new().await;
    let (tenant, lease) = forgotten(&place).await;
    let copies = [frame(tenant, lease), frame(tenant, lease)];
    Copies::of(copies.iter().map(|copy| &copy[..])).charge(&place.ingest).await.unwrap();
    process(&place, tenant, lease, Counts { stored: 2, duplicate: 2, dead: 1 }).await;
    assert_eq!(place.number("SELECT granted FROM quota_period").await, 3 + 2);
    assert_eq!(mend_drift(&place.processor).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_mended_under_leases_that_live_and_what_agrees_is_left_alone() {
    let place = Place::new().await;
    let tenant = place.tenant(100).await;
    let other = place.tenant(100).await;
    let node = place.node(None).await;
    let lease = granted(&place, node, tenant, 10).await.lease;
    granted(&place, node, other, 5).await;
    process(&place, tenant, lease, Counts { stored: 3, duplicate: 2, dead: 0 }).await;
    assert_eq!(mend_drift(&place.processor).await.unwrap(), []);
    let drift = sqlx::query("UPDATE quota_period SET granted = granted - 20 WHERE tenant_id = $1");
    drift.bind(tenant.0).execute(&place.stores.pool).await.unwrap();
    let mended = Drift { tenant, period_start: NOVEMBER, before: -12, after: 3 + 5 };
    assert_eq!(mend_drift(&place.processor).await.unwrap(), [mended]);
    assert_eq!(mend_drift(&place.processor).await.unwrap(), []);
    assert_eq!(place.number("SELECT sum(granted)::bigint FROM quota_period").await, 8 + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_settled_by_events_of_its_own_tenant_and_period_only() {
    let place = Place::new().await;
    let (tenant, other) = (place.tenant(100).await, place.tenant(100).await);
    let node = place.node(Some(SPOOL)).await;
    let lease = granted(&place, node, tenant, 10).await.lease;
    let counts = Counts { stored: 3, duplicate: 2, dead: 1 };
    process(&place, other, lease, counts).await;
    let of_other = frame(other, lease);
    Copies::of([&of_other[..]]).charge(&place.ingest).await.unwrap();
    let of = async |tenant: TenantId| -> Option<(i64, Option<i64>)> {
        let query = "SELECT q.granted, l.processed FROM quota_period q
                     LEFT JOIN quota_lease l USING (tenant_id, period_start) WHERE q.tenant_id = $1";
        sqlx::query_as(query).bind(tenant.0).fetch_optional(&place.stores.pool).await.unwrap()
    };
    assert_eq!(of(tenant).await, Some((10, Some(0))), "nothing of it was processed");
    assert_eq!(of(other).await, Some((3, None)), "what was stored counts");
    assert_eq!(mend_drift(&place.processor).await.unwrap(), []);
}
