//! What a function of this crate works in: a transaction that knows who asks and whose rows it may see.
//!
//! Postgres holds it to that: row-level security compares each row's tenant, and its project where it has one, with
//! what the scope has set for its transaction (docs/adr/0024). A scope that is dropped without [`Scope::commit`]
//! changes nothing.

use chrono::{DateTime, Utc};
use schemas::id::{ProjectId, TenantId};
use schemas::lifecycle::TenantState;
use serde::Serialize;
use service::clock::Clock;
use sqlx::{AssertSqlSafe, Encode, PgConnection, PgPool, Postgres, Transaction, Type};

use crate::caller::Caller;
use crate::db::chain::{Chain, Note};
use crate::db::idempotent_request::Claim;
use crate::db::work::{ALL, Work, see};
use crate::error::AccountError;
use crate::expected::{EntityTag, Expected};
use crate::grants::{Grants, LIMITED};

/// A transaction within one tenant, or with [`EveryTenant`] across all of them.
pub struct Scope<Of = OneTenant> {
    work: Work,
    /// What the caller expects of the resource that is to be changed, until it was compared.
    expected: Option<Expected>,
    /// The request is carried out once: its commit waits for the reply.
    claim: Option<Claim>,
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

/// Which tenants' rows a scope sees.
pub trait Reach {
    /// The one tenant; `None`: all.
    fn tenant(&self) -> Option<TenantId>;

    /// The only projects there; `None`: all.
    fn projects(&self) -> Option<&[ProjectId]> {
        None
    }
}

impl Reach for OneTenant {
    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn projects(&self) -> Option<&[ProjectId]> {
        self.projects.as_deref()
    }
}

impl Reach for EveryTenant {
    fn tenant(&self) -> Option<TenantId> {
        None
    }
}

/// A transaction across all tenants.
pub type PlatformScope = Scope<EveryTenant>;

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
        Ok(Self::begun(tx, caller, clock, OneTenant { tenant, projects: None, state: None }))
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

    /// Lets nobody else change the row of that id of the tenant until the transaction ends. That there is none is found
    /// by who reads it next.
    pub(crate) async fn lock<Id>(&mut self, table: &'static str, id: Id) -> Result<(), sqlx::Error>
    where
        Id: for<'q> Encode<'q, Postgres> + Type<Postgres> + Send + 'static,
    {
        let query = format!("SELECT FROM {table} WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE");
        let query = sqlx::query(AssertSqlSafe(query)).bind(self.of.tenant.0).bind(id);
        query.execute(self.connection()).await?;
        Ok(())
    }

    /// Notes a change for the tenant's audit. It is written by [`Scope::commit`].
    pub(crate) fn note(&mut self, note: Note) {
        self.work.notes.push((Chain::Tenant(self.of.tenant), note));
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
        Ok(Self::begun(tx, caller, clock, EveryTenant))
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
        see(&mut self.work.tx, &of.tenant.to_string(), projects.as_deref().unwrap_or(ALL)).await?;
        let Self { work, expected, claim, of: EveryTenant } = self;
        Ok(Scope { work, expected, claim, of })
    }

    /// Notes a change for the audit of `chain`. It is written by [`Scope::commit`].
    pub(crate) fn note(&mut self, chain: Chain, note: Note) {
        self.work.notes.push((chain, note));
    }

    /// Who asks, from now on: the person or token that was found to be asking.
    pub(crate) fn acting_as(&mut self, caller: Caller) {
        self.work.caller = caller;
    }
}

impl<Of> Scope<Of> {
    fn begun(tx: Transaction<'static, Postgres>, caller: Caller, clock: &Clock, of: Of) -> Self {
        let work = Work { tx, caller, now: now(clock), notes: Vec::new() };
        Self { work, expected: None, claim: None, of }
    }

    /// The change is to be made only if the resource is as the caller expects it.
    pub fn hold_if_match(&mut self, expected: Expected) {
        self.expected = Some(expected);
    }

    /// Compares a resource, which is locked and about to be changed, with what the caller expects. `before` is what a
    /// reply shows of it.
    ///
    /// # Errors
    /// [`AccountError::Changed`].
    pub fn check(&mut self, before: &impl Serialize) -> Result<(), AccountError> {
        match self.expected.take() {
            Some(expected) if !expected.matches(&EntityTag::of(before)) => Err(AccountError::Changed),
            _ => Ok(()),
        }
    }

    /// The same where there is no such resource yet: no expectation holds.
    ///
    /// # Errors
    /// [`AccountError::Changed`].
    pub fn check_absent(&mut self) -> Result<(), AccountError> {
        self.expected.take().map_or(Ok(()), |_| Err(AccountError::Changed))
    }

    /// Lets the commit wait for the reply.
    pub(crate) fn defer(&mut self, claim: Claim) {
        self.claim = Some(claim);
    }

    /// The transaction, for the statements of other crates.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.work.tx
    }

    /// Who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.work.caller
    }

    /// When the scope was opened.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.work.now
    }
}

impl<Of: Reach> Scope<Of> {
    pub(crate) fn reach(&self) -> &Of {
        &self.of
    }

    /// The one tenant whose rows it sees; `None`: all.
    pub(crate) fn reaches(&self) -> Option<TenantId> {
        self.of.tenant()
    }

    /// Writes what was noted for the audit, and makes all of it so; for a request that was claimed, once its reply is
    /// known.
    ///
    /// # Errors
    /// If Postgres fails: whether it is so can't be known then, if it was the commit that failed.
    /// [`AccountError::Changed`] if the caller expects something and nothing was compared: then nothing is changed.
    pub async fn commit(self) -> Result<(), AccountError> {
        if self.expected.is_some() {
            return Err(AccountError::Changed);
        }
        let tenant = self.reaches();
        match self.claim {
            Some(claim) => claim.wait(self.work, tenant),
            None => self.work.commit().await?,
        }
        Ok(())
    }
}

fn now(clock: &Clock) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(clock.now_micros()).unwrap_or_default()
}
