use hyper::Method;
use testkit::{Reply, River};

async fn ask(river: &River, path: &str) -> Reply {
    river.operator().send(Method::GET, &format!("/v1/tenants/{path}"), &[], "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_shown_is_said() {
    let river = River::start().await;
    river.customer("acme", None).await;
    for (query, code) in [
        ("acme/outcomes?interval=week", "invalid_argument"),
        ("acme/outcomes?since=1h", "invalid_argument"),
        ("acme/outcomes?from=yesterday", "invalid_argument"),
        ("acme/outcomes?key=x", "invalid_argument"),
        ("acme/outcomes?limit=0", "invalid_argument"),
        ("acme/outcomes?limit=201", "invalid_argument"),
        ("acme/outcomes?cursor=1.2", "invalid_argument"),
        ("acme/outcomes?from=2026-11-01T00:00:00Z&to=2026-11-01T00:00:00Z", "invalid_argument"),
        ("acme/outcomes?from=1960-11-01T00:00:00Z&interval=total", "invalid_argument"),
        ("acme/outcomes?project=none", "not_found"),
        ("nobody/outcomes", "not_found"),
    ] {
        assert_eq!(ask(&river, query).await.code(), code, "{query}");
    }
    assert_eq!(ask(&river, "acme/outcomes?limit=200").await.status, 200);
    // 1,440 minutes, and one more.
    let minutes = "acme/outcomes?interval=minute&from=2026-11-01T00:00:00Z&to=2026-11-02T00:0";
    assert_eq!(ask(&river, &format!("{minutes}0:00Z")).await.status, 200);
    assert_eq!(ask(&river, &format!("{minutes}1:00Z")).await.code(), "invalid_argument");
    river.stop().await;
}
