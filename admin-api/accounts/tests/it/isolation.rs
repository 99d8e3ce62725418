//! No tenant sees another: Postgres holds every statement to that, whatever it says.

use accounts::key::{self, NewKey};
use accounts::{AccountError, project};
use schemas::id::TenantId;
use service::postgres::Role;
use sqlx::PgPool;

use crate::place::Place;

/// Tables that hold rows of tenants, with the column that says whose.
async fn tables_of_tenants(pool: &PgPool) -> Vec<(String, String)> {
    let mut tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id'
         ORDER BY c.relname",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    tables.push(("tenant".to_owned(), "id".to_owned()));
    tables
}

/// Of these, the ones that are not closed to all but the tenant.
async fn open_tables(pool: &PgPool) -> Vec<String> {
    let mut open = Vec::new();
    for (table, column) in tables_of_tenants(pool).await {
        let closed: bool = sqlx::query_scalar(
            "SELECT c.relrowsecurity AND c.relforcerowsecurity AND (
                 SELECT count(*) = 1 AND bool_and(p.qual = p.with_check AND p.cmd = 'ALL'
                     AND p.qual LIKE '%weir.tenant%' AND p.qual LIKE '%' || $2 || '%')
                 FROM pg_policies p
                 WHERE p.tablename = c.relname
                   AND p.permissive = 'PERMISSIVE' AND p.roles && '{weir_api,public}'::name[])
             FROM pg_class c WHERE c.oid = $1::regclass",
        )
        .bind(&table)
        .bind(&column)
        .fetch_one(pool)
        .await
        .unwrap();
        if !closed {
            open.push(table);
        }
    }
    open
}

#[tokio::test]
async fn every_table_of_tenants_forces_row_level_security_and_one_without_is_found() {
    let place = Place::fresh().await;
    assert!(tables_of_tenants(&place.database.pool).await.len() > 10);
    assert_eq!(open_tables(&place.database.pool).await, [""; 0]);
    for statement in [
        "CREATE TABLE forgotten (tenant_id bigint)",
        "CREATE TABLE half (tenant_id bigint); ALTER TABLE half ENABLE ROW LEVEL SECURITY",
        "CREATE TABLE wide (tenant_id bigint); SELECT isolate_tenants('wide');
         CREATE POLICY more ON wide TO weir_api USING (true)",
    ] {
        sqlx::raw_sql(statement).execute(&place.database.pool).await.unwrap();
    }
    assert_eq!(open_tables(&place.database.pool).await, ["forgotten", "half", "wide"]);
}

#[tokio::test]
async fn the_role_of_the_api_can_not_get_round_the_policies() {
    let place = Place::fresh().await;
    let mighty: bool = sqlx::query_scalar(
        "SELECT rolsuper OR rolbypassrls OR pg_has_role('weir_api', 'weir_owner', 'MEMBER')
         FROM pg_roles WHERE rolname = 'weir_api'",
    )
    .fetch_one(&place.database.pool)
    .await
    .unwrap();
    assert!(!mighty);
    let owned = place.number("SELECT count(*) FROM pg_tables WHERE tableowner = 'weir_api'").await;
    assert_eq!(owned, 0);
}

#[tokio::test]
async fn without_a_tenant_nothing_is_seen_and_nothing_is_written() {
    let place = Place::fresh().await;
    place.tenant("acme").await;
    for set in [
        "SELECT 1",
        "SELECT set_config('weir.tenant', '', false)",
        "SELECT set_config('weir.tenant', 'ALL', false)",
    ] {
        let mut connection = place.pool.acquire().await.unwrap();
        sqlx::query(set).execute(&mut *connection).await.unwrap();
        for (table, _) in tables_of_tenants(&place.database.pool).await {
            let readable: bool = sqlx::query_scalar("SELECT has_table_privilege('weir_api', $1, 'SELECT')")
                .bind(&table)
                .fetch_one(&place.database.pool)
                .await
                .unwrap();
            if readable {
                let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
                let rows: i64 = sqlx::query_scalar(count).fetch_one(&mut *connection).await.unwrap();
                assert_eq!(rows, 0, "{table} after {set}");
            }
        }
        let insert = "INSERT INTO project (tenant_id, name) SELECT 1, 'stolen'";
        let error = sqlx::query(insert).execute(&mut *connection).await.unwrap_err();
        assert!(error.to_string().contains("row-level security"), "{error}");
        let changed = sqlx::query("UPDATE tenant SET quota = 0").execute(&mut *connection).await.unwrap();
        assert_eq!(changed.rows_affected(), 0);
    }
}

#[tokio::test]
async fn one_connection_that_serves_tenants_in_turn_shows_each_its_own() {
    let place = Place::with_connections(1).await;
    let (acme, zeta) = (place.tenant("acme").await, place.tenant("zeta").await);
    for round in 0..20 {
        let tenant = if round % 2 == 0 { acme } else { zeta };
        let mut scope = place.scope(tenant).await;
        let name = format!("p{round}");
        project::create(&mut scope, &name).await.unwrap();
        // Every second is dropped: what its transaction had set is gone with it.
        if round % 4 < 2 {
            scope.commit().await.unwrap();
        } else {
            drop(scope);
        }
        let left: Option<String> = sqlx::query_scalar("SELECT current_setting('weir.tenant', true)")
            .fetch_one(&place.pool)
            .await
            .unwrap();
        assert!(left.is_none_or(|left| left.is_empty()), "the setting outlived its transaction");
        let mut scope = place.scope(tenant).await;
        let tenants: Vec<i64> = sqlx::query_scalar("SELECT DISTINCT tenant_id FROM project")
            .fetch_all(scope.connection())
            .await
            .unwrap();
        assert_eq!(tenants, [tenant.0]);
    }
}

#[tokio::test]
async fn a_scope_of_one_tenant_neither_reads_nor_writes_another_whatever_it_names() {
    let place = Place::fresh().await;
    let (acme, zeta) = (place.tenant("acme").await, place.tenant("zeta").await);
    let mut scope = place.scope(zeta).await;
    let key = key::create(&mut scope, &NewKey::default()).await.unwrap();
    scope.commit().await.unwrap();

    let mut scope = place.scope(acme).await;
    assert!(matches!(key::revoke(&mut scope, key.made.id).await, Err(AccountError::NotFound(_))));
    for statement in [
        "UPDATE api_key SET revoked_at = now()",
        "UPDATE tenant SET quota = 0 WHERE name = 'zeta'",
        "UPDATE project SET name = 'mine' WHERE tenant_id <> (SELECT id FROM tenant WHERE name = 'acme')",
    ] {
        let changed = sqlx::query(statement).execute(scope.connection()).await.unwrap();
        assert_eq!(changed.rows_affected(), 0, "{statement}");
    }
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM tenant").fetch_all(scope.connection()).await.unwrap();
    assert_eq!(names, ["acme"]);
    drop(scope);

    let mut scope = place.scope(acme).await;
    let moved =
        sqlx::query("UPDATE project SET tenant_id = $1").bind(zeta.0).execute(scope.connection()).await;
    assert!(moved.unwrap_err().to_string().contains("row-level security"));
    assert_eq!(place.number("SELECT count(*) FROM api_key WHERE revoked_at IS NULL").await, 1);
}

#[tokio::test]
async fn a_scope_that_was_narrowed_sees_one_tenant() {
    let place = Place::fresh().await;
    let (acme, _zeta) = (place.tenant("acme").await, place.tenant("zeta").await);
    let mut platform = place.platform().await;
    let all: i64 =
        sqlx::query_scalar("SELECT count(*) FROM tenant").fetch_one(platform.connection()).await.unwrap();
    assert_eq!(all, 2);
    let mut scope = platform.enter(acme).await.unwrap();
    assert_eq!(scope.tenant(), acme);
    let one: i64 =
        sqlx::query_scalar("SELECT count(*) FROM tenant").fetch_one(scope.connection()).await.unwrap();
    assert_eq!(one, 1);
}

#[tokio::test]
async fn processes_that_work_for_all_tenants_plan_without_a_filter() {
    let place = Place::fresh().await;
    let processor = place.database.pool_of(1, Role::Processor);
    let plan: Vec<String> =
        sqlx::query_scalar("EXPLAIN UPDATE usage_hour SET stored = 1 WHERE tenant_id = 7")
            .fetch_all(&processor)
            .await
            .unwrap();
    assert!(!plan.join("\n").contains("weir.tenant"), "{plan:?}");
    let mut scope = place.scope(TenantId(7)).await;
    let plan: Vec<String> = sqlx::query_scalar("EXPLAIN SELECT FROM usage_hour WHERE tenant_id = 7")
        .fetch_all(scope.connection())
        .await
        .unwrap();
    let plan = plan.join("\n");
    assert!(plan.contains("weir.tenant") && plan.contains("Index Cond: (tenant_id = 7)"), "{plan}");
}
