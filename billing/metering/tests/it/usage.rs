use metering::ledger::{Account, Counts, Usage};
use metering::settle::Settlement;
use metering::usage::of_tenant;
use schemas::id::{LeaseId, ProjectId, TenantId};
use schemas::outcome::Outcome;
use schemas::time::Micros;

use crate::lease::granted;
use crate::{NOVEMBER, Place};

fn account(tenant: TenantId, project: i64) -> Account {
    Account { tenant, project: ProjectId(project), period_start: NOVEMBER, hour: NOVEMBER }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_batches_add_is_summed() {
    let place = Place::new().await;
    let tenant = place.tenant(10).await;
    let mut usage = Usage::default();
    usage.add(account(tenant, 1), Counts { stored: 5, duplicate: 2, dead: 1 });
    usage.add(account(tenant, 2), Counts::of(Outcome::Stored, 4));
    let mut tx = place.processor.begin().await.unwrap();
    usage.apply(&mut tx).await.unwrap();
    usage.apply(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let mut connection = place.operator().await;
    let sums = of_tenant(&mut connection, tenant, NOVEMBER).await.unwrap().unwrap();
    assert_eq!((sums.stored, sums.duplicate, sums.dead, sums.quota), (18, 4, 2, Some(10)));
    assert_eq!(of_tenant(&mut connection, TenantId(404), NOVEMBER).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_batch_counts_for_its_lease_and_gives_back_what_was_not_stored() {
    let place = Place::new().await;
    let tenant = place.tenant(10).await;
    let node = place.node(None).await;
    let lease = granted(&place, node, tenant, 8).await.lease;
    let mut settlement = Settlement::default();
    for (outcome, events) in [(Outcome::Stored, 3), (Outcome::Duplicate, 2), (Outcome::Dead, 1)] {
        settlement.add(tenant, NOVEMBER, lease, Counts::of(outcome, events));
    }
    // Of a lease that is gone, and of one that never was: what is stored without a lease counts from now on.
    settlement.add(tenant, NOVEMBER, LeaseId(lease.0 + 1), Counts::of(Outcome::Stored, 1));
    settlement.add(tenant, NOVEMBER, LeaseId::NONE, Counts::of(Outcome::Stored, 1));
    let december = Micros(NOVEMBER.0 + 30 * Micros::DAY);
    settlement.add(tenant, december, LeaseId::NONE, Counts::of(Outcome::Stored, 4));
    let mut tx = place.processor.begin().await.unwrap();
    settlement.apply(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(place.number("SELECT processed FROM quota_lease").await, 6);
    assert_eq!(place.granted().await, (8 - 3 + 1, 8));
    assert_eq!(place.number("SELECT granted FROM quota_period ORDER BY period_start DESC LIMIT 1").await, 4);
}
