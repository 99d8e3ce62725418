use chrono_tz::Tz;
use metering::ledger::{Account, Counts, Sum, Usage};
use metering::settle::Settlement;
use metering::usage::of_tenant;
use metering::usage::series::{Group, Series, SeriesError, SeriesQuery, Step, of_tenant as series_of};
use schemas::id::{LeaseId, ProjectId, TenantId};
use schemas::outcome::Outcome;
use schemas::time::Micros;

use crate::lease::granted;
use crate::{NOVEMBER, Place};

fn account(tenant: TenantId, project: i64) -> Account {
    Account { tenant, project: ProjectId(project), period_start: NOVEMBER, hour: NOVEMBER }
}

fn sum(counts: Counts) -> Sum {
    Sum { counts, ..Sum::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_batches_add_is_summed() {
    let place = Place::new().await;
    let tenant = place.tenant(10).await;
    let mut usage = Usage::default();
    usage.add(account(tenant, 1), sum(Counts { stored: 5, duplicate: 2, dead: 1 }));
    usage.add(account(tenant, 2), sum(Counts::of(Outcome::Stored, 4)));
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
    // Of a lease that is gone, and without one: what is stored counts from now on.
    settlement.add(tenant, NOVEMBER, LeaseId(lease.0 + 1), Counts::of(Outcome::Stored, 1));
    settlement.add(tenant, NOVEMBER, LeaseId::NONE, Counts::of(Outcome::Stored, 1));
    let december = Micros(NOVEMBER.0 + 30 * Micros::DAY);
    settlement.add(tenant, december, LeaseId::NONE, Counts::of(Outcome::Stored, 4));
    let mut tx = place.processor.begin().await.unwrap();
    settlement.apply(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(place.number("SELECT processed FROM quota_lease").await, 6);
    assert_eq!(place.granted().await, (8 - 3 + 1 + 1, 8));
    assert_eq!(place.number("SELECT granted FROM quota_period ORDER BY period_start DESC LIMIT 1").await, 4);
}

/// Counts of a tenant in three hours of its November, and one of December.
async fn counted(place: &Place) -> TenantId {
    let tenant = place.tenant(10).await;
    let mut usage = Usage::default();
    let hour = |hours: i64| Micros(NOVEMBER.0 + hours * Micros::HOUR);
    for (project, hours, stored) in
        [(1, 0, 1), (1, 23, 10), (2, 23, 100), (1, 24, 1_000), (2, 30 * 24, 10_000)]
    {
        let period_start = if hours < 30 * 24 { NOVEMBER } else { hour(30 * 24) };
        let account = Account { tenant, project: ProjectId(project), period_start, hour: hour(hours) };
        usage.add(account, sum(Counts { stored, duplicate: 1, dead: 0 }));
    }
    let mut tx = place.processor.begin().await.unwrap();
    usage.apply(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    tenant
}

fn asked(by: Step) -> SeriesQuery<'static> {
    let (from, to) = (Some(NOVEMBER), Some(Micros(NOVEMBER.0 + 31 * Micros::DAY)));
    SeriesQuery { projects: None, from, to, now: NOVEMBER, by, group: None, zone: None }
}

async fn series(place: &Place, tenant: TenantId, query: SeriesQuery<'_>) -> Result<Series, SeriesError> {
    let mut connection = place.operator().await;
    series_of(&mut connection, tenant, &query).await?.complete(&place.stores.clickhouse()).await
}

/// Instants, and what was stored then.
async fn items(place: &Place, tenant: TenantId, query: SeriesQuery<'_>) -> Vec<(String, i64)> {
    let series = series(place, tenant, query).await.unwrap();
    series.items.iter().map(|item| (item.at.format("%m-%dT%H:%M").to_string(), item.stored)).collect()
}

fn shown(items: &[(&str, i64)]) -> Vec<(String, i64)> {
    items.iter().map(|(at, stored)| ((*at).to_owned(), *stored)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_summed_by_hour_day_and_month_where_the_tenant_or_the_caller_is() {
    let place = Place::new().await;
    let tenant = counted(&place).await;
    let hours = [("11-01T00:00", 1), ("11-01T23:00", 110), ("11-02T00:00", 1_000), ("12-01T00:00", 10_000)];
    assert_eq!(items(&place, tenant, asked(Step::Hour)).await, shown(&hours));
    let days = [("11-01T00:00", 111), ("11-02T00:00", 1_000), ("12-01T00:00", 10_000)];
    assert_eq!(items(&place, tenant, asked(Step::Day)).await, shown(&days));
    let months = [("11-01T00:00", 1_111), ("12-01T00:00", 10_000)];
    assert_eq!(items(&place, tenant, asked(Step::Month)).await, shown(&months));
    // 5 hours and a half ahead of UTC: 23:00 there is 04:30 of the next day.
    let there = SeriesQuery { zone: Some(Tz::Asia__Kolkata), ..asked(Step::Day) };
    let days = [("10-31T18:30", 1), ("11-01T18:30", 1_110), ("11-30T18:30", 10_000)];
    assert_eq!(items(&place, tenant, there).await, shown(&days));
    let hours_there = SeriesQuery { zone: Some(Tz::Asia__Kolkata), ..asked(Step::Hour) };
    assert_eq!(items(&place, tenant, hours_there).await, shown(&hours), "hours are UTC's");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_range_usage_is_that_of_the_period() {
    let place = Place::new().await;
    let tenant = counted(&place).await;
    let query = SeriesQuery { from: None, to: None, group: Some(Group::Meter), ..asked(Step::Day) };
    let series = series(&place, tenant, query).await.unwrap();
    assert_eq!((series.stored, series.duplicate, series.items.len()), (1_111, 4, 2));
    assert!(series.items.iter().all(|item| item.meter.as_deref() == Some("events")));
    let group = SeriesQuery { group: Some(Group::Project), ..asked(Step::Month) };
    let apart: Vec<i64> = items(&place, tenant, group).await.into_iter().map(|(_, stored)| stored).collect();
    assert_eq!(apart, [1_011, 100, 10_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_of_too_long_a_time_or_of_none_is_refused() {
    let place = Place::new().await;
    let tenant = counted(&place).await;
    for (by, days) in [(Step::Hour, 31), (Step::Day, 400), (Step::Month, 3_660)] {
        let to = |more: i64| Some(Micros(NOVEMBER.0 + days * Micros::DAY + more));
        assert!(series(&place, tenant, SeriesQuery { to: to(0), ..asked(by) }).await.is_ok(), "{by:?}");
        let refused = series(&place, tenant, SeriesQuery { to: to(1), ..asked(by) }).await;
        assert!(matches!(refused, Err(SeriesError::Range(..))), "{by:?}");
    }
    let none = SeriesQuery { to: Some(NOVEMBER), ..asked(Step::Day) };
    assert!(matches!(series(&place, tenant, none).await, Err(SeriesError::Range(..))));
    let nobody = series(&place, TenantId(404), asked(Step::Day)).await;
    assert!(matches!(nobody, Err(SeriesError::NoTenant)));
}
