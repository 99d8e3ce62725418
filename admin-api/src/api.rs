//! What handlers share.

use std::sync::Arc;

use accounts::{AccountError, Actor, Authenticator, Caller, PlatformScope, Random, Scope, tenant};
use schemas::id::TenantId;
use service::clock::Clock;
use service::config::Secret;
use sqlx::PgPool;

use crate::request;

/// The database, the time, what an operator presents, and who finds out about people.
#[derive(Clone)]
pub struct Api {
    pub(crate) pool: PgPool,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// The operator's; `None` on the tenants' listener, which does not know it.
    pub(crate) token: Option<Arc<Secret>>,
    /// `None`: nobody can sign in.
    pub(crate) auth: Option<Arc<Authenticator>>,
}

impl Api {
    /// A scope of all tenants, for the operator who sent the request.
    pub(crate) async fn platform(&self) -> Result<PlatformScope, sqlx::Error> {
        let (address, request_id) = (request::address(), Some(request::id()));
        let caller = Caller { actor: Actor::Operator, address, request_id };
        PlatformScope::open_platform(&self.pool, &self.clock, caller).await
    }

    /// A scope of the tenant with that name or id, for the operator who sent the request.
    pub(crate) async fn tenant(&self, name_or_id: &str) -> Result<Scope, AccountError> {
        let mut platform = self.platform().await?;
        let tenant = tenant::find(&mut platform, name_or_id).await?;
        Ok(platform.enter(TenantId(tenant.id)).await?)
    }
}
