//! `weir tenant`.

use std::process::ExitCode;

use accounts::every;
use accounts::tenant::{self, NewTenant, Tenant, TenantChange};
use clap::{Args, Subcommand};
use schemas::address::AddressPolicy;
use service::postgres::Role;

use super::output::{find, lines, or_none, platform, pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Make a tenant, with a project `default`
    Create(NewTenant),
    /// Change a tenant; ingest knows within a second
    Set(TenantSet),
    /// List all tenants
    List,
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
            Self::List => {
                let mut scope = platform(&pool).await?;
                print(
                    json,
                    &every(async |asked| tenant::list(&mut scope, asked).await).await?,
                    lines(tenant_line),
                )
            }
        }
    }
}
