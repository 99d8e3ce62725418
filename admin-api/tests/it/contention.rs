//! Requests that stand in each other's way.

use hyper::Method;
use serde_json::json;
use sqlx::AssertSqlSafe;
use testkit::{Client, Reply};

use crate::house::{House, OPERATOR_TOKEN, PASSWORD};

const JSON: (&str, &str) = ("content-type", "application/json");

fn operator(house: &House) -> Client {
    Client::new(house.operators, Some(OPERATOR_TOKEN))
}

async fn put(operator: &Client, plan: &str, quota: u32) -> Reply {
    let limits = json!({"quota": quota, "rate": null}).to_string();
    operator.send(Method::PUT, &format!("/v1/operator/plans/{plan}"), &[JSON], limits).await
}

/// What Postgres rolled back so far, because transactions waited for each other in a circle.
async fn deadlocks(house: &House) -> i64 {
    let query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    sqlx::query_scalar(query).fetch_one(&house.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_made_by_ten_at_once_and_tenants_are_put_on_it_meanwhile() {
    let house = House::with(&[]).await;
    let operator = operator(&house);
    for plan in 0..20 {
        let plan = format!("plan{plan}");
        let name = plan.clone();
        let puts = (0..10).map(|quota| {
            let (operator, plan) = (operator.clone(), plan.clone());
            tokio::spawn(async move { put(&operator, &plan, quota).await })
        });
        for reply in puts.collect::<Vec<_>>() {
            let reply = reply.await.unwrap();
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        let tenants = (0..5).map(|number| {
            let (operator, plan) = (operator.clone(), name.clone());
            let new = json!({"name": format!("{plan} {number}"), "plan": plan}).to_string();
            tokio::spawn(async move {
                let changed = put(&operator, &plan, number);
                let made = operator.post_json("/v1/operator/tenants", new);
                let (changed, made) = tokio::join!(changed, made);
                (changed.status, made.status)
            })
        });
        for statuses in tenants.collect::<Vec<_>>() {
            assert_eq!(statuses.await.unwrap(), (200, 201));
        }
    }
    assert_eq!(deadlocks(&house).await, 0, "that it is tried again is no reason to wait in circles");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_put_from_plan_to_plan_by_many_is_always_there_and_found_by_its_id() {
    let house = House::with(&[]).await;
    let operator = operator(&house);
    for plan in ["left", "right"] {
        assert_eq!(put(&operator, plan, 1).await.status, 200);
    }
    let new = json!({"name": "globex", "plan": "left"}).to_string();
    let made = operator.post_json("/v1/operator/tenants", new).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let changes = (0..60).map(|number| {
        let operator = operator.clone();
        tokio::spawn(async move {
            let body = json!({"plan": if number % 2 == 0 { "left" } else { "right" }}).to_string();
            let path = "/v1/operator/tenants/globex/plan";
            operator.send(Method::PUT, path, &[JSON], body).await.status
        })
    });
    for status in changes.collect::<Vec<_>>() {
        assert_eq!(status.await.unwrap(), 200);
    }
    let path = format!("/v1/operator/tenants?q={id}");
    let found = operator.send(Method::GET, &path, &[], "").await.json();
    assert_eq!(found["items"][0]["slug"], "globex", "{found}");
    house.stop().await;
}

/// Lets Postgres roll back the next transactions that write to that table.
async fn roll_back(house: &House, table: &str, times: u32, code: &str) {
    // A sequence goes on where a transaction is rolled back.
    let script = format!(
        "CREATE SEQUENCE IF NOT EXISTS rolled_back;
         ALTER SEQUENCE rolled_back RESTART;
         GRANT USAGE ON SEQUENCE rolled_back TO PUBLIC;
         CREATE OR REPLACE FUNCTION roll_back() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF nextval('rolled_back') <= {times} THEN RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END IF;
             RETURN NEW;
         END $$;
         CREATE OR REPLACE TRIGGER roll_back BEFORE INSERT OR UPDATE ON {table}
         FOR EACH ROW EXECUTE FUNCTION roll_back()"
    );
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&house.database.pool).await.unwrap();
}

async fn tries(house: &House) -> i64 {
    let query = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM rolled_back";
    sqlx::query_scalar(query).fetch_one(&house.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rolled_back_because_of_another_one_is_tried_three_times() {
    let house = House::with(&[]).await;
    house.person("ada@example.com").await;
    let ada = house.client(Some(&house.login("ada@example.com").await));
    for code in ["40001", "40P01"] {
        for (times, status) in [(2, 201), (3, 503)] {
            roll_back(&house, "project", times, code).await;
            let name = json!({"name": format!("{code} {times}")}).to_string();
            let headers = [JSON, ("idempotency-key", name.as_str())];
            let reply = ada.send(Method::POST, "/v1/tenants/me/projects", &headers, name.clone()).await;
            assert_eq!((reply.status, tries(&house).await), (status, 3), "{code} {times}: {reply:?}");
            if status == 503 {
                assert_eq!(reply.code(), "unavailable");
                assert_eq!(reply.headers["retry-after"], "1");
            }
        }
    }
    let made = ada.send(Method::GET, "/v1/tenants/me/projects", &[], "").await.json();
    assert_eq!(made["items"].as_array().unwrap().len(), 3, "each was made once, or not at all: {made}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_does_for_themselves_is_not_tried_again_since_a_part_may_be_done() {
    let house = House::with(&[]).await;
    house.person("ada@example.com").await;
    roll_back(&house, "session", 1, "40001").await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let reply = house.post("/v1/auth/login", body.clone()).await;
    assert_eq!((reply.status, &reply.headers["retry-after"]), (503, &"1".parse().unwrap()), "{reply:?}");
    assert_eq!(tries(&house).await, 1);
    assert_eq!(house.post("/v1/auth/login", body).await.status, 200);
    house.stop().await;
}
