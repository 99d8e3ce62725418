use metering::outcomes::{Interval, OutcomeQuery, RetentionConfig, Row, forget, of_tenant, write};
use schemas::id::{KeyId, ProjectId, TenantId};
use schemas::intake::Intake;
use schemas::problem::Code;
use schemas::time::Micros;
use service::clock::Clock;
use uuid::Uuid;

use crate::Place;

const MINUTE: i64 = Micros::HOUR / 60;

fn now() -> Micros {
    Micros(Clock::system().now_micros())
}

/// The last day in steps of that interval.
fn last_day(interval: Interval) -> OutcomeQuery {
    let now = now();
    let (from, to) = (Micros(now.0 - 24 * Micros::HOUR), Micros(now.0 + Micros::HOUR));
    OutcomeQuery { from, to, interval, project: None, key: None, after: None, limit: 10_000 }
}

fn row(minute: i64, events: i64) -> Row {
    let now = now().0.div_euclid(MINUTE) * MINUTE;
    Row {
        tenant: TenantId(1),
        minute: Micros(now + minute * MINUTE),
        project: ProjectId(1),
        key: KeyId::from_number(7),
        outcome: Intake::Accepted,
        events,
        requests: 0,
    }
}

/// Events and requests of the tenant 1, in all.
async fn sums(place: &Place) -> (i64, i64) {
    let mut connection = place.operator().await;
    let page = of_tenant(&mut connection, TenantId(1), &last_day(Interval::Total)).await.unwrap();
    page.items.iter().fold((0, 0), |(events, requests), row| (events + row.events, requests + row.requests))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_counts_may_be_written_again_and_older_ones_come_too_late() {
    let place = Place::new().await;
    let run = Uuid::now_v7();
    let refused = Row { outcome: Intake::Refused(Code::InvalidJson), events: 0, requests: 4, ..row(0, 0) };
    let folded = Row { key: None, ..row(0, 9) };
    let rows = [row(0, 5), row(-1, 3), refused, folded];
    for _ in 0..3 {
        write(&place.ingest, run, &rows).await.unwrap();
        assert_eq!(sums(&place).await, (17, 4));
    }
    write(&place.ingest, run, &[row(0, 8), Row { key: None, ..row(0, 10) }]).await.unwrap();
    assert_eq!(sums(&place).await, (21, 4));
    write(&place.ingest, run, &rows).await.unwrap();
    assert_eq!(sums(&place).await, (21, 4));
    // Another run counts from the beginning.
    write(&place.ingest, Uuid::now_v7(), &[row(0, 5)]).await.unwrap();
    assert_eq!(sums(&place).await, (26, 4));
    assert_eq!(place.number("SELECT count(*) FROM outcome_minute").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_deleted_in_pieces_and_what_is_not_stays() {
    let place = Place::new().await;
    let minutes: Vec<i64> = (-123..=-117).collect();
    let rows: Vec<Row> = minutes.iter().map(|minute| row(*minute, 1)).collect();
    write(&place.ingest, Uuid::now_v7(), &rows).await.unwrap();
    // A minute is kept until its beginning is two hours ago; the test may begin at the end of one.
    let config = RetentionConfig { hours: 2 };
    assert_eq!(forget(&place.billing, config, 2).await.unwrap(), 2);
    let left = place.number("SELECT count(*) FROM outcome_minute").await;
    assert_eq!(left, 5);
    let rest = forget(&place.billing, config, 100).await.unwrap();
    assert!((1..=3).contains(&rest), "{rest}");
    assert_eq!(forget(&place.billing, config, 100).await.unwrap(), 0);
    let too_old = "SELECT count(*) FROM outcome_minute WHERE minute < now() - interval '2 hours'";
    assert_eq!(place.number(too_old).await, 0);
    let kept = "SELECT count(*) FROM outcome_minute WHERE minute >= now() - interval '119 minutes'";
    assert!((1..=3).contains(&place.number(kept).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_each_count_once() {
    let place = Place::new().await;
    let tenant = place.tenant(10).await;
    let mut connection = place.operator().await;
    let insert = "INSERT INTO outcome_minute
             (tenant_id, minute, project_id, key_id, outcome, events, requests, node_run)
        SELECT $1, date_trunc('minute', now(), 'UTC') - minute * interval '1 minute', project, nullif(key, 0),
               outcome, 1, 0, gen_random_uuid()
        FROM generate_series(0, 90) minute, generate_series(1, 2) project, generate_series(0, 2) key,
             unnest(ARRAY['accepted', 'no_id', 'Newer']) outcome, generate_series(1, 2) node";
    sqlx::query(insert).bind(tenant.0).execute(&place.stores.pool).await.unwrap();
    for (interval, limit) in [
        (Interval::Minute, 100),
        (Interval::Hour, 7),
        (Interval::Total, 1),
        (Interval::Total, 18),
        (Interval::Total, 17),
    ] {
        let mut query = last_day(interval);
        let whole = of_tenant(&mut connection, tenant, &query).await.unwrap();
        assert_eq!(whole.next_cursor, None);
        query.limit = limit;
        let (mut seen, mut pages) = (Vec::new(), 0);
        loop {
            let page = of_tenant(&mut connection, tenant, &query).await.unwrap();
            assert!(page.items.len() <= usize::try_from(limit).unwrap());
            seen.extend(page.items);
            pages += 1;
            let Some(next) = page.next_cursor else { break };
            // As it goes over the wire.
            query.after = Some(serde_json::to_value(&next).unwrap().as_str().unwrap().parse().unwrap());
        }
        assert_eq!(seen, whole.items);
        assert_eq!(pages, seen.len().div_ceil(usize::try_from(limit).unwrap()));
        assert_eq!(seen.iter().map(|row| row.events).sum::<i64>(), 91 * 2 * 3 * 3 * 2);
    }
    let totals = of_tenant(&mut connection, tenant, &last_day(Interval::Total)).await.unwrap().items;
    assert_eq!(totals.len(), 18);
    assert_eq!((totals[0].outcome.as_str(), totals[0].kind, totals[0].key), ("Newer", None, None));
    assert_eq!(totals[3].key, KeyId::from_number(1));
}
