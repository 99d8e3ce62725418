//! `weir usage`.

use std::process::ExitCode;

use anyhow::Context;
use metering::usage::of_tenant;
use schemas::time::Micros;
use service::clock::Clock;
use service::postgres::Role;

use super::output::{find, or_none, pool, print};

/// `weir usage`.
pub(crate) async fn usage(tenant: &str, json: bool) -> anyhow::Result<ExitCode> {
    let pool = pool(Role::Api)?;
    let mut scope = find(&pool, tenant).await?;
    let id = scope.tenant();
    let usage = of_tenant(scope.connection(), id, Micros(Clock::system().now_micros())).await?;
    let usage = usage.with_context(|| format!("there is no tenant {tenant}"))?;
    print(json, &usage, |usage| {
        format!(
            "period     {} to {}\nstored     {} (billed)\nduplicate  {}\ndead       {}\n\
             quota      {}, of which {} are granted to ingest\nas of      {}",
            usage.period_start,
            usage.period_end,
            usage.stored,
            usage.duplicate,
            usage.dead,
            or_none(usage.quota),
            usage.granted,
            usage.as_of
        )
    })
}
