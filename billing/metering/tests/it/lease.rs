use metering::lease::{self, Grant, LeaseError, Want};
use schemas::id::TenantId;
use schemas::time::Micros;
use uuid::Uuid;

use crate::{LEASE, NOVEMBER, Place};

pub(crate) fn want(tenant: TenantId, need: i64) -> Want {
    Want { tenant, period_start: NOVEMBER, need, like: need }
}

/// What the node gets for that tenant.
pub(crate) async fn granted(place: &Place, node: Uuid, tenant: TenantId, need: i64) -> Grant {
    let grants = lease::grant(&place.ingest, node, &[want(tenant, need)]).await.unwrap();
    let [grant] = grants[..] else { panic!("{grants:?}") };
    grant
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_end_at_the_cap_and_what_one_node_gives_back_is_there_for_the_other() {
    let place = Place::new().await;
    let tenant = place.tenant(10).await;
    let (one, other) = (place.node(None).await, place.node(None).await);
    let first = granted(&place, one, tenant, 7).await;
    assert_eq!((first.granted, first.left), (7, 3));
    let second = granted(&place, other, tenant, 7).await;
    assert_eq!((second.granted, second.left), (3, 0));
    assert_eq!(granted(&place, one, tenant, 1).await.granted, 0);
    lease::give_back(&place.ingest, one, &[(first.lease, 2)]).await.unwrap();
    let third = granted(&place, other, tenant, 7).await;
    assert_eq!(
        (third.lease, third.granted, third.left),
        (second.lease, 2, 0),
        "a node has one lease of a period"
    );
    assert_eq!(place.number("SELECT granted FROM quota_period").await, 10);
    assert_eq!(place.number("SELECT sum(granted)::bigint FROM quota_lease").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_that_ask_at_once_are_never_granted_more_than_the_cap() {
    let place = Place::new().await;
    let tenant = place.tenant(100).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (node, pool) = (place.node(None).await, place.ingest.clone());
        asking.spawn(async move {
            let mut sum = 0;
            for _ in 0..10 {
                let grants = lease::grant(&pool, node, &[want(tenant, 3)]).await.unwrap();
                sum += grants.iter().map(|grant| grant.granted).sum::<i64>();
            }
            sum
        });
    }
    assert_eq!(asking.join_all().await.into_iter().sum::<i64>(), 100);
    assert_eq!(place.number("SELECT granted FROM quota_period").await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_without_a_cap_and_one_that_nobody_knows_get_no_slice() {
    let place = Place::new().await;
    let tenant = place.tenant(10).await;
    sqlx::query(
        "UPDATE tenant SET quota = NULL, plan_id = (SELECT id FROM plan WHERE quota IS NULL LIMIT 1)",
    )
    .execute(&place.stores.pool)
    .await
    .unwrap();
    let node = place.node(None).await;
    let grants = lease::grant(&place.ingest, node, &[want(tenant, 5)]).await.unwrap();
    assert!(grants.is_empty(), "{grants:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_taken_for_dead_gets_nothing_and_can_not_come_back() {
    let place = Place::new().await;
    let tenant = place.tenant(10).await;
    let node = place.node(None).await;
    lease::heartbeat(&place.ingest, node, LEASE, None).await.unwrap();
    sqlx::query("UPDATE ingest_node SET ends = '{0}'").execute(&place.stores.pool).await.unwrap();
    let gone = lease::grant(&place.ingest, node, &[want(tenant, 5)]).await;
    assert!(matches!(gone, Err(LeaseError::NodeGone)), "{gone:?}");
    assert_eq!(place.number("SELECT coalesce(sum(granted), 0)::bigint FROM quota_period").await, 0);
    let gone = lease::heartbeat(&place.ingest, node, LEASE, None).await;
    assert!(matches!(gone, Err(LeaseError::NodeGone)), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_holds_the_logs_lock_ends_all_nodes_and_each_node_ends_itself() {
    let place = Place::new().await;
    let node = place.node(None).await;
    place.node(None).await;
    let living = "SELECT count(*) FROM ingest_node WHERE lease_until > now()";
    lease::end(&place.ingest, node).await.unwrap();
    assert_eq!(place.number(living).await, 1);
    lease::end(&place.ingest, Uuid::nil()).await.unwrap();
    lease::end_all(&place.ingest).await.unwrap();
    assert_eq!(place.number(living).await, 0);
}

#[test]
fn november_begins_where_the_calendar_says() {
    let period = metering::period::Period::month_of(Micros(NOVEMBER.0 + 1), chrono_tz::Tz::UTC);
    assert_eq!((period.start, period.end_text().as_str()), (NOVEMBER, "2026-12-01T00:00:00Z"));
}
