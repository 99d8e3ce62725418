//! `weir job`.

use std::process::ExitCode;

use accounts::{every, queue};
use clap::Subcommand;
use jobs::{JobState, SeenJob};
use schemas::public_id::JobId;
use service::postgres::Role;

use super::output::{lines, platform, pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// List jobs that are open or dead, the newest first
    List {
        /// Only those of this kind, as in mail.send
        #[arg(long)]
        kind: Option<String>,
        /// Only those that are waiting, running or dead
        #[arg(long)]
        state: Option<JobState>,
    },
    /// Show one
    Show {
        /// As `weir job list` shows it: job_...
        id: JobId,
    },
    /// Run a job that waits or is dead at once, with all its attempts before it
    Retry {
        /// As `weir job list` shows it: job_...
        id: JobId,
    },
    /// Give up a job that waits or is dead, for good
    Discard {
        /// As `weir job list` shows it: job_...
        id: JobId,
    },
}

fn line(job: &SeenJob) -> String {
    let SeenJob { id, kind, state, attempt, due_at, last_error, .. } = job;
    let when = match (state, job.dead_at) {
        (JobState::Dead, Some(at)) => format!("since {at}"),
        (JobState::Running, _) => format!("lease until {due_at}"),
        (JobState::Waiting | JobState::Dead, _) => format!("due {due_at}"),
    };
    let why = last_error.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    format!("{id} {kind}: {state}, {when}, {attempt} attempts{why}")
}

impl JobCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        let mut scope = platform(&pool).await?;
        match self {
            Self::List { kind, state } => {
                let kind = kind.as_deref();
                let all = every(async |asked| queue::list(&mut scope, kind, state, asked).await).await?;
                print(json, &all, lines(line))
            }
            Self::Show { id } => {
                let job = queue::show(&mut scope, id).await?;
                print(json, &job, |job| {
                    format!("{}\nmade     {}\npayload  {}", line(job), job.created_at, job.payload)
                })
            }
            Self::Retry { id } => {
                let job = queue::retry(&mut scope, id).await?;
                scope.commit().await?;
                print(json, &job, line)
            }
            Self::Discard { id } => {
                let job = queue::discard(&mut scope, id).await?;
                scope.commit().await?;
                print(json, &job, |job| format!("job {} is given up", job.id))
            }
        }
    }
}
