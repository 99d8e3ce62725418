//! `weir tenant`.

use std::process::ExitCode;

use accounts::every;
use accounts::tenant::{self, NewTenant, Tenant, TenantChange};
use clap::{Args, Subcommand};
use schemas::address::AddressPolicy;
use schemas::lifecycle::TenantTransition;
use service::postgres::Role;
use sqlx::PgPool;

use super::output::{find, lines, or_none, platform, pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Make a tenant, with a project `default`
    Create(NewTenant),
    /// Change a tenant; ingest knows within a second
    Set(TenantSet),
    /// Stop a tenant: its keys are refused, its people read
    Freeze(Because),
    /// Let a frozen tenant in again
    Thaw(Because),
    /// End a tenant: its keys and its people are refused
    Close(Because),
    /// Let a closed tenant in again
    Reopen(Because),
    /// Show one tenant
    Show {
        /// Its slug, public id or number
        tenant: String,
    },
    /// List tenants
    List {
        /// The beginning of a slug, a name or a member's address; or an id. All without it
        query: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Because {
    /// Its slug, public id or number
    tenant: String,
    /// Why: the audit says it
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct TenantSet {
    /// Its name or id
    tenant: String,
    #[command(flatten)]
    change: TenantChange,
}

fn tenant_line(tenant: &Tenant) -> String {
    let Tenant { number, slug, plan, quota, rate, own_quota, own_rate, time_zone, status, client_ip, .. } =
        tenant;
    let own = |limit: Option<i64>, own: bool| or_none(limit) + if own { " (its own)" } else { "" };
    let (quota, rate) = (own(*quota, *own_quota), own(*rate, *own_rate));
    let kept = match client_ip {
        AddressPolicy::Full => String::new(),
        AddressPolicy::Truncated | AddressPolicy::None => format!(", client addresses {client_ip}"),
    };
    format!(
        "tenant {number} {slug}: plan {plan}, quota {quota} a month, rate {rate} a second, {time_zone}, {status}{kept}"
    )
}

impl TenantCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        match self {
            Self::Create(new) => {
                let mut scope = platform(&pool).await?;
                let made = tenant::create(&mut scope, &new).await?;
                scope.commit().await?;
                print(json, &made, tenant_line)
            }
            Self::Set(TenantSet { tenant, change }) => {
                let mut scope = find(&pool, &tenant).await?;
                let changed = tenant::change(&mut scope, &change).await?;
                scope.commit().await?;
                print(json, &changed, tenant_line)
            }
            Self::Freeze(because) => because.transit(&pool, TenantTransition::Freeze, json).await,
            Self::Thaw(because) => because.transit(&pool, TenantTransition::Thaw, json).await,
            Self::Close(because) => because.transit(&pool, TenantTransition::Close, json).await,
            Self::Reopen(because) => because.transit(&pool, TenantTransition::Reopen, json).await,
            Self::Show { tenant } => {
                print(json, &tenant::show(&mut find(&pool, &tenant).await?).await?, tenant_line)
            }
            Self::List { query } => {
                let (mut scope, query) = (platform(&pool).await?, query.as_deref());
                let all = every(async |asked| tenant::list(&mut scope, query, asked).await).await?;
                print(json, &all, lines(tenant_line))
            }
        }
    }
}

impl Because {
    async fn transit(
        self,
        pool: &PgPool,
        transition: TenantTransition,
        json: bool,
    ) -> anyhow::Result<ExitCode> {
        let mut scope = find(pool, &self.tenant).await?;
        let changed = tenant::operate(&mut scope, transition, &self.reason).await?;
        scope.commit().await?;
        print(json, &changed, tenant_line)
    }
}
