//! Connections that are given back.

use service::config::Secret;
use service::postgres::{self, Role};
use testkit::Stores;

#[tokio::test]
async fn a_connection_given_back_in_a_transaction_that_nobody_knows_of_is_not_in_it_any_more() {
    let stores = Stores::fresh().await;
    let pool = postgres::pool(&Secret::from(stores.database_url.as_str()), 1, Some(Role::Ingest)).unwrap();
    let mut connection = pool.acquire().await.unwrap();
    // As a caller leaves it that gave up before the answer to its BEGIN came: sqlx has not counted the transaction.
    sqlx::raw_sql("BEGIN; SET LOCAL application_name = 'left'").execute(&mut *connection).await.unwrap();
    drop(connection);
    let name: String = sqlx::query_scalar("SHOW application_name").fetch_one(&pool).await.unwrap();
    assert_eq!(name, "weir");
}

#[tokio::test]
async fn a_transaction_of_somebody_who_has_gone_quiet_ends_before_a_statement_that_waits_for_it() {
    let stores = Stores::fresh().await;
    for role in Role::ALL {
        let pool = stores.pool_of(role);
        let millis = async |name: &str| -> i32 {
            let query = "SELECT setting::int FROM pg_settings WHERE name = $1";
            sqlx::query_scalar(query).bind(name).fetch_one(&pool).await.unwrap()
        };
        let (idle, statement) =
            (millis("idle_in_transaction_session_timeout").await, millis("statement_timeout").await);
        assert_eq!(
            (idle, statement),
            (if role == Role::Processor { 5_000 } else { 8_000 }, 10_000),
            "{role:?}"
        );
    }
}
