use std::time::Duration;

use metering::lease::{self, Grant, LeaseError, Want};
use schemas::id::TenantId;
use schemas::time::Micros;
use service::config::Secret;
use service::postgres::{self, Role};
use sqlx::PgPool;
use testkit::{Proxy, eventually};
use uuid::Uuid;

use crate::{LEASE, NOVEMBER, Place};

pub(crate) fn want(tenant: TenantId, need: i64) -> Want {
    Want { tenant, period_start: NOVEMBER, taken: 0, returned: 0, need, like: need }
}

/// What the node gets for that tenant, which it has not asked for before.
pub(crate) async fn granted(place: &Place, node: Uuid, tenant: TenantId, need: i64) -> Grant {
    exchange(&place.ingest, node, want(tenant, need)).await
}

async fn exchange(pool: &PgPool, node: Uuid, want: Want) -> Grant {
    let grants = lease::grant(pool, node, &[want]).await.unwrap();
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
    let knows = Want { taken: 7, ..want(tenant, 1) };
    assert_eq!(exchange(&place.ingest, one, knows).await.granted, 0);
    let back = Want { taken: 7, returned: 2, ..want(tenant, 0) };
    for _ in 0..2 {
        assert_eq!(exchange(&place.ingest, one, back).await.left, 2, "however often it is given back");
    }
    let third = exchange(&place.ingest, other, Want { taken: 3, ..want(tenant, 7) }).await;
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
                sum += exchange(&pool, node, Want { taken: sum, ..want(tenant, 3) }).await.granted;
            }
            sum
        });
    }
    assert_eq!(asking.join_all().await.into_iter().sum::<i64>(), 100);
    assert_eq!(place.number("SELECT granted FROM quota_period").await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_whose_commit_was_not_heard_of_is_granted_once() {
    let place = Place::new().await;
    let tenant = place.tenant(10).await;
    let node = place.node(None).await;
    let (proxy, url) = Proxy::to_postgres(&place.stores.database_url).await;
    let pool = postgres::pool(&Secret::from(url.as_str()), 2, Some(Role::Ingest)).unwrap();
    proxy.mute_at("COMMIT");
    let wanted = [want(tenant, 6)];
    let unheard = tokio::time::timeout(Duration::from_secs(1), lease::grant(&pool, node, &wanted)).await;
    assert!(unheard.is_err() && proxy.is_mute(), "{unheard:?}");
    eventually("it is committed", Duration::from_secs(5), async || {
        place.number("SELECT coalesce(sum(granted), 0)::bigint FROM quota_period").await == 6
    })
    .await;
    let heard = granted(&place, node, tenant, 4).await;
    assert_eq!((heard.granted, heard.left), (6, 4), "what was granted then, and nothing for it now");
    let more = exchange(&place.ingest, node, Want { taken: 6, ..want(tenant, 7) }).await;
    assert_eq!((more.lease, more.granted, more.left), (heard.lease, 4, 0));
    assert_eq!(place.granted().await, (10, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_without_a_cap_is_leased_what_it_likes_and_one_that_nobody_knows_gets_no_slice() {
    let place = Place::new().await;
    let tenant = place.tenant(10).await;
    sqlx::query(
        "UPDATE tenant SET quota = NULL, plan_id = (SELECT id FROM plan WHERE quota IS NULL LIMIT 1)",
    )
    .execute(&place.stores.pool)
    .await
    .unwrap();
    let node = place.node(None).await;
    let wants = [want(tenant, 5_000_000_000), want(TenantId(tenant.0 + 1), 5)];
    let unknown = lease::grant(&place.ingest, node, &wants).await;
    let [grant] = unknown.unwrap()[..] else { panic!("one tenant is known") };
    assert_eq!((grant.tenant, grant.granted, grant.left), (tenant, 5_000_000_000, i64::MAX));
    // A cap that is set later finds what is held.
    sqlx::query("UPDATE tenant SET quota = 7").execute(&place.stores.pool).await.unwrap();
    let spent = Want { taken: grant.granted, returned: grant.granted - 3, ..want(tenant, 9) };
    let rest = exchange(&place.ingest, node, spent).await;
    assert_eq!((rest.granted, rest.left), (4, 0));
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
    let in_grace = "SELECT count(*) FROM ingest_node WHERE lease_until > now() - interval '10 seconds'";
    assert_eq!(place.number(in_grace).await, 2, "what it handed to the log may still land");
    lease::end(&place.ingest, Uuid::nil()).await.unwrap();
    lease::end_all(&place.ingest).await.unwrap();
    assert_eq!((place.number(living).await, place.number(in_grace).await), (0, 0));
}

#[test]
fn november_begins_where_the_calendar_says() {
    let period = metering::period::Period::month_of(Micros(NOVEMBER.0 + 1), chrono_tz::Tz::UTC);
    assert_eq!((period.start, period.end_text().as_str()), (NOVEMBER, "2026-12-01T00:00:00Z"));
}
