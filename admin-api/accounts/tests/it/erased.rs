//! What is left of a tenant 30 days after it was deleted.

use accounts::key::{self, NewKey};
use accounts::machine_token::{self, NewToken};
use accounts::member_role::{self, NewRole};
use accounts::{Admitted, PageRequest, Random, invitation, tenant};
use chrono::TimeDelta;
use schemas::lifecycle::TenantState;

use crate::house::{House, VIEWER, client, is_refused};
use crate::place::SECOND;

/// Tables whose rows stay, since totals are proved with them or ingest refuses by them, and that name nobody.
const KEPT: [&str; 10] = [
    "api_key",
    "dead_letter",
    "erased_hour",
    "erasure",
    "project",
    "project_profile",
    "quota_lease",
    "quota_period",
    "tenant_profile",
    "usage_hour",
];

const DAY: i64 = 86_400;

/// A tenant with something in every table, which is deleted.
async fn deleted() -> House {
    let house = House::acme().await;
    house.joins("bob@example.com", VIEWER).await;
    house.person("zoe@example.com", "zeta").await;
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    let (random, now) = (Random::system(), scope.now());
    key::create(&mut scope, &NewKey { name: Some("Ada's".to_owned()), ..NewKey::default() }).await.unwrap();
    let role = NewRole { name: "helpers".to_owned(), permissions: Vec::new() };
    let role = member_role::create(&mut scope, &random, &grants, &role).await.unwrap();
    let role = accounts::membership::Role::Custom(role.id);
    invitation::create(&mut scope, &random, &grants, "eve@example.com", role).await.unwrap();
    let token =
        NewToken { name: "t".to_owned(), permissions: Vec::new(), expires_at: now + TimeDelta::days(1) };
    machine_token::create(&mut scope, &random, &grants, &token).await.unwrap();
    tenant::delete(&mut scope, &grants).await.unwrap();
    scope.commit().await.unwrap();
    house
        .place
        .forge(
            "INSERT INTO outcome_minute (tenant_id, minute, project_id, outcome, events, requests, node_run)
             SELECT tenant_id, '2026-11-30 12:00Z', id, 'accepted', 1, 0, gen_random_uuid() FROM project",
        )
        .await;
    house
        .place
        .forge(
            "INSERT INTO usage_hour (tenant_id, project_id, meter, period_start, hour, stored, duplicate, dead)
             SELECT tenant_id, id, 'events', '2026-11-01', '2026-11-30 12:00Z', 7, 0, 0 FROM project",
        )
        .await;
    house
}

async fn erase(house: &House) -> u64 {
    tenant::erase_expired(&house.place.pool, &house.place.clock).await.unwrap()
}

/// Tables with rows of the tenant that is called zeta no more, or acme.
async fn tables_with_rows(house: &House, of: &str) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id'
         ORDER BY 1",
    )
    .fetch_all(&house.place.database.pool)
    .await
    .unwrap();
    let mut found = Vec::new();
    for table in tables {
        let query = format!(
            "SELECT EXISTS (SELECT FROM {table} WHERE tenant_id = (SELECT id FROM tenant WHERE {of}))"
        );
        let any = sqlx::query_scalar(sqlx::AssertSqlSafe(query));
        if any.fetch_one(&house.place.database.pool).await.unwrap() {
            found.push(table);
        }
    }
    found
}

#[tokio::test]
async fn thirty_days_after_its_deletion_a_tenant_is_erased_and_not_before() {
    let house = deleted().await;
    let ada = house.login("ada@example.com").await;
    house.wait(30 * DAY);
    assert_eq!(erase(&house).await, 0, "thirty days to the second");
    house.wait(1);
    assert_eq!(erase(&house).await, 1);
    assert_eq!(erase(&house).await, 0);
    assert_eq!(house.place.number("SELECT count(*) FROM tenant WHERE status = 'erased'").await, 1);
    let again = house.login("ada@example.com").await;
    assert!(again.tenant.is_none(), "{:?}", again.tenant);
    assert!(is_refused(&house.admit(&ada.access_token).await));
    let who = house.auth.signed_in(&again.access_token, &client(1)).await.unwrap();
    assert!(house.auth.tenants(&who, &client(1), &PageRequest::default()).await.unwrap().items.is_empty());
    assert_eq!(house.works("zoe@example.com").await.scope.state(), Some(TenantState::Active));
}

#[tokio::test]
async fn nothing_of_an_erased_tenant_stays_but_what_is_proved() {
    let house = deleted().await;
    let zeta = tables_with_rows(&house, "name = 'zeta'").await;
    house.place.clock.set(house.place.clock.now_micros() + 31 * DAY * SECOND);
    assert_eq!(erase(&house).await, 1);
    let mut left = tables_with_rows(&house, "status = 'erased'").await;
    // Where its audit had ended.
    left.retain(|table| !matches!(table.as_str(), "audit_entry" | "audit_head"));
    assert!(left.iter().all(|table| KEPT.contains(&table.as_str())), "{left:?}: name them in erase_tenant");
    assert!(left.iter().any(|table| table == "usage_hour"), "{left:?}");
    assert_eq!(tables_with_rows(&house, "name = 'zeta'").await, zeta, "and of no other");
    let named = house
        .place
        .number(
            "SELECT count(*) FROM audit_entry
             WHERE tenant_id = (SELECT id FROM tenant WHERE status = 'erased') AND action <> 'tenant.erase'",
        )
        .await;
    assert_eq!(named, 0);
    let names = "SELECT count(*) FROM tenant t JOIN tenant_profile f ON f.tenant_id = t.id
                 WHERE t.name ILIKE '%acme%' OR f.title ILIKE '%acme%'";
    assert_eq!(house.place.number(names).await, 0);
    assert_eq!(house.place.number("SELECT count(*) FROM api_key WHERE revoked_at IS NULL").await, 0);
}

#[tokio::test]
async fn a_tenant_that_was_restored_is_not_erased() {
    let house = deleted().await;
    let Admitted { mut scope, grants } = house.works("ada@example.com").await;
    tenant::restore(&mut scope, &grants).await.unwrap();
    scope.commit().await.unwrap();
    house.wait(60 * DAY);
    assert_eq!(erase(&house).await, 0);
    let forced =
        "SELECT count(*) FROM (SELECT erase_tenant(id, now() + interval '1 year') AS done FROM tenant) AS t
                  WHERE done";
    assert_eq!(house.place.number(forced).await, 0, "the database refuses what is not deleted");
}

#[tokio::test]
async fn many_that_erase_at_once_erase_each_tenant_once() {
    let house = deleted().await;
    house.wait(31 * DAY);
    let all = futures_util::future::join_all((0..5).map(|_| erase(&house))).await;
    assert_eq!(all.iter().sum::<u64>(), 1, "{all:?}");
}

#[tokio::test]
async fn one_that_can_not_be_erased_keeps_no_other_from_it() {
    let house = deleted().await;
    let Admitted { mut scope, grants } = house.works("zoe@example.com").await;
    tenant::delete(&mut scope, &grants).await.unwrap();
    scope.commit().await.unwrap();
    house.wait(31 * DAY);
    house
        .place
        .forge(
            "INSERT INTO tenant (name, plan_id)
             SELECT 'erased_' || min(id), min(plan_id) FROM tenant WHERE status = 'deleted'",
        )
        .await;
    let all = tenant::erase_expired(&house.place.pool, &house.place.clock).await;
    assert!(all.is_err(), "an operator learns of it");
    assert_eq!(house.place.number("SELECT count(*) FROM tenant WHERE status = 'erased'").await, 1);
    house.place.forge("UPDATE tenant SET name = 'another' WHERE status = 'active'").await;
    assert_eq!(erase(&house).await, 1);
}

#[tokio::test]
async fn no_name_that_a_customer_may_choose_is_in_the_way() {
    let house = deleted().await;
    let acme = house.place.number("SELECT id FROM tenant WHERE name = 'acme'").await;
    let stream = "SELECT p.id FROM project p JOIN tenant t ON t.id = p.tenant_id WHERE t.name = 'acme'";
    let stream = house.place.number(stream).await;
    let slug = async |slug: String| {
        let Admitted { mut scope, .. } = house.works("zoe@example.com").await;
        let settings = tenant::TenantSettings { slug: Some(slug), ..tenant::TenantSettings::default() };
        let set = tenant::set(&mut scope, &settings).await;
        scope.commit().await.unwrap();
        set
    };
    slug(format!("erased-{acme}")).await.unwrap();
    slug(format!("erased_{acme}")).await.unwrap_err();
    house.place.forge("UPDATE tenant SET status = 'active' WHERE name = 'acme'").await;
    let Admitted { mut scope, .. } = house.works("ada@example.com").await;
    accounts::project::create(&mut scope, &format!("erased-{stream}")).await.unwrap();
    accounts::project::create(&mut scope, &stream.to_string()).await.unwrap_err();
    scope.commit().await.unwrap();
    house.place.forge("UPDATE tenant SET status = 'deleted' WHERE name = 'acme'").await;
    house.wait(31 * DAY);
    assert_eq!(erase(&house).await, 1);
}
