//! `weir partition`: who processes the log's partitions, and which are halted.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use processor::standing::{self, Resumed, Standing};
use service::postgres::Role;

use super::output::{lines, pool, print};
use crate::config;
use crate::life::stores;

#[derive(Debug, Subcommand)]
pub(crate) enum PartitionCommand {
    /// List the partitions: who processes them, how far, and why some are halted
    List,
    /// Let processors take a partition again, after what halted it was mended. Else they halt it again
    Resume {
        /// Its number
        partition: u32,
    },
}

impl PartitionCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Processor)?;
        match self {
            Self::List => {
                let log = stores::open_log_to_look(&config::stores()?).await;
                if let Err(error) = &log {
                    eprintln!("weir: the log can't be opened: {error:#}");
                }
                print(json, &standing::list(&pool, log.as_deref().ok()).await?, lines(line))
            }
            Self::Resume { partition } => {
                match standing::resume(&pool, partition).await? {
                    Resumed::Yes => {}
                    Resumed::WasNotHalted => bail!("partition {partition} is not halted"),
                    Resumed::Unknown => bail!("there is no partition {partition}"),
                }
                print(json, &serde_json::json!({"partition": partition}), |_| {
                    format!("partition {partition} is resumed: weir partition list shows who takes it")
                })
            }
        }
    }
}

fn line(of: &Standing) -> String {
    let Standing { partition, next_offset, epoch, .. } = of;
    let lag = of.lag.map_or_else(|| "an unknown number of".to_owned(), |lag| lag.to_string());
    let state = match (&of.halted_reason, of.halted_at, of.owner) {
        (Some(reason), Some(since), _) => format!("halted since {since}: {reason}"),
        (_, _, Some(owner)) => format!("owner {owner}"),
        (_, _, None) => "no owner".to_owned(),
    };
    format!("partition {partition}: processed to {next_offset}, {lag} records behind, epoch {epoch}, {state}")
}
