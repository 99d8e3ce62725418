//! What handlers share.

use std::sync::Arc;

use accounts::{AccountError, tenant};
use schemas::id::TenantId;
use service::clock::Clock;
use service::config::Secret;
use sqlx::PgPool;

/// The database, the time, and what an operator presents.
#[derive(Clone)]
pub struct Api {
    pub(crate) pool: PgPool,
    pub(crate) clock: Clock,
    pub(crate) token: Arc<Secret>,
}

impl Api {
    pub(crate) async fn tenant_id(&self, name_or_id: &str) -> Result<TenantId, AccountError> {
        Ok(TenantId(tenant::find(&self.pool, name_or_id).await?.id))
    }
}
