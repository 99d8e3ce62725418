//! `weir erase` and `weir erasure`: what is asked for here, processors carry out.

use std::process::ExitCode;
use std::time::Duration;

use accounts::erasure::{self, Erasure, NewErasure};
use accounts::every;
use clap::{Args, Subcommand};
use schemas::public_id::ErasureId;
use service::postgres::Role;

use super::output::{find, lines, pool, print};

/// How often `--wait` looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct EraseCommand {
    /// The tenant's name or id
    #[arg(long)]
    tenant: String,
    #[command(flatten)]
    new: NewErasure,
    /// Return when no row is left
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ErasureCommand {
    /// List a tenant's erasures, the newest first
    List {
        /// The tenant's name or id
        tenant: String,
    },
    /// How far one is
    Show {
        /// The tenant's name or id
        tenant: String,
        /// As in era_...
        id: ErasureId,
    },
}

fn line(erasure: &Erasure) -> String {
    let Erasure { id, project_name, kind, state, requested_at, events, dead_letters, .. } = erasure;
    let project =
        project_name.as_deref().map_or_else(|| "all projects".to_owned(), |name| format!("project {name}"));
    let count = |n: &Option<i64>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let (events, letters) = (count(events), count(dead_letters));
    format!(
        "erasure {id} ({kind}, {project}) of {requested_at}: {state}, {events} events; {letters} dead letters name it"
    )
}

impl EraseCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        let mut scope = find(&pool, &self.tenant).await?;
        let mut asked = erasure::create(&mut scope, &self.new).await?;
        scope.commit().await?;
        while self.wait && asked.state != "done" {
            tokio::time::sleep(LOOK_EVERY).await;
            asked = erasure::find(&mut find(&pool, &self.tenant).await?, asked.id).await?;
        }
        print(json, &asked, line)
    }
}

impl ErasureCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        match self {
            Self::List { tenant } => {
                let mut scope = find(&pool, &tenant).await?;
                print(json, &every(async |asked| erasure::list(&mut scope, asked).await).await?, lines(line))
            }
            Self::Show { tenant, id } => {
                print(json, &erasure::find(&mut find(&pool, &tenant).await?, id).await?, line)
            }
        }
    }
}
