//! `weir spool`: what nodes hold for a Kafka that is away, as the books know it.

use std::process::ExitCode;

use clap::Subcommand;
use metering::spool::{self, Spool};
use service::postgres::Role;
use uuid::Uuid;

use super::output::{lines, pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// List the spools of ingest nodes, and how many ended nodes wait for each to be drained
    List,
    /// Give up the spool of a machine that is lost. What was accepted and stood only there is lost with it: neither
    /// stored nor billed. Quota that its nodes held is given back. Do not start a node on that spool afterwards
    Forget {
        /// As `weir spool list` has it
        id: Uuid,
    },
}

fn line(spool: &Spool) -> String {
    let Spool { id, since, ended, live, held } = spool;
    let state = if *live { "in use" } else { "in no process" };
    format!(
        "spool {id}: {state}, since {since}; {ended} ended nodes wait for it, which hold {held} events of quota"
    )
}

impl SpoolCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Billing)?;
        match self {
            Self::List => print(json, &spool::list(&pool).await?, lines(line)),
            Self::Forget { id } => {
                let nodes = spool::forget(&pool, id).await?;
                print(json, &serde_json::json!({"id": id, "nodes": nodes}), |_| {
                    format!("spool {id} is forgotten: {nodes} nodes are settled without it")
                })
            }
        }
    }
}
