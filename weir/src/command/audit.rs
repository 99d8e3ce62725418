//! `weir audit`: whether what was written down of changes is what was written then.

use std::process::ExitCode;

use accounts::audit::{self, Broken, Verified, VerifiedChain};
use clap::Subcommand;
use service::postgres::Role;

use super::output::{find, platform, pool, print, say};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Compute the hashes of a tenant's audit again, or of all chains; exit code 1 if one does not hold
    Verify {
        /// The tenant's name or id; without it, every tenant's and the platform's
        tenant: Option<String>,
    },
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
        let Self::Verify { tenant } = self;
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
