//! `weir project`.

use std::process::ExitCode;

use accounts::every;
use accounts::project::{self, NewProject};
use clap::{Args, Subcommand};
use service::postgres::Role;

use super::output::{find, lines, pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// Make a project
    Create(ProjectCreate),
    /// List a tenant's projects
    List {
        /// The tenant's name or id
        tenant: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ProjectCreate {
    /// The tenant's name or id
    tenant: String,
    #[command(flatten)]
    new: NewProject,
}

impl ProjectCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        let line = |made: &project::Project| format!("project {} {}", made.number, made.name);
        match self {
            Self::Create(ProjectCreate { tenant, new }) => {
                let mut scope = find(&pool, &tenant).await?;
                let made = project::create(&mut scope, &new.name).await?;
                scope.commit().await?;
                print(json, &made, line)
            }
            Self::List { tenant } => {
                let mut scope = find(&pool, &tenant).await?;
                print(json, &every(async |asked| project::list(&mut scope, asked).await).await?, lines(line))
            }
        }
    }
}
