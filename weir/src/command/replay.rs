//! `weir replay` and `weir verify --repair`: rows brought back from the log.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};
use proof::Stores;
use proof::replay::{self, Report, Selection};
use schemas::time::Micros;
use service::postgres::Role;

use super::output::{pool, print};
use crate::config::{self, StoresConfig};
use crate::life::stores;

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("which").required(true).args(["partition", "period", "all"]))]
pub(crate) struct ReplayCommand {
    /// Of this partition, offsets from --from to --to
    #[arg(long, value_name = "P", requires = "from", requires = "to")]
    partition: Option<u32>,
    /// The first offset
    #[arg(long, value_name = "LO", requires = "partition")]
    from: Option<u64>,
    /// One past the last offset
    #[arg(long, value_name = "HI", requires = "partition")]
    to: Option<u64>,
    /// What was received from START on, before END, as in 2027-01-31T00:00:00Z
    #[arg(long, num_args = 2, value_names = ["START", "END"])]
    period: Vec<DateTime<Utc>>,
    /// All that the log still has
    #[arg(long)]
    all: bool,
}

impl ReplayCommand {
    fn selection(&self) -> Selection {
        let micros = |at: &DateTime<Utc>| Micros(at.timestamp_micros());
        match (self.partition, self.from, self.to, self.period.as_slice()) {
            (Some(partition), Some(from), Some(to), _) => Selection::Offsets { partition, from, to },
            (_, _, _, [from, to]) => Selection::Period { from: micros(from), to: micros(to) },
            _ => Selection::All,
        }
    }

    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let (config, processor) = config::processor()?;
        let (pool, log) = (pool(Role::Processor)?, stores::open_log_to_look(&config).await?);
        let clickhouse = clickhouse(&config);
        let stores = Stores::new(&pool, &clickhouse, &*log, &processor);
        let report = replay::replay(&stores, self.selection()).await?;
        print(json, &report, text)?;
        Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

pub(crate) fn clickhouse(config: &StoresConfig) -> ::clickhouse::Client {
    service::clickhouse::client(&config.clickhouse)
}

/// What was done, a line for each range that was not as it should be.
pub(crate) fn text(report: &Report) -> String {
    let Report { ranges, damaged, inserted, removed, notes, failed } = report;
    let mut text: String = notes.iter().map(|line| format!("{line}\n")).collect();
    text += &format!(
        "of {ranges} ledger ranges {damaged} did not agree with their rows: {inserted} rows inserted, {removed} removed"
    );
    if *failed > 0 {
        text += &format!("; {failed} ranges could not be mended");
    }
    text
}
