//! Roll-ups say what the rows say, whatever happens to these.

use std::time::Duration;

use proof::rollup::{Roller, rebuild};
use serde_json::json;
use service::clock::Clock;
use sqlx::types::chrono::DateTime;
use testkit::river::{Customer, RiverConfig};
use testkit::{River, eventually};

const HOUR: i64 = 3_600_000_000;
const PAGE: &str = include_str!("../../../docs/queries.md");

/// Names and how many, as `count` of each of `users` users sends them.
async fn send(river: &River, customer: &Customer, name: &str, users: u32, count: u32) {
    let events: Vec<_> = (0..users * count)
        .map(|n| json!({"event": name, "user_id": format!("u{}", n % users)}))
        .chain([json!({"event": name})])
        .collect();
    let reply = river.client(&customer.key).post_json("/v1/events", json!(events).to_string()).await;
    assert_eq!(reply.status, 202, "{reply:?}");
}

async fn stored(river: &River, events: i64) {
    eventually("all is metered", Duration::from_secs(20), async || {
        river.stores.postgres_number("SELECT coalesce(sum(stored), 0)::bigint FROM usage_hour").await
            == events
    })
    .await;
}

/// Tenant, name, events, users: of the roll-up and of the rows.
async fn both(river: &River) -> [Vec<(i64, String, u64, u64)>; 2] {
    let mut found = Vec::new();
    for query in [
        "SELECT tenant_id, toString(event), sum(events) AS n, uniqIfMerge(users) FROM events_hourly FINAL
         WHERE events > 0 GROUP BY tenant_id, event ORDER BY tenant_id, event",
        "SELECT tenant_id, toString(event), count() AS n, uniqIf(user_id, user_id != '') FROM events
         GROUP BY tenant_id, event ORDER BY tenant_id, event",
    ] {
        found.push(river.stores.clickhouse().query(query).fetch_all().await.unwrap());
    }
    [found.remove(0), found.remove(0)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_up_equals_the_rows_and_follows_late_ones_and_erasures() {
    let now = Clock::system().now_micros();
    let clock = Clock::at(now - 5 * HOUR);
    let config = RiverConfig { clock: clock.clone(), rolls_up: false, ..RiverConfig::default() };
    let river = River::start_with(config).await;
    let (acme, other) = (river.customer("acme", None).await, river.customer("other", None).await);
    send(&river, &acme, "seen", 7, 3).await;
    send(&river, &acme, "bought", 2, 1).await;
    send(&river, &other, "seen", 3, 1).await;
    let body = r#"{"event":"left","user_id":"u0"}"#;
    assert_eq!(river.client(&acme.key).post_json("/v1/events", body).await.status, 202);
    clock.set(now - 3 * HOUR);
    send(&river, &acme, "seen", 9, 2).await;
    stored(&river, 22 + 3 + 4 + 1 + 19).await;
    let roller = Roller::new(river.stores.processor.clone(), river.stores.clickhouse(), Clock::system());
    let early =
        Roller::new(river.stores.processor.clone(), river.stores.clickhouse(), Clock::at(now - 5 * HOUR));
    assert_eq!(early.turn(true).await.unwrap(), 0, "no hour is over");
    assert_eq!(roller.turn(false).await.unwrap(), 2);
    let [rolled, rows] = both(&river).await;
    assert_eq!(rolled, rows);
    assert_eq!(rows.len(), 4);
    assert_eq!(roller.turn(false).await.unwrap(), 0, "nothing has changed");
    // Late rows of an hour that was computed.
    clock.set(now - 5 * HOUR);
    send(&river, &acme, "seen", 1, 1).await;
    stored(&river, 51).await;
    assert_eq!(roller.turn(false).await.unwrap(), 1);
    let [rolled, rows] = both(&river).await;
    assert_eq!(rolled, rows);
    // An erasure takes two names away for a user, and one of them altogether.
    for user in ["u0", "u1"] {
        let body = json!({"user_id": user}).to_string();
        assert_eq!(river.operator().post_json("/v1/tenants/acme/erasures", body).await.status, 201);
    }
    eventually("both are erased", Duration::from_secs(20), async || {
        river.stores.postgres_number("SELECT count(*) FROM erasure WHERE state = 'done'").await == 2
    })
    .await;
    assert_eq!(roller.turn(false).await.unwrap(), 2);
    let [rolled, rows] = both(&river).await;
    assert_eq!(rolled, rows);
    assert!(rows.contains(&(acme.tenant.0, "bought".to_owned(), 1, 0)), "{rows:?}");
    assert_eq!(rows.len(), 3, "a name is gone");
    // A roll-up that was lost.
    let clickhouse = river.stores.clickhouse();
    clickhouse.query("TRUNCATE TABLE events_hourly").execute().await.unwrap();
    let at = |micros| DateTime::from_timestamp_micros(micros).unwrap();
    assert_eq!(rebuild(&river.stores.processor, at(now - 10 * HOUR), at(now)).await.unwrap(), 2);
    assert_eq!(roller.turn(false).await.unwrap(), 2);
    let [rolled, rows] = both(&river).await;
    assert_eq!(rolled, rows);
    page(&river, &acme, now).await;
    // What the books of old hours say is looked at once a day.
    sqlx::query("UPDATE rollup_hour SET stored = 0 WHERE hour = (SELECT min(hour) FROM rollup_hour)")
        .execute(&river.stores.pool)
        .await
        .unwrap();
    let later = Clock::at(now + 100 * HOUR);
    let later = Roller::new(river.stores.processor.clone(), river.stores.clickhouse(), later);
    assert_eq!((later.turn(false).await.unwrap(), later.turn(true).await.unwrap()), (0, 1));
    river.stop().await;
}

/// The query of the page.
async fn page(river: &River, customer: &Customer, now: i64) {
    let query =
        PAGE.split("## Roll-ups").nth(1).unwrap().split("```").nth(1).unwrap().trim_start_matches("sql\n");
    let day = |micros: i64| DateTime::from_timestamp_micros(micros).unwrap().format("%Y-%m-%d").to_string();
    let project: i64 = sqlx::query_scalar("SELECT id FROM project WHERE tenant_id = $1")
        .bind(customer.tenant.0)
        .fetch_one(&river.stores.pool)
        .await
        .unwrap();
    let mut cursor = river
        .stores
        .clickhouse()
        .query(query)
        .param("tenant", customer.tenant.0)
        .param("project", project)
        .param("from", day(now - 48 * HOUR))
        .param("to", day(now + 24 * HOUR))
        .fetch_bytes("TabSeparatedRaw")
        .unwrap();
    let found = String::from_utf8(cursor.collect().await.unwrap().to_vec()).unwrap();
    let sum = |name: &str| -> u64 {
        let lines = found.lines().filter(|line| line.split('\t').nth(1) == Some(name));
        lines.map(|line| line.split('\t').nth(2).unwrap().parse::<u64>().unwrap()).sum()
    };
    assert_eq!((sum("seen"), sum("bought")), (5 * 3 + 1 + 7 * 2 + 1 + 1, 1), "{found}");
}
