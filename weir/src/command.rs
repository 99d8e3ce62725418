//! Commands of the operator. Those on tenants, projects, keys and plans call the admin API's own functions.

use std::io::Write;
use std::process::ExitCode;

use admin_api::db::key::NewKey;
use admin_api::db::plan::{NewPlan, Plan};
use admin_api::db::tenant::{NewTenant, Tenant, TenantChange};
use admin_api::db::{key, plan, project, tenant};
use anyhow::Context;
use chrono::{DateTime, Days, Utc};
use clap::Subcommand;
use metering::usage::of_tenant;
use processor::replay::Stores;
use processor::verify::{self, Repair, Verdict};
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
    Create {
        name: String,
        /// Events a month, instead of the plan's
        #[arg(long, value_name = "N", allow_negative_numbers = true)]
        quota: Option<i64>,
        /// The plan's name
        #[arg(long, default_value_t = admin_api::db::tenant::default_plan())]
        plan: String,
        /// Events a second, instead of the plan's
        #[arg(long, value_name = "R", allow_negative_numbers = true)]
        rate: Option<i64>,
        /// IANA name of the time zone in which its months begin
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// How much of a client's address its events carry: `full` (the default), `truncated` or `none`
        #[arg(long, value_name = "POLICY")]
        client_ip: Option<String>,
    },
    /// Change a tenant; ingest knows within a second
    Set {
        /// Its name or id
        tenant: String,
        /// Events a month; `plan`: the plan's again
        #[arg(long, value_name = "N|plan", value_parser = tenant_limit, allow_negative_numbers = true)]
        quota: Option<Limit>,
        /// Events a second; `plan`: the plan's again
        #[arg(long, value_name = "R|plan", value_parser = tenant_limit, allow_negative_numbers = true)]
        rate: Option<Limit>,
        /// Another plan's name
        #[arg(long)]
        plan: Option<String>,
        /// `active` or `frozen`
        #[arg(long)]
        status: Option<String>,
        /// How much of a client's address its events carry from now on: `full`, `truncated` or `none`
        #[arg(long, value_name = "POLICY")]
        client_ip: Option<String>,
    },
    /// List all tenants
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// Make a project
    Create {
        /// The tenant's name or id
        tenant: String,
        name: String,
    },
    /// List a tenant's projects
    List {
        /// The tenant's name or id
        tenant: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and show it, this once
    Create {
        /// The tenant's name or id
        tenant: String,
        /// The project that its events belong to
        #[arg(long, default_value = project::DEFAULT)]
        project: String,
        /// From when it is refused, as in 2027-01-31T00:00:00Z; never without it
        #[arg(long, value_name = "TIME", conflicts_with = "expires_in_days")]
        expires_at: Option<DateTime<Utc>>,
        /// The same, counted from now
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=36_500))]
        expires_in_days: Option<u16>,
    },
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

#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// Make a plan, or change it for all its tenants
    Set {
        name: String,
        /// Events a month; `none`: no cap
        #[arg(long, value_name = "N|none", value_parser = plan_limit, allow_negative_numbers = true)]
        quota: Limit,
        /// Events a second; `none`: no limit
        #[arg(long, value_name = "R|none", value_parser = plan_limit, allow_negative_numbers = true)]
        rate: Limit,
        /// Days that events are kept; `none`: for ever. Without it, it stays as it is
        #[arg(long, value_name = "DAYS|none", value_parser = plan_days, allow_negative_numbers = true)]
        retention_days: Option<RetentionDays>,
    },
    /// List all plans
    List,
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
        let hours = processor::rollup::rebuild(&pool()?, from, to).await?;
        print(json, &serde_json::json!({"hours": hours}), |_| {
            format!("{hours} hours are computed anew within minutes")
        })
    }
}

/// A limit, or the word for having none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(Option<i64>);

fn tenant_limit(text: &str) -> Result<Limit, String> {
    limit(text, "plan")
}

fn plan_limit(text: &str) -> Result<Limit, String> {
    limit(text, "none")
}

/// Days, or the word for keeping events for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetentionDays(Option<i32>);

fn plan_days(text: &str) -> Result<RetentionDays, String> {
    if text == "none" {
        return Ok(RetentionDays(None));
    }
    text.parse().map(|n| RetentionDays(Some(n))).map_err(|_| "it is a whole number, or `none`".to_owned())
}

fn limit(text: &str, without: &str) -> Result<Limit, String> {
    if text == without {
        return Ok(Limit(None));
    }
    text.parse().map(|n| Limit(Some(n))).map_err(|_| format!("it is a whole number, or `{without}`"))
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
    let kept = match client_ip.as_str() {
        "full" => String::new(),
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
            Self::Create { name, quota, plan, rate, time_zone, client_ip } => {
                let new = NewTenant { name, plan, quota, rate, time_zone, client_ip };
                print(json, &tenant::create(&pool, &new).await?, tenant_line)
            }
            Self::Set { tenant, quota, rate, plan, status, client_ip } => {
                let id = find(&pool, &tenant).await?;
                let (quota, rate) = (quota.map(|limit| limit.0), rate.map(|limit| limit.0));
                let change = TenantChange { plan, quota, rate, status, client_ip };
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
            Self::Create { tenant, name } => {
                let id = find(&pool, &tenant).await?;
                print(json, &project::create(&pool, id, &name).await?, line)
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
            Self::Create { tenant, project, expires_at, expires_in_days } => {
                let id = find(&pool, &tenant).await?;
                let in_days = |days: u16| now().checked_add_days(Days::new(days.into()));
                let expires_at = expires_at.or_else(|| expires_in_days.and_then(in_days));
                let new = NewKey { project: Some(project), expires_at };
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
            Self::Set { name, quota, rate, retention_days } => {
                let retention_days = retention_days.map(|days| days.0);
                let new = NewPlan { name, quota: quota.0, rate: rate.0, retention_days };
                print(json, &plan::put(&pool, &new).await?, plan_line)
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
            verify::repair(&Stores::new(&pool, &clickhouse, &*log, &processor)).await?;
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
