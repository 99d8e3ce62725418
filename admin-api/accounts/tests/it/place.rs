//! A database, the time, and tenants in it.

use accounts::tenant::{self, NewTenant};
use accounts::{Caller, PlatformScope, Scope};
use schemas::id::TenantId;
use service::clock::Clock;
use service::postgres::Role;
use sqlx::PgPool;
use testkit::Database;

/// 2026-11-30 12:00 UTC.
pub(crate) const NOON: i64 = 1_796_040_000_000_000;
pub(crate) const SECOND: i64 = 1_000_000;

pub(crate) struct Place {
    /// As a superuser.
    pub(crate) database: Database,
    /// As the admin API.
    pub(crate) pool: PgPool,
    pub(crate) clock: Clock,
}

impl Place {
    pub(crate) async fn fresh() -> Self {
        Self::with_connections(8).await
    }

    pub(crate) async fn with_connections(connections_max: u32) -> Self {
        let database = Database::fresh().await;
        let pool = database.pool_of(connections_max, Role::Api);
        Self { database, pool, clock: Clock::at(NOON) }
    }

    pub(crate) async fn platform(&self) -> PlatformScope {
        PlatformScope::open_platform(&self.pool, &self.clock, Caller::COMMAND_LINE).await.unwrap()
    }

    pub(crate) async fn scope(&self, tenant: TenantId) -> Scope {
        Scope::open(&self.pool, &self.clock, Caller::COMMAND_LINE, tenant).await.unwrap()
    }

    pub(crate) async fn tenant(&self, name: &str) -> TenantId {
        let new = NewTenant {
            name: name.to_owned(),
            slug: None,
            quota: None,
            plan: "developer".to_owned(),
            rate: None,
            time_zone: None,
            client_ip: None,
        };
        let mut scope = self.platform().await;
        let tenant = tenant::create(&mut scope, &new).await.unwrap();
        scope.commit().await.unwrap();
        TenantId(tenant.number)
    }

    /// The one number that a query returns, asked as a superuser.
    pub(crate) async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.database.pool).await.unwrap()
    }

    /// Something done as a superuser.
    pub(crate) async fn forge(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.database.pool).await.unwrap();
    }
}
