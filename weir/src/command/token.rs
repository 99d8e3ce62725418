//! `weir token`.

use std::process::ExitCode;

use accounts::every;
use accounts::machine_token::{self, MachineToken};
use clap::Subcommand;
use schemas::public_id::MachineTokenId;
use service::postgres::Role;

use super::output::{find, lines, pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// List a tenant's tokens for machines
    List {
        /// The tenant's name or id
        tenant: String,
    },
    /// Revoke a token for good
    Revoke {
        /// The tenant's name or id
        tenant: String,
        /// As `weir token list` shows it: tok_...
        id: MachineTokenId,
    },
}

fn line(token: &MachineToken) -> String {
    let MachineToken { id, name, permissions, expires_at, revoked_at, .. } = token;
    let state = match revoked_at {
        Some(at) => format!("revoked {at}"),
        None => format!("until {expires_at}"),
    };
    format!("token {id} {name}: {} permissions, {state}", permissions.len())
}

impl TokenCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        match self {
            Self::List { tenant } => {
                let mut scope = find(&pool, &tenant).await?;
                let all = every(async |asked| machine_token::list(&mut scope, asked).await).await?;
                print(json, &all, lines(line))
            }
            Self::Revoke { tenant, id } => {
                let mut scope = find(&pool, &tenant).await?;
                machine_token::revoke(&mut scope, id).await?;
                scope.commit().await?;
                print(json, &serde_json::json!({"id": id, "revoked": true}), |_| {
                    format!("token {id} is revoked")
                })
            }
        }
    }
}
