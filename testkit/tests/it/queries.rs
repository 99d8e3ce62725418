//! Every query of docs/queries.md answers as it says, and sees one tenant's rows alone.

use std::time::Duration;

use testkit::River;
use testkit::river::Customer;

use crate::river::metered;

const PAGE: &str = include_str!("../../../docs/queries.md");

/// Sent by two tenants alike: id, name, user, anonymous id, time, properties.
const EVENTS: &[[&str; 6]] = &[
    ["e-1", "Product viewed", "", "a-1", "2026-03-02T08:00:00Z", r#"{"sku":"x"}"#],
    ["e-2", "Product viewed", "ada", "a-1", "2026-03-02T09:00:00Z", r#"{"sku":"x"}"#],
    ["e-3", "Product added", "ada", "a-1", "2026-03-02T09:01:00Z", "{}"],
    [
        "e-4",
        "Order placed",
        "ada",
        "a-1",
        "2026-03-02T09:02:00Z",
        r#"{"plan":"pro","total":0.10,"coupon":"MAY-5"}"#,
    ],
    ["e-5", "Product viewed", "bob", "a-2", "2026-03-02T23:59:59.999999Z", "{}"],
    ["e-6", "Product added", "bob", "a-2", "2026-03-04T10:00:00Z", "{}"],
    [
        "e-7",
        "Order placed",
        "eve",
        "",
        "2026-03-03T00:00:00Z",
        r#"{"plan":"pro","total":0.20,"note":"MAY-5"}"#,
    ],
    ["e-8", "Order placed", "eve", "", "2026-03-03T00:30:00Z", r#"{"total":1e1}"#],
    ["e-9", "Order placed", "eve", "", "2026-03-09T00:00:00Z", r#"{"plan":"late"}"#],
];

/// What each heading's query answers for 2026-03-02 to 2026-03-09, as tab-separated text.
const ANSWERS: &[(&str, &str)] = &[
    ("Daily active users", "2026-03-02\t2\n2026-03-03\t1\n2026-03-04\t1\n"),
    ("Events by name", "Order placed\t3\nProduct viewed\t3\nProduct added\t2\n"),
    ("One name over time", "2026-03-02 09:00:00\t1\n2026-03-03 00:00:00\t2\n"),
    ("Users who came how far", "2\t1\t1\n"),
    ("By a property", "\t1\t10\npro\t2\t0.3\n"),
    ("Events with a value of a property", "2026-03-02 09:02:00.000000\tOrder placed\tada\n"),
    (
        "One user's history",
        "2026-03-02 09:00:00.000000\tProduct viewed\t{\"sku\":\"x\"}\n\
         2026-03-02 09:01:00.000000\tProduct added\t{}\n\
         2026-03-02 09:02:00.000000\tOrder placed\t{\"plan\":\"pro\",\"total\":0.10,\"coupon\":\"MAY-5\"}\n",
    ),
    ("What somebody did before signing in", "2026-03-02 08:00:00.000000\tProduct viewed\ta-1\n"),
    ("One event by its id", "e-4\tOrder placed\t1\t1\n"),
];

/// Headings and their queries, in the page's order.
fn queries() -> Vec<(&'static str, &'static str)> {
    let mut queries = Vec::new();
    let of_events = PAGE.split("\n## Roll-ups").next().unwrap();
    for part in of_events.split("\n### ").skip(1) {
        let heading = part.lines().next().unwrap();
        let blocks = part.split("```sql\n").skip(1);
        queries.extend(blocks.map(|block| (heading, block.split("```").next().unwrap())));
    }
    queries
}

async fn send(river: &River, customer: &Customer) {
    let events: Vec<String> = EVENTS
        .iter()
        .map(|[id, event, user, anonymous, time, properties]| {
            format!(
                r#"{{"id":"{id}","event":"{event}","user_id":"{user}","anonymous_id":"{anonymous}","timestamp":"{time}","properties":{properties}}}"#
            )
        })
        .collect();
    let reply = river.client(&customer.key).post_json("/v1/events", format!("[{}]", events.join(","))).await;
    assert_eq!(reply.json()["accepted"], EVENTS.len(), "{reply:?}");
    metered(river, customer, i64::try_from(EVENTS.len()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_page_answers_for_one_tenant_alone() {
    let queries = queries();
    let headings: Vec<&str> = queries.iter().map(|query| query.0).collect();
    assert_eq!(headings, ANSWERS.iter().map(|answer| answer.0).collect::<Vec<_>>());
    let river = River::start().await;
    let customer = river.customer("acme", None).await;
    let other = river.customer("other", None).await;
    send(&river, &customer).await;
    send(&river, &other).await;
    let project: i64 = sqlx::query_scalar("SELECT id FROM project WHERE tenant_id = $1")
        .bind(customer.tenant.0)
        .fetch_one(&river.stores.pool)
        .await
        .unwrap();
    for ((heading, query), (_, answer)) in queries.into_iter().zip(ANSWERS) {
        let first = query.matches("FROM events").count();
        let bound =
            query.matches("WHERE tenant_id = {tenant:Int64} AND project_id = {project:Int64}").count();
        assert_eq!(first, bound, "{heading}: the tenant comes first wherever events are read");
        let mut cursor = river
            .stores
            .clickhouse()
            .query(query)
            .param("tenant", customer.tenant.0)
            .param("project", project)
            .param("from", "2026-03-02")
            .param("to", "2026-03-09")
            .param("value", "MAY-5")
            .param("user", "ada")
            .param("event_id", "e-4")
            .fetch_bytes("TabSeparatedRaw")
            .unwrap();
        let found = tokio::time::timeout(Duration::from_secs(30), cursor.collect()).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&found), *answer, "{heading}");
    }
    river.stop().await;
}
