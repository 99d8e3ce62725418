//! `weir role`.

use std::process::ExitCode;

use accounts::member_role::{self, AnyRole};
use accounts::{Grants, every};
use clap::Subcommand;
use schemas::permission::{Permission, PlatformRole};
use schemas::public_id::RoleId;
use service::postgres::Role;

use super::output::{find, lines, pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// List the roles that a tenant's members may have, its own behind those that every tenant has
    List {
        /// The tenant's name or id
        tenant: String,
    },
    /// Delete a role of the tenant's own, which no member has
    Delete {
        /// The tenant's name or id
        tenant: String,
        /// As `weir role list` shows it: rol_...
        id: RoleId,
    },
}

fn line(role: &AnyRole) -> String {
    let AnyRole { id, name, permissions, built_in } = role;
    let permissions: Vec<String> = permissions.iter().map(Permission::to_string).collect();
    let own = if *built_in { String::new() } else { format!(" {name}") };
    format!("role {id}{own}: {}", permissions.join(" "))
}

impl RoleCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        match self {
            Self::List { tenant } => {
                let mut scope = find(&pool, &tenant).await?;
                let all = every(async |asked| member_role::list(&mut scope, asked).await).await?;
                print(json, &all, lines(line))
            }
            Self::Delete { tenant, id } => {
                let (mut scope, by) =
                    (find(&pool, &tenant).await?, Grants::of_platform(PlatformRole::Operator));
                member_role::delete(&mut scope, &by, id).await?;
                scope.commit().await?;
                print(json, &serde_json::json!({"id": id, "deleted": true}), |_| {
                    format!("role {id} is deleted")
                })
            }
        }
    }
}
