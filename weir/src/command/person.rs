//! `weir person`.

use std::process::ExitCode;

use accounts::people::{self, ShownPerson};
use accounts::person::SeenPerson;
use accounts::{AccountError, Authenticator, MadePassword, PlatformScope, every};
use anyhow::Context;
use clap::{Args, Subcommand};
use schemas::permission::PlatformRole;
use service::clock::Clock;
use service::postgres::Role;
use sqlx::PgPool;

use super::output::{lines, platform, pool, print};
use crate::config;

#[derive(Debug, Subcommand)]
pub(crate) enum PersonCommand {
    /// Make a person whose address you vouch for, and show the password, this once
    Create(PersonCreate),
    /// Give a person another password, and show it, this once; all sessions end
    Password {
        /// The address
        email: String,
    },
    /// List people
    List {
        /// The beginning of an address, or an id; all without it
        query: Option<String>,
    },
    /// Show one of them, with its tenants
    Show {
        /// Address or id
        person: String,
    },
    #[command(flatten)]
    Change(Change),
}

/// What is done to a person who is there.
#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Make a person an operator or support: both sign in on the operators' listener, with a second factor
    Grant {
        /// Address or id
        person: String,
        /// `operator` does everything, `support` sees everything
        role: PlatformRole,
    },
    /// Take that away again
    Revoke {
        /// Address or id
        person: String,
    },
    /// End all sessions of a person
    EndSessions(Because),
    /// Take away the second factor of a person who has lost it; all sessions end
    RemoveSecondFactor(Because),
    /// Let a person sign in no more; all sessions end
    Disable(Because),
    /// Let a person sign in again
    Enable(Because),
}

#[derive(Debug, Args)]
pub(crate) struct PersonCreate {
    /// The address
    email: String,
    /// What the person is called
    #[arg(long)]
    name: String,
    /// A tenant, by name or id, of which the person is to be an owner
    #[arg(long, value_name = "TENANT")]
    owner_of: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Because {
    /// Address or id
    person: String,
    /// Why: the audit says it
    #[arg(long)]
    reason: String,
}

fn authenticator(pool: &PgPool) -> anyhow::Result<Authenticator> {
    let found = Authenticator::of_config(&config::accounts()?, pool, &Clock::system())?;
    found.context("WEIR_ACCOUNTS_KEY is not set: without it nobody can sign in")
}

fn print_password(json: bool, made: &MadePassword) -> anyhow::Result<ExitCode> {
    let (person, password) = (made.person, made.password.expose());
    print(json, &serde_json::json!({"id": person, "password": password}), |_| {
        format!("{password}\n(shown only now; it is the password of {person})")
    })
}

fn line(person: &SeenPerson) -> String {
    let SeenPerson { id, email, name, disabled_at, has_second_factor, platform_role, .. } = person;
    let factor = if *has_second_factor { "with" } else { "without" };
    let role = platform_role.map_or_else(String::new, |role| format!(", {role}"));
    let disabled = disabled_at.map_or_else(String::new, |at| format!(", disabled {at}"));
    format!("person {id} {email} ({name}): {factor} a second factor{role}{disabled}")
}

fn shown(shown: &ShownPerson) -> String {
    let tenant = |of: &accounts::membership::TenantOfPerson| format!("\n  {} of tenant {}", of.role, of.slug);
    line(&shown.person) + &shown.tenants.iter().map(tenant).collect::<String>()
}

impl PersonCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        match self {
            Self::Create(PersonCreate { email, name, owner_of }) => {
                let made = authenticator(&pool)?.vouch(&email, &name, owner_of.as_deref()).await?;
                print_password(json, &made)
            }
            Self::Password { email } => {
                print_password(json, &authenticator(&pool)?.give_password(&email).await?)
            }
            Self::List { query } => {
                let mut scope = platform(&pool).await?;
                let query = query.as_deref();
                let found = every(async |asked| people::list(&mut scope, query, asked).await).await?;
                print(json, &found, lines(line))
            }
            Self::Show { person } => {
                let found = people::find(&mut platform(&pool).await?, &person).await?;
                print(json, &found, shown)
            }
            Self::Change(change) => {
                let mut scope = platform(&pool).await?;
                let takes_factor = matches!(change, Change::RemoveSecondFactor(_));
                let changed = change.make(&mut scope).await?;
                if takes_factor {
                    authenticator(&pool)?.mail_factor_removed(&mut scope, &changed.person).await?;
                }
                scope.commit().await?;
                print(json, &changed, shown)
            }
        }
    }
}

impl Change {
    async fn make(self, scope: &mut PlatformScope) -> Result<ShownPerson, AccountError> {
        match self {
            Self::Grant { person, role } => people::grant(scope, &person, role).await,
            Self::Revoke { person } => people::revoke(scope, &person).await,
            Self::EndSessions(Because { person, reason }) => {
                people::end_sessions(scope, &person, &reason).await
            }
            Self::RemoveSecondFactor(Because { person, reason }) => {
                people::remove_second_factor(scope, &person, &reason).await
            }
            Self::Disable(Because { person, reason }) => {
                people::set_disabled(scope, &person, true, &reason).await
            }
            Self::Enable(Because { person, reason }) => {
                people::set_disabled(scope, &person, false, &reason).await
            }
        }
    }
}
