//! `weir invitation`.

use std::process::ExitCode;

use accounts::every;
use accounts::invitation::{self, Invitation};
use accounts::membership;
use clap::Subcommand;
use schemas::public_id::InvitationId;
use service::postgres::Role;

use super::output::{find, lines, pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum InvitationCommand {
    /// List a tenant's open invitations
    List {
        /// The tenant's name or id
        tenant: String,
    },
    /// Take an invitation back: its link is worth nothing any more
    Revoke {
        /// The tenant's name or id
        tenant: String,
        /// As `weir invitation list` shows it: ivt_...
        id: InvitationId,
    },
}

fn line(invitation: &Invitation) -> String {
    let Invitation { id, email, role, expires_at, .. } = invitation;
    let role = match role {
        membership::Role::BuiltIn(role) => role.to_string(),
        membership::Role::Custom(role) => role.to_string(),
    };
    format!("invitation {id} of {email}: {role}, until {expires_at}")
}

impl InvitationCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        match self {
            Self::List { tenant } => {
                let mut scope = find(&pool, &tenant).await?;
                let all = every(async |asked| invitation::list(&mut scope, asked).await).await?;
                print(json, &all, lines(line))
            }
            Self::Revoke { tenant, id } => {
                let mut scope = find(&pool, &tenant).await?;
                invitation::revoke(&mut scope, id).await?;
                scope.commit().await?;
                print(json, &serde_json::json!({"id": id, "revoked": true}), |_| {
                    format!("invitation {id} is revoked")
                })
            }
        }
    }
}
