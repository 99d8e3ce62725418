//! The command line: a module for each noun. What a command does, it does by the functions that HTTP calls.

mod output;
mod migrate;
mod config;
mod plan;
mod person;
mod session;
mod tenant;
mod member;
mod invitation;
mod role;
mod token;
mod project;
mod key;
mod usage;
mod outcomes;
mod verify;
mod evidence;
mod replay;
mod dead;
mod partition;
mod spool;
mod river;
mod erasure;
mod rollup;
mod job;
mod mail;
mod audit;
mod load;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::life::run;
use crate::roles::Roles;

/// Nobody is to take a build for the fault campaign for another.
const VERSION: &str = if cfg!(feature = "faults") {
    concat!(env!("CARGO_PKG_VERSION"), " with faults: never for production")
} else {
    env!("CARGO_PKG_VERSION")
};

/// Event ingestion with billing that can be proved.
///
/// Settings come from the environment: `weir config` lists them.
#[derive(Debug, Parser)]
#[command(name = "weir", version = VERSION)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every role in one process
    Standalone,
    /// Run an ingest node: HTTP to the log
    Ingest,
    /// Run a processor: the log to ClickHouse and the usage ledger
    Processor,
    /// Run billing: reclaims the quota of ingest nodes that are gone
    Billing,
    /// Run the admin API
    Admin,
    /// Bring the databases up to date, and make the Kafka topic
    Migrate,
    /// Prove that accepted = stored + duplicate + dead, and usage = stored; exit code 1 if not, 2 if that can't be
    /// found out
    Verify {
        /// Bring rows back from the log where they are missing, remove those that should not be there, and prove again
        #[arg(long)]
        repair: bool,
        /// Heads that were kept of an earlier proof: the ledgers must have had them
        #[arg(long, value_name = "FILE", conflicts_with = "repair")]
        heads: Option<PathBuf>,
        /// If everything agrees, write the ledgers' heads into a file that is not there yet
        #[arg(long, value_name = "FILE", conflicts_with = "repair")]
        keep_heads: Option<PathBuf>,
    },
    /// Sealed hours: verify a pack, prove that an event is in it or is not; with no store and no network
    #[command(subcommand)]
    Evidence(evidence::EvidenceCommand),
    /// Bring rows that ClickHouse has lost back from the log, as far as they were processed; may run while everything
    /// else does
    Replay(replay::ReplayCommand),
    /// Events that could not be read: look at them, replay them, give them up
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    /// Send events as fast as asked, keep a journal of what was promised, and check it
    Load(load::LoadCommand),
    /// Print every setting with its effective value and where it came from
    Config,
    /// Print the OpenAPI document of the admin API
    #[command(name = "openapi")]
    OpenApi,
    /// People, and who of them works for the platform
    #[command(subcommand)]
    Person(person::PersonCommand),
    /// Where people are signed in
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Tenants
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Members of a tenant
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Invitations to become one
    #[command(subcommand)]
    Invitation(invitation::InvitationCommand),
    /// Roles that members may have
    #[command(subcommand)]
    Role(role::RoleCommand),
    /// Tokens for machines
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Projects: streams of a tenant's events, each with its own keys
    #[command(subcommand)]
    Project(project::ProjectCommand),
    /// API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Plans
    #[command(subcommand)]
    Plan(plan::PlanCommand),
    /// Partitions of the log: who processes them, and which are halted
    #[command(subcommand)]
    Partition(partition::PartitionCommand),
    /// What ingest nodes hold on their disks for a Kafka that is away
    #[command(subcommand)]
    Spool(spool::SpoolCommand),
    /// How far each partition is processed and by whom, which nodes live, what spools and disks hold
    River,
    /// A tenant's usage in the current billing period
    Usage {
        /// Its name or id
        tenant: String,
    },
    /// What became of a tenant's events at ingest: accepted, refused and why, accepted with a warning
    Outcomes(outcomes::OutcomesCommand),
    /// Erase what is stored of a person, or one event; usage and invoices stay. Processors carry it out
    Erase(erasure::EraseCommand),
    /// Erasures that were asked for
    #[command(subcommand)]
    Erasure(erasure::ErasureCommand),
    /// Who changed what
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Counts by hour, for dashboards
    #[command(subcommand)]
    Rollup(rollup::RollupCommand),
    /// Work that is done later: look at it, retry what was given up
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Mails, and to whom none are sent
    #[command(subcommand)]
    Mail(mail::MailCommand),
}

impl Cli {
    /// Whether the process serves ingest and nothing else.
    pub(crate) fn only_ingests(&self) -> bool {
        matches!(self.command, Command::Ingest)
    }

    pub(crate) async fn carry_out(self) -> anyhow::Result<ExitCode> {
        let json = self.json;
        match self.command {
            Command::Standalone => run::run(Roles::ALL).await,
            Command::Ingest => run::run(Roles { ingest: true, ..Roles::NONE }).await,
            Command::Processor => run::run(Roles { processor: true, ..Roles::NONE }).await,
            Command::Billing => run::run(Roles { billing: true, ..Roles::NONE }).await,
            Command::Admin => run::run(Roles { admin: true, ..Roles::NONE }).await,
            Command::Migrate => migrate::migrate().await,
            Command::Verify { repair: true, .. } => verify::repair(json).await,
            Command::Verify { heads, keep_heads, .. } => verify::verify(heads, keep_heads, json).await,
            Command::Evidence(evidence) => evidence.carry_out(json).await,
            Command::Replay(replay) => replay.carry_out(json).await,
            Command::Dead(dead) => dead.carry_out(json).await,
            Command::Load(load) => load.carry_out(json).await,
            Command::Config => config::print(json),
            Command::OpenApi => {
                output::say(admin_api::document::text().trim_end())?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Person(person) => person.carry_out(json).await,
            Command::Session(session) => session.carry_out(json).await,
            Command::Member(member) => member.carry_out(json).await,
            Command::Invitation(invitation) => invitation.carry_out(json).await,
            Command::Role(role) => role.carry_out(json).await,
            Command::Token(token) => token.carry_out(json).await,
            Command::Tenant(tenant) => tenant.carry_out(json).await,
            Command::Project(project) => project.carry_out(json).await,
            Command::Key(key) => key.carry_out(json).await,
            Command::Plan(plan) => plan.carry_out(json).await,
            Command::Partition(partition) => partition.carry_out(json).await,
            Command::Spool(spool) => spool.carry_out(json).await,
            Command::River => river::river(json).await,
            Command::Usage { tenant } => usage::usage(&tenant, json).await,
            Command::Outcomes(outcomes) => outcomes.carry_out(json).await,
            Command::Erase(erase) => erase.carry_out(json).await,
            Command::Erasure(erasure) => erasure.carry_out(json).await,
            Command::Audit(audit) => audit.carry_out(json).await,
            Command::Rollup(rollup) => rollup.carry_out(json).await,
            Command::Job(job) => job.carry_out(json).await,
            Command::Mail(mail) => mail.carry_out(json).await,
        }
    }
}
