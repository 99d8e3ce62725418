//! `weir audit`: what was written down of changes, and whether it is what was written then.

use std::process::ExitCode;

use accounts::audit::{self, Broken, Filter, PlatformEntry, Verified, VerifiedChain};
use accounts::{LIMIT_MAX, PageRequest};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use service::postgres::Role;

use super::output::{find, platform, pool, print, say};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List entries, the newest first: a tenant's, or those of all tenants and of the platform. With --json, a line for
    /// each
    List(AuditList),
    /// Compute the hashes of a tenant's audit again, or of all chains; exit code 1 if one does not hold
    Verify {
        /// The tenant's name or id; without it, every tenant's and the platform's
        tenant: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AuditList {
    /// The tenant's name or id; without it, all entries
    tenant: Option<String>,
    /// Who: a public id, operator or system
    #[arg(long)]
    actor: Option<String>,
    /// What was done, as in key.create; key.* is whatever was done to keys
    #[arg(long)]
    action: Option<String>,
    /// To what
    #[arg(long)]
    target: Option<String>,
    /// Not before
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Before
    #[arg(long, value_name = "TIME")]
    to: Option<DateTime<Utc>>,
}

fn entry(PlatformEntry { tenant, entry }: &PlatformEntry) -> String {
    let whose = tenant.map_or_else(|| "the platform".to_owned(), |tenant| tenant.to_string());
    format!("{} {}: {} {} {}", entry.at, whose, entry.actor, entry.action, entry.target)
}

async fn list(asked: AuditList, json: bool) -> anyhow::Result<ExitCode> {
    let AuditList { tenant, actor, action, target, from, to } = asked;
    let (filter, tenant) = (Filter { actor, action, target, from, to }, tenant.as_deref());
    let mut scope = platform(&pool(Role::Api)?).await?;
    let mut cursor = None;
    loop {
        // A page at a time: an audit has no end.
        let asked = PageRequest::new(Some(LIMIT_MAX), cursor)?;
        let page = audit::of_platform(&mut scope, tenant, &filter, &asked).await?;
        for one in &page.items {
            say(&if json { serde_json::to_string(one)? } else { entry(one) })?;
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn found(verified: &Verified) -> String {
    let entries = verified.entries;
    match verified.broken {
        None => format!("{entries} entries, as they were written"),
        Some(Broken::Missing { seq }) => format!("BROKEN after {entries} entries: number {seq} is missing"),
        Some(Broken::Changed { seq }) => format!("BROKEN after {entries} entries: number {seq} was changed"),
        Some(Broken::CutOff { seq }) => {
            format!("BROKEN after {entries} entries: those up to number {seq} are missing")
        }
    }
}

fn line(chain: &VerifiedChain) -> String {
    let whose = match chain.tenant {
        Some(tenant) => format!("tenant {tenant}"),
        None => format!("platform {}", -1 - chain.chain),
    };
    format!("{whose}: {}", found(&chain.verified))
}

impl AuditCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let tenant = match self {
            Self::List(asked) => return list(asked, json).await,
            Self::Verify { tenant } => tenant,
        };
        let pool = pool(Role::Api)?;
        if let Some(tenant) = tenant {
            let verified = audit::verify(&mut find(&pool, &tenant).await?).await?;
            print(json, &verified, |verified| format!("tenant {tenant}: {}", found(verified)))?;
            return Ok(exit_code(verified.broken.is_none()));
        }
        let (mut after, mut all_hold) = (None, true);
        loop {
            // A page at a time, each in a transaction of its own: there may be as many chains as tenants.
            let page = audit::verify_after(&mut platform(&pool).await?, after).await?;
            let Some(last) = page.last() else { return Ok(exit_code(all_hold)) };
            after = Some(last.chain);
            for chain in &page {
                all_hold &= chain.verified.broken.is_none();
                say(&if json { serde_json::to_string(chain)? } else { line(chain) })?;
            }
        }
    }
}

fn exit_code(holds: bool) -> ExitCode {
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
