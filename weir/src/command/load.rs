//! `weir load`: the load generator, and the check of its journal against what is stored.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use benches::load::journal::{Check, CheckReport, Journal};
use benches::load::{LoadOptions, run_until};
use clap::Args;
use schemas::time::Micros;
use serde::Serialize;
use service::clock::Clock;
use service::shutdown::signalled;

use super::output::say;
use crate::config;

#[derive(Debug, Args)]
pub(crate) struct LoadCommand {
    #[command(flatten)]
    options: LoadOptions,
    /// Send nothing: check this journal of an earlier run against what is stored; exit code 1 if a promise was broken
    #[arg(long, value_name = "FILE", conflicts_with = "journal")]
    check: Option<PathBuf>,
    /// With --check: seconds to wait for what is still on its way
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    within_seconds: u64,
}

/// Between two looks of a check.
const CHECK_EVERY: Duration = Duration::from_millis(500);

impl LoadCommand {
    pub(crate) async fn carry_out(mut self, json: bool) -> anyhow::Result<ExitCode> {
        if let Some(path) = self.check.take() {
            let report = self.check_until_it_holds(&path).await?;
            print(&report, json)?;
            return Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        self.options.timestamp = Some(Micros(Clock::system().now_micros()));
        let stop = async {
            if signalled().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let report = run_until(self.options, stop).await?;
        print(&report, json)?;
        Ok(if report.events_accepted > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// What is promised may still be on its way through the log: asks again until it has arrived, or time is up.
    async fn check_until_it_holds(&self, path: &Path) -> anyhow::Result<CheckReport> {
        let until = tokio::time::Instant::now() + Duration::from_secs(self.within_seconds);
        loop {
            let report = check(path).await?;
            if report.holds() || tokio::time::Instant::now() >= until {
                return Ok(report);
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }
}

/// Every id of the journal's run, with how many rows it has: raw rows, so that one that a merge would remove counts.
async fn check(path: &Path) -> anyhow::Result<CheckReport> {
    let journal = Journal::read(path)?;
    let client = service::clickhouse::client(&config::stores()?.clickhouse);
    let mut check = Check::new(&journal);
    let mut rows = client
        .query("SELECT event_id, count() FROM events WHERE startsWith(event_id, ?) GROUP BY event_id")
        .bind(journal.id_prefix())
        .fetch::<(String, u64)>()?;
    while let Some((id, count)) = rows.next().await? {
        check.stored(&id, count);
    }
    Ok(check.finish())
}

fn print<T: Serialize + std::fmt::Display>(report: &T, json: bool) -> anyhow::Result<()> {
    say(&if json { serde_json::to_string(report)? } else { report.to_string() })?;
    Ok(())
}
