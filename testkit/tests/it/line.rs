//! What a figure of usage stands on is computed from the rows alone.

use proof::line::{Evidence, Figure};
use schemas::outcome::METER_EVENTS;
use schemas::time::Micros;
use serde_json::json;
use testkit::river::Customer;
use testkit::{River, Stores};

use crate::erasure::{ask, done, send};
use crate::proof::SYNC;
use crate::river::metered;
use crate::seals::seal;

/// The period that the events of a test are of.
async fn period(river: &River) -> Micros {
    let start = "SELECT (extract(epoch FROM max(period_start)) * 1000000)::bigint FROM usage_hour";
    Micros(river.stores.postgres_number(start).await)
}

async fn evidence(stores: &Stores, customer: &Customer, period: Micros, below: Option<&[u64]>) -> Evidence {
    let figure = Figure { tenant: customer.tenant, meter: METER_EVENTS, period, below };
    proof::evidence(&stores.processor, &stores.clickhouse(), figure).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_figure_stands_on_the_same_events_whatever_comes_later_and_is_erased() {
    let river = River::start().await;
    let (acme, other) = (river.customer("acme", None).await, river.customer("other", None).await);
    send(&river, &acme.key, "ada", 0..60).await;
    send(&river, &acme.key, "bob", 0..40).await;
    send(&river, &other.key, "ada", 0..30).await;
    metered(&river, &acme, 100).await;
    metered(&river, &other, 30).await;
    let start = period(&river).await;
    let first = evidence(&river.stores, &acme, start, None).await;
    assert!(first.mismatches().is_empty(), "{first:?}");
    assert_eq!((first.total.events, first.total.quantity, first.total.unhashed), (100, 100, 0));
    assert_eq!(first.usage, Some(first.total));
    let by_partition: u64 = first.partitions.iter().map(|stretch| stretch.total.events).sum();
    assert_eq!((by_partition, first.partitions.len()), (100, 2));
    assert!(first.seals.is_empty());
    seal(&river).await;
    // Late events count, and not in what the figure stood on.
    send(&river, &acme.key, "eve", 0..7).await;
    metered(&river, &acme, 107).await;
    let id = ask(&river, "acme", json!({"user_id": "ada"})).await;
    done(&river, "acme", &id).await;
    let then = evidence(&river.stores, &acme, start, Some(&first.below)).await;
    assert_eq!((then.total, &then.partitions, then.usage), (first.total, &first.partitions, None));
    assert_eq!(then.seals.iter().map(|seal| seal.events).sum::<u64>(), 100);
    let now = evidence(&river.stores, &acme, start, None).await;
    assert_eq!((now.total.events, now.mismatches().len()), (107, 0), "{now:?}");
    let figure = Figure { tenant: acme.tenant, meter: "seats", period: start, below: None };
    let unknown = proof::evidence(&river.stores.processor, &river.stores.clickhouse(), figure).await;
    assert!(unknown.unwrap_err().to_string().contains("meter"));
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_figure_that_does_not_stand_on_its_events_is_found() {
    let river = River::start().await;
    let acme = river.customer("acme", None).await;
    send(&river, &acme.key, "ada", 0..60).await;
    metered(&river, &acme, 60).await;
    let start = period(&river).await;
    let found = async || evidence(&river.stores, &acme, start, None).await.mismatches().join("; ");
    assert_eq!(found().await, "");
    for (forgery, back, says) in [
        (
            "UPDATE usage_hour SET stored = stored + 1, hashed = hashed + 1",
            "UPDATE usage_hour SET stored = stored - 1, hashed = hashed - 1",
            "usage counts 61",
        ),
        (
            "UPDATE usage_hour SET xor_hash = xor_hash + 1",
            "UPDATE usage_hour SET xor_hash = xor_hash - 1",
            "hashes come to",
        ),
        (
            "UPDATE usage_hour SET xor_contents = xor_contents + 1",
            "UPDATE usage_hour SET xor_contents = xor_contents - 1",
            "what is in them",
        ),
    ] {
        sqlx::query(forgery).execute(&river.stores.pool).await.unwrap();
        let mismatches = found().await;
        assert!(mismatches.contains(says), "{forgery}: {mismatches}");
        sqlx::query(back).execute(&river.stores.pool).await.unwrap();
        assert_eq!(found().await, "");
    }
    let clickhouse = river.stores.clickhouse();
    let one = "event_id = 'ada-7'";
    let forged = format!("ALTER TABLE events UPDATE content_hash = content_hash + 1 WHERE {one} {SYNC}");
    clickhouse.query(&forged).execute().await.unwrap();
    assert!(found().await.contains("what is in them"));
    clickhouse.query(&format!("ALTER TABLE events DELETE WHERE {one} {SYNC}")).execute().await.unwrap();
    assert!(found().await.contains("there are 59 events"));
    river.stop().await;
}
