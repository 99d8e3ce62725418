//! `weir member`.

use std::process::ExitCode;

use accounts::membership::{self, Member};
use accounts::{Grants, every};
use clap::Subcommand;
use schemas::permission::PlatformRole;
use schemas::public_id::MembershipId;
use service::postgres::Role;

use super::output::{find, lines, pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// List a tenant's members
    List {
        /// The tenant's name or id
        tenant: String,
    },
    /// Make somebody a member no more. The last owner stays
    Remove {
        /// The tenant's name or id
        tenant: String,
        /// As `weir member list` shows it: mem_...
        id: MembershipId,
    },
}

fn line(member: &Member) -> String {
    let Member { id, email, name, role, projects, created_at, .. } = member;
    let role = match role {
        membership::Role::BuiltIn(role) => role.to_string(),
        membership::Role::Custom(role) => role.to_string(),
    };
    let limited = projects.as_ref().map_or_else(String::new, |only| format!(", of {} projects", only.len()));
    format!("member {id} {email} ({name}): {role}{limited}, since {created_at}")
}

impl MemberCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        match self {
            Self::List { tenant } => {
                let mut scope = find(&pool, &tenant).await?;
                let all = every(async |asked| membership::list(&mut scope, asked).await).await?;
                print(json, &all, lines(line))
            }
            Self::Remove { tenant, id } => {
                let (mut scope, by) =
                    (find(&pool, &tenant).await?, Grants::of_platform(PlatformRole::Operator));
                membership::remove(&mut scope, &by, id).await?;
                scope.commit().await?;
                print(json, &serde_json::json!({"id": id, "removed": true}), |_| {
                    format!("member {id} is removed")
                })
            }
        }
    }
}
