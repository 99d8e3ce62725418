use hyper::Method;
use serde_json::{Value, json};
use testkit::{Client, Reply, River};

async fn get(operator: &Client, path: &str) -> Reply {
    operator.send(Method::GET, path, &[], "").await
}

/// Every list that an operator can read.
const LISTS: [&str; 12] = [
    "/v1/operator/plans",
    "/v1/operator/tenants",
    "/v1/operator/dead-letters",
    "/v1/operator/verifications",
    "/v1/tenants/acme/projects",
    "/v1/tenants/acme/keys",
    "/v1/tenants/acme/erasures",
    "/v1/tenants/acme/members",
    "/v1/tenants/acme/invitations",
    "/v1/tenants/acme/roles",
    "/v1/tenants/acme/tokens",
    "/v1/tenants/acme/audit",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_list_has_pages_and_says_what_is_wrong_with_limit_and_cursor() {
    let river = River::start().await;
    river.customer("acme", None).await;
    let operator = river.operator();
    for list in LISTS {
        let reply = get(&operator, list).await.json();
        assert!(reply["items"].is_array() && reply["next_cursor"].is_null(), "{list}: {reply}");
        assert_eq!(get(&operator, &format!("{list}?limit=200")).await.status, 200, "{list}");
        for (query, parameter) in [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=-1", "limit"),
            ("limit=many", "limit"),
            ("cursor=nonsense", "cursor"),
            ("page=2", "page"),
        ] {
            let reply = get(&operator, &format!("{list}?{query}")).await;
            assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_argument"), "{list}?{query}");
            assert_eq!(reply.json()["errors"][0]["parameter"], parameter, "{list}?{query}");
        }
    }
    river.stop().await;
}

/// Reads a list two items at a time, and does something between pages.
async fn walk(operator: &Client, list: &str, mut between: impl AsyncFnMut(usize)) -> Vec<Value> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for page in 0..100 {
        let reply = get(operator, &format!("{list}?limit=2{cursor}")).await.json();
        seen.extend(reply["items"].as_array().unwrap().iter().cloned());
        let Some(next) = reply["next_cursor"].as_str() else { return seen };
        cursor = format!("&cursor={next}");
        between(page).await;
    }
    panic!("{list} does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_through_pages_meets_each_item_once_whatever_is_made_meanwhile() {
    let river = River::start().await;
    river.customer("acme", None).await;
    let operator = river.operator();
    let post = async |path: &str, body: Value| {
        let reply = operator.post_json(&format!("/v1/tenants/acme/{path}"), body.to_string()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
    };
    for number in 0..5 {
        post("projects", json!({"name": format!("p{number}")})).await;
        post("keys", json!({})).await;
        post("erasures", json!({"user_id": number.to_string()})).await;
        post("roles", json!({"name": format!("r{number}"), "permissions": ["usage.read"]})).await;
        let expires = "2027-06-01T00:00:00Z";
        post("tokens", json!({"name": format!("t{number}"), "permissions": [], "expires_at": expires})).await;
    }
    let made = |name: &'static str, page: usize| match name {
        "projects" => json!({"name": format!("later{page}")}),
        "keys" => json!({}),
        "erasures" => json!({"user_id": format!("later{page}")}),
        "roles" => json!({"name": format!("a-later{page}"), "permissions": []}),
        _ => json!({"name": format!("later{page}"), "permissions": [], "expires_at": "2027-06-01T00:00:00Z"}),
    };
    for (name, member, least) in [
        ("projects", "name", 6),
        ("keys", "id", 6),
        ("erasures", "id", 5),
        ("roles", "id", 10),
        ("tokens", "id", 5),
    ] {
        let list = format!("/v1/tenants/acme/{name}");
        let walked = walk(&operator, &list, async |page| {
            if page < 2 {
                post(name, made(name, page)).await;
            }
        });
        let names: Vec<String> = walked.await.iter().map(|item| item[member].to_string()).collect();
        let different: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{list} repeats: {names:?}");
        assert!(names.len() >= least, "{list} hides: {names:?}");
    }
    let audit = walk(&operator, "/v1/tenants/acme/audit", async |_| {}).await;
    assert!(
        audit.windows(2).all(|pair| pair[0]["seq"].as_i64() == pair[1]["seq"].as_i64().map(|seq| seq + 1))
    );
    river.stop().await;
}
