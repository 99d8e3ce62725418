use admin_api::{Access, Route, routes};
use hyper::Method;
use testkit::{Client, Reply, River};

const JSON: (&str, &str) = ("content-type", "application/json");

fn tag(reply: &Reply) -> String {
    reply.headers.get("etag").unwrap_or_else(|| panic!("no ETag: {reply:?}")).to_str().unwrap().to_owned()
}

async fn patch(operator: &Client, tag: &str, quota: u32) -> Reply {
    let body = format!(r#"{{"quota":{quota}}}"#);
    operator.send(Method::PATCH, "/v1/operator/tenants/acme", &[JSON, ("if-match", tag)], body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_made_to_what_was_read_and_to_nothing_else() {
    let river = River::start().await;
    river.customer("acme", None).await;
    let operator = river.operator();
    let read = operator.send(Method::GET, "/v1/tenants/acme", &[], "").await;
    let known = [("if-none-match", &*tag(&read))];
    let again = operator.send(Method::GET, "/v1/tenants/acme", &known, "").await;
    assert_eq!((again.status, again.body.len(), tag(&again)), (304, 0, tag(&read)));
    let changed = patch(&operator, &tag(&read), 5).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_ne!(tag(&changed), tag(&read));
    let read_again = operator.send(Method::GET, "/v1/tenants/acme", &known, "").await;
    assert_eq!((read_again.status, tag(&read_again)), (200, tag(&changed)));
    let stale = patch(&operator, &tag(&read), 6).await;
    assert_eq!((stale.status, stale.code().as_str()), (412, "precondition_failed"));
    assert_eq!(stale.json()["errors"][0]["header"], "If-Match");
    assert_eq!(patch(&operator, "*", 7).await.status, 200);
    let without = operator.send(Method::PATCH, "/v1/operator/tenants/acme", &[JSON], r#"{"quota":8}"#).await;
    assert_eq!(without.json()["quota"], 8);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_change_what_they_have_read_one_does() {
    let river = River::start().await;
    river.customer("acme", None).await;
    let operator = river.operator();
    let read = operator.send(Method::GET, "/v1/tenants/acme", &[], "").await;
    let tag = tag(&read);
    let tries = (1..=20).map(|quota| {
        let (operator, tag) = (operator.clone(), tag.clone());
        tokio::spawn(async move { patch(&operator, &tag, quota).await.status })
    });
    let mut statuses = Vec::new();
    for each in tries.collect::<Vec<_>>() {
        statuses.push(each.await.unwrap());
    }
    statuses.sort_unstable();
    let mut expected = vec![412; 20];
    expected[0] = 200;
    assert_eq!(statuses, expected);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_is_deleted_by_its_tag_or_not_at_all() {
    let river = River::start().await;
    river.customer("acme", None).await;
    let operator = river.operator();
    for (list, body, id) in [
        ("keys", r#"{}"#, "id"),
        ("tokens", r#"{"name":"t","permissions":[],"expires_at":"2027-06-01T00:00:00Z"}"#, "id"),
    ] {
        let made = operator.post_json(&format!("/v1/tenants/acme/{list}"), body).await;
        let path = format!("/v1/tenants/acme/{list}/{}", made.json()[id].as_str().unwrap());
        let read = operator.send(Method::GET, &path, &[], "").await;
        assert_eq!((read.status, tag(&read)), (200, tag(&made)), "{list}");
        assert_eq!(made.headers["cache-control"], "no-store");
        let delete =
            async |tag: &str| operator.send(Method::DELETE, &path, &[("if-match", tag)], "").await.status;
        assert_eq!(delete("\"stale\"").await, 412, "{list}");
        assert_eq!(delete(&tag(&read)).await, 204, "{list}");
    }
    let plan = operator.send(
        Method::PUT,
        "/v1/operator/plans/new",
        &[JSON, ("if-match", "*")],
        r#"{"quota":1,"rate":1}"#,
    );
    assert_eq!(plan.await.status, 412, "there is no such plan");
    river.stop().await;
}

/// A path of the table with something in each place.
fn filled(path: &str) -> String {
    path.replace("{tenant}", "acme")
        .replace("{erasure}", "1")
        .replace("{key}", "0000000000")
        .replace("{plan}", "developer")
        .replace("{member}", "mem_0000000000000000000000")
        .replace("{role}", "rol_0000000000000000000000")
        .replace("{token}", "tok_0000000000000000000000")
        .replace("{invitation}", "ivt_0000000000000000000000")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_overlooks_what_its_caller_expects() {
    let river = River::start().await;
    river.customer("acme", None).await;
    let operator = river.operator();
    let bodies =
        ["{}", r#"{"quota":1,"rate":1}"#, r#"{"role":"viewer"}"#, r#"{"name":"n","permissions":[]}"#];
    for Route { method, path, access, .. } in routes() {
        let may_change = matches!(method, Method::PATCH | Method::PUT | Method::DELETE);
        if !may_change || !matches!(access, Access::Tenant(_) | Access::Operator) {
            continue;
        }
        for body in bodies {
            let headers = [JSON, ("if-match", "\"stale\"")];
            let reply = operator.send(method.clone(), &filled(path), &headers, body).await;
            assert!(matches!(reply.status, 400 | 404 | 412), "{method} {path} {body}: {reply:?}");
        }
    }
    river.stop().await;
}
