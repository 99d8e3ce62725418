//! `weir session`: on which devices people are signed in.

use std::process::ExitCode;

use accounts::session::Session;
use accounts::{every, people};
use clap::Subcommand;
use schemas::public_id::SessionId;
use service::postgres::Role;

use super::output::{lines, platform, pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List a person's open sessions
    List {
        /// Address or id
        person: String,
    },
    /// End a session: within a second its access tokens are worth nothing. `weir person end-sessions` ends all
    End {
        /// Address or id of its person
        person: String,
        /// As `weir session list` shows it: ses_...
        id: SessionId,
        /// Why: the audit says it
        #[arg(long)]
        reason: String,
    },
}

fn line(session: &Session) -> String {
    let Session { id, user_agent, address, created_at, last_seen_at, .. } = session;
    let address = address.as_deref().unwrap_or("nowhere known");
    format!("session {id} from {address} ({user_agent}): since {created_at}, last seen {last_seen_at}")
}

impl SessionCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let mut scope = platform(&pool(Role::Api)?).await?;
        match self {
            Self::List { person } => {
                let all = every(async |asked| people::sessions(&mut scope, &person, asked).await).await?;
                print(json, &all, lines(line))
            }
            Self::End { person, id, reason } => {
                people::end_session(&mut scope, &person, id, &reason).await?;
                scope.commit().await?;
                print(json, &serde_json::json!({"id": id, "ended": true}), |_| {
                    format!("session {id} has ended")
                })
            }
        }
    }
}
