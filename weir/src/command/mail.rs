//! `weir mail`.

use std::process::ExitCode;

use accounts::outbox::{self, SeenMail};
use accounts::suppression::{self, Suppression};
use accounts::{every, queue};
use clap::Subcommand;
use schemas::public_id::MessageId;
use serde_json::json;
use service::postgres::Role;

use super::output::{lines, platform, pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum MailCommand {
    /// List mails of the last 30 days, the newest first, and what became of them
    List {
        /// Only those to this address
        #[arg(long)]
        to: Option<String>,
    },
    /// Try at once to send a mail that waits, or was given up
    Retry {
        /// As `weir mail list` shows it: msg_...
        id: MessageId,
    },
    /// List addresses to which no mails are sent
    Suppressed,
    /// Send no mails to an address any more
    Suppress {
        /// The address
        address: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Send mails to an address again
    Unsuppress {
        /// The address
        address: String,
    },
}

fn line(mail: &SeenMail) -> String {
    let SeenMail { id, kind, recipient, state, created_at, why, .. } = mail;
    let why = why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    format!("{id} {kind} to {recipient}, {created_at}: {state}{why}")
}

fn suppressed_line(suppression: &Suppression) -> String {
    let Suppression { address, scope, reason, created_at, expires_at } = suppression;
    let until = expires_at.map_or_else(String::new, |at| format!(" until {at}"));
    format!("{address}: {scope} mails, since {created_at}{until}: {reason}")
}

impl MailCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        let mut scope = platform(&pool).await?;
        match self {
            Self::List { to } => {
                let to = to.as_deref();
                let all = every(async |asked| outbox::list(scope.connection(), to, asked).await).await?;
                print(json, &all, lines(line))
            }
            Self::Retry { id } => {
                queue::retry_mail(&mut scope, id).await?;
                scope.commit().await?;
                print(json, &json!({"id": id, "retried": true}), |_| format!("mail {id} is tried at once"))
            }
            Self::Suppressed => {
                let all = every(async |asked| suppression::list(scope.connection(), asked).await).await?;
                print(json, &all, lines(suppressed_line))
            }
            Self::Suppress { address, reason } => {
                queue::suppress(&mut scope, &address, &reason).await?;
                scope.commit().await?;
                print(json, &json!({"address": address, "suppressed": true}), |_| {
                    format!("no mails are sent to {address} any more")
                })
            }
            Self::Unsuppress { address } => {
                queue::unsuppress(&mut scope, &address).await?;
                scope.commit().await?;
                print(json, &json!({"address": address, "suppressed": false}), |_| {
                    format!("mails are sent to {address} again")
                })
            }
        }
    }
}
