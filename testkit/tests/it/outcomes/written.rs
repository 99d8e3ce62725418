//! How counts come into Postgres, and leave it.

use std::sync::Arc;
use std::time::Duration;

use metering::outcomes::{RetentionConfig, Row, forget, write};
use schemas::id::{KeyId, ProjectId, TenantId};
use schemas::intake::Intake;
use schemas::problem::Code;
use schemas::time::Micros;
use service::clock::Clock;
use service::config::Secret;
use service::postgres;
use testkit::{Node, NodeConfig, Proxy, River, Stores, eventually};
use uuid::Uuid;

use super::{now, told};

const MINUTE: i64 = Micros::HOUR / 60;

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
async fn sums(stores: &Stores) -> (i64, i64) {
    let told = told(&stores.pool, TenantId(1)).await;
    told.values().fold((0, 0), |(events, requests), row| (events + row.0, requests + row.1))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_counts_may_be_written_again_and_older_ones_come_too_late() {
    let stores = Stores::fresh().await;
    let run = Uuid::now_v7();
    let refused = Row { outcome: Intake::Refused(Code::InvalidJson), events: 0, requests: 4, ..row(0, 0) };
    let folded = Row { key: None, ..row(0, 9) };
    let rows = [row(0, 5), row(-1, 3), refused, folded];
    for _ in 0..3 {
        write(&stores.pool, run, &rows).await.unwrap();
        assert_eq!(sums(&stores).await, (17, 4));
    }
    write(&stores.pool, run, &[row(0, 8), Row { key: None, ..row(0, 10) }]).await.unwrap();
    assert_eq!(sums(&stores).await, (21, 4));
    write(&stores.pool, run, &rows).await.unwrap();
    assert_eq!(sums(&stores).await, (21, 4));
    // Another run counts from the beginning.
    write(&stores.pool, Uuid::now_v7(), &[row(0, 5)]).await.unwrap();
    assert_eq!(sums(&stores).await, (26, 4));
    assert_eq!(stores.postgres_number("SELECT count(*) FROM outcome_minute").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_come_through_when_postgres_has_been_away_and_are_complete() {
    let river = River::start().await;
    let acme = river.customer("acme", None).await;
    let (proxy, url) = Proxy::to_postgres(&river.stores.database_url).await;
    let pool = postgres::pool(&Secret::from(url.as_str()), 4, None).unwrap();
    let (log, clock) = (Arc::clone(&river.log), Clock::system());
    let config = NodeConfig { pool, log, settings: vec![], directory_file: None, is_bound: true, clock };
    let node = Node::start(config).await;
    let client = node.client(&acme.key);
    let accepted = async || {
        let told = told(&river.stores.pool, acme.tenant).await;
        told.iter()
            .filter(|((_, _, outcome), _)| outcome == "accepted")
            .map(|(_, (events, _))| events)
            .sum::<i64>()
    };
    for (round, is_away) in [false, true, true, false].into_iter().enumerate() {
        if is_away {
            proxy.cut();
        } else {
            proxy.mend();
        }
        let ids = (0..10).map(|number| format!("{round}-{number}"));
        assert_eq!(client.post_ids(ids).await.status, 202);
        let sent = i64::try_from(round + 1).unwrap() * 10;
        if is_away {
            // Longer than it takes to try.
            tokio::time::sleep(Duration::from_secs(6)).await;
            assert_eq!(accepted().await, 10);
        } else {
            eventually("what was accepted is told", Duration::from_secs(15), async || {
                accepted().await == sent
            })
            .await;
        }
    }
    // The last write is made when the node ends.
    assert_eq!(client.post_ids(["last"]).await.status, 202);
    node.stop().await;
    assert_eq!(accepted().await, 41);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_deleted_in_pieces_and_what_is_not_stays() {
    let stores = Stores::fresh().await;
    let minutes: Vec<i64> = (-123..=-117).collect();
    let rows: Vec<Row> = minutes.iter().map(|minute| row(*minute, 1)).collect();
    write(&stores.pool, Uuid::now_v7(), &rows).await.unwrap();
    // A minute is kept until its beginning is two hours ago; the test may begin at the end of one.
    let config = RetentionConfig { hours: 2 };
    assert_eq!(forget(&stores.pool, config, 2).await.unwrap(), 2);
    let left = stores.postgres_number("SELECT count(*) FROM outcome_minute").await;
    assert_eq!(left, 5);
    let rest = forget(&stores.pool, config, 100).await.unwrap();
    assert!((1..=3).contains(&rest), "{rest}");
    assert_eq!(forget(&stores.pool, config, 100).await.unwrap(), 0);
    let too_old = "SELECT count(*) FROM outcome_minute WHERE minute < now() - interval '2 hours'";
    assert_eq!(stores.postgres_number(too_old).await, 0);
    let kept = "SELECT count(*) FROM outcome_minute WHERE minute >= now() - interval '119 minutes'";
    assert!((1..=3).contains(&stores.postgres_number(kept).await));
}
