//! Quotas, usage and outcomes against a real Postgres. Everything is done as the database role that does it in
//! production, so that a missing right is found here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is wrong")]

mod lease;
mod usage;
mod reclaim;
mod spool;
mod outcomes;

use std::time::Duration;

use schemas::id::TenantId;
use schemas::time::Micros;
use service::postgres::Role;
use sqlx::{PgPool, Postgres, Transaction};
use testkit::Stores;
use uuid::Uuid;

/// Of an ingest node.
const LEASE: Duration = Duration::from_secs(15);
/// The period in which all tests play.
const NOVEMBER: Micros = Micros(1_793_491_200 * Micros::SECOND);

/// The stores, and Postgres as each process has it.
struct Place {
    stores: Stores,
    ingest: PgPool,
    processor: PgPool,
    billing: PgPool,
    api: PgPool,
}

impl Place {
    async fn new() -> Self {
        let stores = Stores::fresh().await;
        let [ingest, processor, billing, api] =
            [Role::Ingest, Role::Processor, Role::Billing, Role::Api].map(|role| stores.pool_of(role));
        Self { stores, ingest, processor, billing, api }
    }

    /// Makes a tenant with that quota.
    async fn tenant(&self, quota: i64) -> TenantId {
        let make = "INSERT INTO tenant (name, plan_id, quota)
             SELECT gen_random_uuid()::text, min(id), $1 FROM plan RETURNING id";
        let id = sqlx::query_scalar(make).bind(quota).fetch_one(&self.stores.pool).await.unwrap();
        TenantId(id)
    }

    /// A transaction of the API's role that sees every tenant, as an operator's does.
    async fn operator(&self) -> Transaction<'static, Postgres> {
        let mut transaction = self.api.begin().await.unwrap();
        let sees = "SELECT set_config('weir.tenant', 'all', true), set_config('weir.projects', 'all', true)";
        sqlx::query(sees).execute(&mut *transaction).await.unwrap();
        transaction
    }

    /// A node that lives.
    async fn node(&self, spool: Option<Uuid>) -> Uuid {
        let node = Uuid::now_v7();
        metering::lease::register(&self.ingest, node, LEASE, spool).await.unwrap();
        node
    }

    /// Ends the node's lease so long ago that no append of it can still land.
    async fn is_dead(&self, node: Uuid) {
        let ended = "UPDATE ingest_node SET lease_until = now() - interval '11 seconds' WHERE id = $1";
        assert_eq!(
            sqlx::query(ended).bind(node).execute(&self.stores.pool).await.unwrap().rows_affected(),
            1
        );
    }

    async fn number(&self, query: &'static str) -> i64 {
        self.stores.postgres_number(query).await
    }

    /// What is granted of the only period, and by the only lease.
    async fn granted(&self) -> (i64, i64) {
        let query = "SELECT q.granted, l.granted
             FROM quota_period q JOIN quota_lease l USING (tenant_id, period_start)";
        sqlx::query_as(query).fetch_one(&self.stores.pool).await.unwrap()
    }
}
