//! Database roles: each process writes what is its own, and nothing else.

use service::postgres::Role;
use sqlx::PgPool;
use testkit::Stores;

/// Postgres's code for what is not granted.
const REFUSED: &str = "42501";

async fn refused(pool: &PgPool, statement: &'static str) -> bool {
    let error = sqlx::query(statement).execute(pool).await.map(|_| ()).err();
    error.and_then(|error| error.as_database_error()?.code().map(|code| code == REFUSED)).unwrap_or(false)
}

#[tokio::test]
async fn what_a_role_has_no_business_with_is_refused() {
    let stores = Stores::fresh().await;
    for (role, statement) in [
        (Role::Ingest, "UPDATE usage_hour SET stored = 0"),
        (Role::Ingest, "UPDATE tenant SET quota = NULL"),
        (Role::Ingest, "UPDATE api_key SET hash = hash"),
        (Role::Ingest, "UPDATE partition_cursor SET next_offset = 0"),
        (Role::Ingest, "SELECT FROM usage_hour"),
        (Role::Processor, "UPDATE plan SET quota = 0"),
        (
            Role::Processor,
            "INSERT INTO quota_lease (node_id, tenant_id, period_start, granted) SELECT gen_random_uuid(), 1, now(), 1",
        ),
        (Role::Processor, "SELECT FROM api_key"),
        (Role::Billing, "UPDATE usage_hour SET stored = 0"),
        (Role::Billing, "INSERT INTO quota_period (tenant_id, period_start) VALUES (1, now())"),
        (Role::Billing, "SELECT FROM api_key"),
        (Role::Api, "UPDATE quota_period SET granted = 0"),
        (Role::Api, "UPDATE usage_hour SET stored = 0"),
        (Role::Api, "DELETE FROM erasure"),
        (Role::Api, "UPDATE batch_ledger SET stored = 0"),
    ] {
        assert!(refused(&stores.pool_of(role), statement).await, "{} {statement}", role.name());
    }
    for role in Role::ALL {
        let pool = stores.pool_of(role);
        assert!(refused(&pool, "CREATE TABLE more (id int)").await, "{}", role.name());
        assert!(refused(&pool, "DELETE FROM batch_ledger").await, "{}", role.name());
        assert!(refused(&pool, "DELETE FROM usage_hour").await, "{}", role.name());
        assert!(refused(&pool, "TRUNCATE event_log CASCADE").await, "{}", role.name());
    }
}

#[tokio::test]
async fn every_table_has_its_owner_and_a_role_that_writes_it() {
    let stores = Stores::fresh().await;
    let strays: Vec<String> = sqlx::query_scalar(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations' AND \
         tableowner <> 'weir_owner'",
    )
    .fetch_all(&stores.pool)
    .await
    .unwrap();
    assert!(strays.is_empty(), "not owned by weir_owner: {strays:?}");
    let unused: Vec<String> = sqlx::query_scalar(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations'
         AND NOT EXISTS (
             SELECT FROM unnest(ARRAY['weir_ingest', 'weir_processor', 'weir_billing', 'weir_api']) AS role
             WHERE has_any_column_privilege(role, quote_ident(tablename), 'INSERT, UPDATE'))",
    )
    .fetch_all(&stores.pool)
    .await
    .unwrap();
    assert!(unused.is_empty(), "no role may write {unused:?}");
}

#[tokio::test]
async fn a_login_that_is_no_superuser_migrates_and_becomes_its_roles() {
    let stores = Stores::fresh().await;
    let login = format!("login_{}", uuid::Uuid::now_v7().simple());
    let database = format!("{login}_database");
    for statement in
        [format!("CREATE ROLE {login} LOGIN CREATEROLE"), format!("CREATE DATABASE {database} OWNER {login}")]
    {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&stores.pool).await.unwrap();
    }
    // Roles that are there already were made by somebody else, who has to let the login become them.
    for role in ["weir_owner", "weir_ingest", "weir_processor", "weir_billing", "weir_api"] {
        let grant = format!("GRANT {role} TO {login}");
        // Memberships are kept for the whole server: two tests that change them at once meet.
        testkit::eventually("the login is a member", std::time::Duration::from_secs(10), async || {
            sqlx::query(sqlx::AssertSqlSafe(grant.clone())).execute(&stores.pool).await.is_ok()
        })
        .await;
    }
    let (server, _) = stores.database_url.rsplit_once('/').unwrap();
    let (scheme, rest) = server.split_once("://").unwrap();
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let url = service::config::Secret::from(format!("{scheme}://{login}@{host}/{database}").as_str());
    let pool = service::postgres::pool(&url, 3, None).unwrap();
    service::migrate::postgres(&pool).await.unwrap();
    for role in Role::ALL {
        let pool = service::postgres::pool(&url, 1, Some(role)).unwrap();
        let name: String = sqlx::query_scalar("SELECT current_user").fetch_one(&pool).await.unwrap();
        assert_eq!(name, role.name());
        pool.close().await;
    }
    pool.close().await;
}
