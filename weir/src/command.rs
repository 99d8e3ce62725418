//! Commands of the operator. Those on tenants, projects, keys and plans call the functions that the admin API calls.

use std::io::Write;
use std::process::ExitCode;

use accounts::key::{self, NewKey};
use accounts::plan::{self, Plan, PlanLimits};
use accounts::project::{self, NewProject};
use accounts::tenant::{self, NewTenant, Tenant, TenantChange};
use anyhow::Context;
use chrono::{DateTime, Days, Utc};
use clap::{Args, Subcommand};
use metering::usage::of_tenant;
use proof::repair::{self, Repair};
use proof::replay::Stores;
use proof::{Verdict, verify};
use schemas::address::AddressPolicy;
use schemas::id::{KeyId, TenantId};
use schemas::time::Micros;
use serde::Serialize;
use service::clock::Clock;
use service::{migrate as schema, postgres};
use sqlx::PgPool;

use crate::{config, replay, stores};

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Make a tenant, with a project `default`
    Create(NewTenant),
    /// Change a tenant; ingest knows within a second
    Set(TenantSet),
    /// List all tenants
    List,
}

#[derive(Debug, Args)]
pub(crate) struct TenantSet {
    /// Its name or id
    tenant: String,
    #[command(flatten)]
    change: TenantChange,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// Make a project
    Create(ProjectCreate),
    /// List a tenant's projects
    List {
        /// The tenant's name or id
        tenant: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ProjectCreate {
    /// The tenant's name or id
    tenant: String,
    #[command(flatten)]
    new: NewProject,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and show it, this once
    Create(KeyCreate),
    /// Revoke a key for ever; ingest knows within a second
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
    #[arg(long, value_name = "N", conflicts_with = "expires_at", value_parser = clap::value_parser!(u16).range(1..=36_500))]
    expires_in_days: Option<u16>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// Make a plan, or change it for all its tenants
    Set(PlanSet),
    /// List all plans
    List,
}

#[derive(Debug, Args)]
pub(crate) struct PlanSet {
    name: String,
    #[command(flatten)]
    limits: PlanLimits,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RollupCommand {
    /// Have hours computed anew by the processors' next look
    Rebuild {
        /// The first hour, as in 2026-11-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        from: DateTime<Utc>,
        /// The first hour after
        #[arg(long, value_name = "TIME")]
        to: DateTime<Utc>,
    },
}

impl RollupCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let Self::Rebuild { from, to } = self;
        let hours = proof::rollup::rebuild(&pool()?, from, to).await?;
        print(json, &serde_json::json!({"hours": hours}), |_| {
            format!("{hours} hours are computed anew within minutes")
        })
    }
}

pub(crate) fn pool() -> anyhow::Result<PgPool> {
    let config = config::stores()?;
    postgres::pool(&config.database_url, config.database_connections_max)
        .context("DATABASE_URL can't be read")
}

pub(crate) async fn find(pool: &PgPool, name_or_id: &str) -> anyhow::Result<TenantId> {
    Ok(TenantId(tenant::find(pool, name_or_id).await?.id))
}

/// Prints `made` as JSON, or as the line that `text` makes of it.
pub(crate) fn print<T: Serialize>(
    json: bool,
    made: &T,
    text: impl FnOnce(&T) -> String,
) -> anyhow::Result<ExitCode> {
    let text = if json { serde_json::to_string(made)? } else { text(made).trim_end().to_owned() };
    tell(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a text and a line's end. A reader that has seen enough (`weir key list | head -1`) is no error.
pub(crate) fn tell(text: &str) -> std::io::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

pub(crate) fn lines<T>(line: impl Fn(&T) -> String) -> impl FnOnce(&Vec<T>) -> String {
    move |all| all.iter().map(|one| line(one) + "\n").collect()
}

fn told(limit: Option<i64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
}

fn tenant_line(tenant: &Tenant) -> String {
    let Tenant { id, name, plan, quota, rate, own_quota, own_rate, time_zone, status, client_ip, .. } =
        tenant;
    let own = |limit: Option<i64>, own: bool| told(limit) + if own { " (its own)" } else { "" };
    let (quota, rate) = (own(*quota, *own_quota), own(*rate, *own_rate));
    let kept = match client_ip {
        AddressPolicy::Full => String::new(),
        policy => format!(", client addresses {policy}"),
    };
    format!(
        "tenant {id} {name}: plan {plan}, quota {quota} a month, rate {rate} a second, {time_zone}, {status}{kept}"
    )
}

fn plan_line(plan: &Plan) -> String {
    let Plan { name, quota, rate, retention_days } = plan;
    let kept = retention_days.map_or_else(|| "for ever".to_owned(), |days| format!("for {days} days"));
    format!(
        "plan {name}: quota {} a month, rate {} a second, events are kept {kept}",
        told(*quota),
        told(*rate)
    )
}

fn key_line(key: &key::Key) -> String {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) if at <= now() => format!("expired {at}"),
        (None, Some(at)) => format!("live, expires {at}"),
        (None, None) => "live".to_owned(),
    };
    let used = key.last_used_at.map_or_else(|| "not used yet".to_owned(), |at| format!("last used {at}"));
    format!("key {} of project {}: {state}, made {}, {used}", key.id, key.project, key.created_at)
}

pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(Clock::system().now_micros()).unwrap_or_default()
}

impl TenantCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool()?;
        match self {
            Self::Create(new) => print(json, &tenant::create(&pool, &new).await?, tenant_line),
            Self::Set(TenantSet { tenant, change }) => {
                let id = find(&pool, &tenant).await?;
                print(json, &tenant::change(&pool, id, &change).await?, tenant_line)
            }
            Self::List => print(json, &tenant::list(&pool).await?, lines(tenant_line)),
        }
    }
}

impl ProjectCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool()?;
        let line = |made: &project::Project| format!("project {} {}", made.id, made.name);
        match self {
            Self::Create(ProjectCreate { tenant, new }) => {
                let id = find(&pool, &tenant).await?;
                print(json, &project::create(&pool, id, &new.name).await?, line)
            }
            Self::List { tenant } => {
                let id = find(&pool, &tenant).await?;
                print(json, &project::list(&pool, id).await?, lines(line))
            }
        }
    }
}

impl KeyCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool()?;
        match self {
            Self::Create(KeyCreate { tenant, mut new, expires_in_days }) => {
                let id = find(&pool, &tenant).await?;
                let in_days = |days: u16| now().checked_add_days(Days::new(days.into()));
                new.expires_at = new.expires_at.or_else(|| expires_in_days.and_then(in_days));
                let made = key::create(&pool, id, &new).await?;
                print(json, &made, |made| format!("{}\n(shown only now; its id is {})", made.key, made.id))
            }
            Self::Revoke { id } => {
                key::revoke(&pool, id).await?;
                print(json, &serde_json::json!({"id": id, "revoked": true}), |_| {
                    format!("key {id} is revoked")
                })
            }
            Self::List { tenant } => {
                let id = find(&pool, &tenant).await?;
                print(json, &key::list(&pool, id).await?, lines(key_line))
            }
        }
    }
}

impl PlanCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool()?;
        match self {
            Self::Set(PlanSet { name, limits }) => {
                print(json, &plan::put(&pool, &name, &limits).await?, plan_line)
            }
            Self::List => print(json, &plan::list(&pool).await?, lines(plan_line)),
        }
    }
}

/// `weir usage`.
pub(crate) async fn usage(tenant: &str, json: bool) -> anyhow::Result<ExitCode> {
    let pool = pool()?;
    let id = find(&pool, tenant).await?;
    let usage = of_tenant(&pool, id, Micros(Clock::system().now_micros())).await?;
    print(json, &usage, |usage| {
        format!(
            "period     {} to {}\nstored     {} (billed)\nduplicate  {}\ndead       {}\nquota      {}, of which {} are granted to ingest\nas of      {}",
            usage.period_start,
            usage.period_end,
            usage.stored,
            usage.duplicate,
            usage.dead,
            told(usage.quota),
            usage.granted,
            usage.as_of
        )
    })
}

/// `weir migrate`.
pub(crate) async fn migrate() -> anyhow::Result<ExitCode> {
    let config = config::stores()?;
    let pool = postgres::pool(&config.database_url, config.database_connections_max)
        .context("DATABASE_URL can't be read")?;
    schema::postgres(&pool).await.context("Postgres could not be brought up to date")?;
    schema::clickhouse(&config.clickhouse).await.context("ClickHouse could not be brought up to date")?;
    stores::make_topic(&config).await?;
    tell("the databases are up to date")?;
    Ok(ExitCode::SUCCESS)
}

/// `weir verify`, when log, ledgers and rows could not all be read: neither proved nor disproved.
const EXIT_UNPROVED: u8 = 2;

/// `weir verify`.
pub(crate) async fn verify(mend: bool, json: bool) -> anyhow::Result<ExitCode> {
    let (config, processor) = config::processor()?;
    let pool = pool()?;
    let clickhouse = service::clickhouse::client(&config.clickhouse);
    let proved = async {
        let log = stores::open_log_to_look(&config).await?;
        if !mend {
            return Ok((None, verify::verify(&pool, &clickhouse, &*log).await?));
        }
        let Repair { done, verdict } =
            repair::repair(&Stores::new(&pool, &clickhouse, &*log, &processor)).await?;
        anyhow::Ok((Some(done), verdict))
    };
    let (done, verdict) = match proved.await {
        Ok(proved) => proved,
        Err(error) => {
            eprintln!("weir: nothing was proved either way: {error:#}");
            return Ok(ExitCode::from(EXIT_UNPROVED));
        }
    };
    match (&done, json) {
        (Some(done), true) => {
            tell(&serde_json::json!({"done": done, "verdict": verdict}).to_string())?;
        }
        (Some(done), false) => {
            tell(&replay::text(done))?;
            print(false, &verdict, verdict_text)?;
        }
        (None, _) => {
            print(json, &verdict, verdict_text)?;
        }
    }
    Ok(if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict_text(verdict: &Verdict) -> String {
    let mut text = format!(
        "accepted {} (and {} that the log no longer has)\nstored {} + duplicate {} + dead {}\nrows {}, and {} that were erased{}\n",
        verdict.accepted,
        verdict.beyond_log,
        verdict.stored,
        verdict.duplicate,
        verdict.dead,
        verdict.rows,
        verdict.erased,
        if verdict.erasing { ", some of which are being deleted" } else { "" }
    );
    for mismatch in &verdict.mismatches {
        text += &format!("MISMATCH {mismatch}\n");
    }
    text + &match verdict.mismatch_count {
        0 => "everything agrees".to_owned(),
        count => format!("{count} figures do not agree"),
    }
}
