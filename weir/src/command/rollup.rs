//! `weir rollup`.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use service::postgres::Role;

use super::output::{pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum RollupCommand {
    /// Have hours computed again by the processors' next look
    Rebuild {
        /// The first hour, as in 2026-11-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        from: DateTime<Utc>,
        /// The first hour after
        #[arg(long, value_name = "TIME")]
        to: DateTime<Utc>,
    },
}

impl RollupCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let Self::Rebuild { from, to } = self;
        let hours = proof::rollup::rebuild(&pool(Role::Processor)?, from, to).await?;
        print(json, &serde_json::json!({"hours": hours}), |_| {
            format!("{hours} hours are computed again within minutes")
        })
    }
}
