//! `weir plan`.

use std::process::ExitCode;

use accounts::every;
use accounts::plan::{self, Plan, PlanLimits};
use clap::{Args, Subcommand};
use service::postgres::Role;

use super::output::{lines, or_none, platform, pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// Make a plan, or change it for all its tenants
    Set(PlanSet),
    /// List all plans
    List,
}

#[derive(Debug, Args)]
pub(crate) struct PlanSet {
    name: String,
    #[command(flatten)]
    limits: PlanLimits,
}

fn plan_line(plan: &Plan) -> String {
    let Plan { name, quota, rate, retention_days } = plan;
    let kept = retention_days.map_or_else(|| "without limit".to_owned(), |days| format!("for {days} days"));
    format!(
        "plan {name}: quota {} a month, rate {} a second, events are kept {kept}",
        or_none(*quota),
        or_none(*rate)
    )
}

impl PlanCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        match self {
            Self::Set(PlanSet { name, limits }) => {
                let mut scope = platform(&pool).await?;
                let plan = plan::put(&mut scope, &name, &limits).await?;
                scope.commit().await?;
                print(json, &plan, plan_line)
            }
            Self::List => {
                let mut scope = platform(&pool).await?;
                print(
                    json,
                    &every(async |asked| plan::list(&mut scope, asked).await).await?,
                    lines(plan_line),
                )
            }
        }
    }
}
