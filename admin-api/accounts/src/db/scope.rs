//! What a function of this crate works in: a transaction that knows who asks and whose rows it may see.
//!
//! Postgres holds it to that: row-level security compares each row's tenant, and its project where it has one, with what
//! the scope has set for its transaction (docs/adr/0024). A scope that is dropped without [`Scope::commit`] changes
//! nothing.

use chrono::{DateTime, Utc};
use schemas::id::{ProjectId, TenantId};
use schemas::lifecycle::TenantState;
use service::clock::Clock;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::caller::Caller;
use crate::db::chain::{self, Chain, Note};
use crate::error::AccountError;
use crate::grants::{Grants, LIMITED};

/// A transaction within one tenant, or with [`EveryTenant`] across all of them.
pub struct Scope<Of = OneTenant> {
    tx: Transaction<'static, Postgres>,
    caller: Caller,
    now: DateTime<Utc>,
    notes: Vec<(Chain, Note)>,
    of: Of,
}

/// Rows of one tenant, or of some of its projects.
#[derive(Debug, Clone)]
pub struct OneTenant {
    tenant: TenantId,
    /// `None`: all, and what belongs to no single project.
    projects: Option<Vec<ProjectId>>,
    /// `None`: it was not looked at.
    state: Option<TenantState>,
}

/// Rows of all tenants: for operators, the command line, and for finding out who somebody is.
#[derive(Debug, Clone, Copy)]
pub struct EveryTenant;

/// A transaction across all tenants.
pub type PlatformScope = Scope<EveryTenant>;

/// What `weir.tenant` says in a scope of all tenants, and `weir.projects` in one of all projects.
const ALL: &str = "all";

impl Scope {
    /// Opens a scope of `tenant`, for a caller who was found to be allowed to.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn open(
        pool: &PgPool,
        clock: &Clock,
        caller: Caller,
        tenant: TenantId,
    ) -> Result<Self, sqlx::Error> {
        let mut tx = pool.begin().await?;
        see(&mut tx, &tenant.to_string(), ALL).await?;
        let of = OneTenant { tenant, projects: None, state: None };
        Ok(Self { tx, caller, now: now(clock), notes: Vec::new(), of })
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.of.tenant
    }

    /// The only projects whose rows it sees, for stores other than Postgres; `None`: all. Postgres holds every
    /// statement to it.
    #[must_use]
    pub fn projects(&self) -> Option<&[ProjectId]> {
        self.of.projects.as_deref()
    }

    /// What the tenant was when somebody was let in; `None` in a scope of operators and of weir itself, who may work
    /// with a tenant in any state.
    #[must_use]
    pub fn state(&self) -> Option<TenantState> {
        self.of.state
    }

    /// # Errors
    /// [`AccountError::Forbidden`] in a scope of some projects: what is asked for is of the whole tenant.
    pub(crate) fn whole(&self) -> Result<(), AccountError> {
        match self.of.projects {
            None => Ok(()),
            Some(_) => Err(AccountError::Forbidden(LIMITED.to_owned())),
        }
    }

    /// Notes a change for the tenant's audit. It is written by [`Scope::commit`].
    pub(crate) fn note(&mut self, note: Note) {
        self.notes.push((Chain::Tenant(self.of.tenant), note));
    }
}

impl PlatformScope {
    /// Opens a scope of all tenants.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn open_platform(pool: &PgPool, clock: &Clock, caller: Caller) -> Result<Self, sqlx::Error> {
        let mut tx = pool.begin().await?;
        see(&mut tx, ALL, ALL).await?;
        Ok(Self { tx, caller, now: now(clock), notes: Vec::new(), of: EveryTenant })
    }

    /// The same transaction, which sees rows of `tenant` alone from now on.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn enter(self, tenant: TenantId) -> Result<Scope, sqlx::Error> {
        self.narrow(OneTenant { tenant, projects: None, state: None }).await
    }

    /// The same transaction, which sees rows of `tenant` alone from now on, and of these only what `by` is limited to.
    ///
    /// # Errors
    /// If Postgres fails.
    pub(crate) async fn enter_as(
        self,
        tenant: TenantId,
        state: TenantState,
        by: &Grants,
    ) -> Result<Scope, sqlx::Error> {
        self.narrow(OneTenant { tenant, projects: by.projects.clone(), state: Some(state) }).await
    }

    async fn narrow(mut self, of: OneTenant) -> Result<Scope, sqlx::Error> {
        let projects = of
            .projects
            .as_ref()
            .map(|projects| projects.iter().map(ToString::to_string).collect::<Vec<String>>().join(","));
        see(&mut self.tx, &of.tenant.to_string(), projects.as_deref().unwrap_or(ALL)).await?;
        let Self { tx, caller, now, notes, of: EveryTenant } = self;
        Ok(Scope { tx, caller, now, notes, of })
    }

    /// Notes a change for the audit of `chain`. It is written by [`Scope::commit`].
    pub(crate) fn note(&mut self, chain: Chain, note: Note) {
        self.notes.push((chain, note));
    }

    /// Who asks, from now on: the person or token that was found to be asking.
    pub(crate) fn acting_as(&mut self, caller: Caller) {
        self.caller = caller;
    }
}

impl<Of> Scope<Of> {
    /// The transaction, for the statements of other crates.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// When the scope was opened.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Writes what was noted for the audit, and makes all of it so.
    ///
    /// # Errors
    /// If Postgres fails: whether it is so can't be known then, if it was the commit that failed.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        if !self.notes.is_empty() {
            if self.notes.iter().any(|(chain, _)| matches!(chain, Chain::Platform(_))) {
                // A scope that was narrowed may hold notes for the platform.
                see(&mut self.tx, ALL, ALL).await?;
            }
            chain::append(&mut self.tx, &self.caller, self.now, self.notes).await?;
        }
        self.tx.commit().await
    }
}

/// Until the transaction's end: a pooled connection carries nothing over.
async fn see(connection: &mut PgConnection, tenants: &str, projects: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('weir.tenant', $1, true), set_config('weir.projects', $2, true)")
        .bind(tenants)
        .bind(projects)
        .execute(connection)
        .await?;
    Ok(())
}

fn now(clock: &Clock) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(clock.now_micros()).unwrap_or_default()
}
