//! `weir key`.

use std::process::ExitCode;

use accounts::every;
use accounts::key::{self, NewKey};
use chrono::Days;
use clap::{Args, Subcommand};
use schemas::id::KeyId;
use service::postgres::Role;

use super::output::{find, lines, now, platform, pool, print};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and show it, this once
    Create(KeyCreate),
    /// Revoke a key for good; ingest knows within a second
    Revoke {
        /// Ten letters and digits: wk_live_<id>_...
        id: KeyId,
    },
    /// List a tenant's keys
    List {
        /// The tenant's name or id
        tenant: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct KeyCreate {
    /// The tenant's name or id
    tenant: String,
    #[command(flatten)]
    new: NewKey,
    /// The same as --expires-at, counted from now
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "expires_at",
        value_parser = clap::value_parser!(u16).range(1..=36_500)
    )]
    expires_in_days: Option<u16>,
}

fn key_line(key: &key::Key) -> String {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) if at <= now() => format!("expired {at}"),
        (None, Some(at)) => format!("live, expires {at}"),
        (None, None) => "live".to_owned(),
    };
    let used = key.last_used_at.map_or_else(|| "not used yet".to_owned(), |at| format!("last used {at}"));
    format!("key {} of project {}: {state}, made {}, {used}", key.id, key.project_name, key.created_at)
}

impl KeyCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        match self {
            Self::Create(KeyCreate { tenant, mut new, expires_in_days }) => {
                let mut scope = find(&pool, &tenant).await?;
                let in_days = |days: u16| now().checked_add_days(Days::new(days.into()));
                new.expires_at = new.expires_at.or_else(|| expires_in_days.and_then(in_days));
                let made = key::create(&mut scope, &new).await?;
                scope.commit().await?;
                print(json, &made, |made| {
                    format!("{}\n(shown only now; its id is {})", made.key, made.made.id)
                })
            }
            Self::Revoke { id } => {
                let mut platform = platform(&pool).await?;
                let tenant = key::tenant_of(&mut platform, id).await?;
                let mut scope = platform.enter(tenant).await?;
                key::revoke(&mut scope, id).await?;
                scope.commit().await?;
                print(json, &serde_json::json!({"id": id, "revoked": true}), |_| {
                    format!("key {id} is revoked")
                })
            }
            Self::List { tenant } => {
                let mut scope = find(&pool, &tenant).await?;
                print(json, &every(async |asked| key::list(&mut scope, asked).await).await?, lines(key_line))
            }
        }
    }
}
