//! The life of a serving process, in reading order: settings, stores, roles, ready, a reason to stop, drain.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use admin_api::Admin;
use anyhow::{Context, bail};
use billing::reclaim;
use ingest::Ingest;
use processor::Processor;
use processor::own::{self, BindError};
use service::clock::Clock;
use service::ops::{Readiness, serve_ops};
use service::shutdown::{Shutdown, ShutdownTrigger, signalled};
use service::{clickhouse, postgres, telemetry};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::stores::{self, OpenLog};

/// From the order to stop to the end of the process, whatever hangs.
const STOP_DEADLINE: Duration = Duration::from_secs(18);
/// What is left of it for the log's last records.
const LOG_CLOSE_DEADLINE: Duration = Duration::from_secs(3);

/// Postgres's code for a table that is not there.
const NO_TABLE: &str = "42P01";

/// Which roles a process has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roles {
    pub(crate) ingest: bool,
    pub(crate) processor: bool,
    pub(crate) billing: bool,
    pub(crate) admin: bool,
}

impl Roles {
    pub(crate) const ALL: Self = Self { ingest: true, processor: true, billing: true, admin: true };
    pub(crate) const NONE: Self = Self { ingest: false, processor: false, billing: false, admin: false };
}

/// Runs the roles until a signal, or until one of them ends by itself, which is a failure.
pub(crate) async fn run(roles: Roles) -> anyhow::Result<ExitCode> {
    let config = Config::from_environment(roles)?;
    telemetry::log_to_stderr(&config.log_filter).context("WEIR_LOG can't be read")?;
    let metrics = telemetry::install_metrics()?;

    let ops = TcpListener::bind(config.ops_listen).await;
    let ops = ops.with_context(|| format!("can't listen on {} (WEIR_OPS_ADDR)", config.ops_listen))?;
    let pool = postgres::pool(&config.stores.database_url, config.stores.database_connections_max)
        .context("DATABASE_URL can't be read")?;
    let OpenLog { log, fatal, exclusive } = stores::open_log(&config.stores).await?;
    own::bind_log(&pool, &*log).await.map_err(with_advice)?;
    if exclusive {
        // The log's lock says that whoever served it before is dead: nobody needs to wait for their leases to run out.
        billing::lease::end_all(&pool).await?;
        own::end_all(&pool).await?;
    }

    let mut serving = Serving::new();
    let readiness = Readiness::default();
    serving.start(&config, &pool, &log).await?;
    let (_until_the_end, ops_shutdown) = Shutdown::new();
    tokio::spawn(serve_ops(ops, readiness.clone(), metrics, ops_shutdown));
    readiness.set(true);
    tracing::info!(ops = %config.ops_listen, log = log.identity(), "ready");

    let stopped = serving.until_stopped(fatal).await;
    readiness.set(false);
    let drained = tokio::time::timeout(STOP_DEADLINE - LOG_CLOSE_DEADLINE, serving.drain()).await;
    log.close(LOG_CLOSE_DEADLINE).await;
    pool.close().await;
    if drained.is_err() {
        tracing::warn!("stopped before everything was drained");
    }
    let reason = stopped?;
    tracing::info!(reason, "stopped");
    Ok(ExitCode::SUCCESS)
}

/// The running roles. Those that take work in are stopped before those that bring it on.
struct Serving {
    front: JoinSet<anyhow::Result<()>>,
    back: JoinSet<anyhow::Result<()>>,
    front_trigger: ShutdownTrigger,
    front_shutdown: Shutdown,
    back_trigger: ShutdownTrigger,
    back_shutdown: Shutdown,
}

impl Serving {
    fn new() -> Self {
        let (front_trigger, front_shutdown) = Shutdown::new();
        let (back_trigger, back_shutdown) = Shutdown::new();
        let (front, back) = (JoinSet::new(), JoinSet::new());
        Self { front, back, front_trigger, front_shutdown, back_trigger, back_shutdown }
    }

    async fn start(
        &mut self,
        config: &Config,
        pool: &PgPool,
        log: &Arc<dyn eventlog::EventLog>,
    ) -> anyhow::Result<()> {
        let clock = Clock::system();
        if let Some(config) = &config.ingest {
            let ingest = Ingest::build(config.clone(), pool.clone(), Arc::clone(log), clock.clone()).await?;
            tracing::info!(address = %ingest.local_addr()?, "ingest listens");
            let shutdown = self.front_shutdown.clone();
            self.front.spawn(async move {
                ingest.run(shutdown).await;
                Ok(())
            });
        }
        if let Some(admin) = &config.admin {
            let admin = Admin::build(admin.clone(), pool.clone(), clock.clone())
                .await
                .with_context(|| format!("can't listen on {} (WEIR_ADMIN_ADDR)", admin.listen))?;
            tracing::info!(address = %admin.local_addr()?, "the admin API listens");
            let shutdown = self.front_shutdown.clone();
            self.front.spawn(async move {
                admin.run(shutdown).await;
                Ok(())
            });
        }
        if let Some(processor) = &config.processor {
            let clickhouse = clickhouse::client(&config.stores.clickhouse);
            let processor =
                Processor::new(pool.clone(), clickhouse, Arc::clone(log), clock, processor.clone());
            let shutdown = self.back_shutdown.clone();
            self.back.spawn(async move { Ok(processor.run(shutdown).await?) });
        }
        if config.billing {
            let reclaim = reclaim::run(pool.clone(), Arc::clone(log), self.back_shutdown.clone());
            self.back.spawn(async move {
                reclaim.await;
                Ok(())
            });
        }
        Ok(())
    }

    /// Why the process stops: a signal's name, or an error.
    async fn until_stopped(
        &mut self,
        fatal: watch::Receiver<Option<String>>,
    ) -> anyhow::Result<&'static str> {
        tokio::select! {
            signal = signalled() => Ok(signal?),
            Some(ended) = self.front.join_next() => too_early(ended),
            Some(ended) = self.back.join_next() => too_early(ended),
            why = told(fatal) => bail!("the log takes no more records: {why}"),
        }
    }

    async fn drain(&mut self) {
        self.front_trigger.order();
        while let Some(ended) = self.front.join_next().await {
            log_end(ended);
        }
        self.back_trigger.order();
        while let Some(ended) = self.back.join_next().await {
            log_end(ended);
        }
    }
}

/// A database without weir's tables is a likely and simple mistake.
fn with_advice(error: BindError) -> anyhow::Error {
    let no_table = match &error {
        BindError::Store(error) => {
            error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(NO_TABLE))
        }
        BindError::OtherLog { .. } | BindError::LogBehind { .. } | BindError::Log(_) => false,
    };
    let error = anyhow::Error::from(error);
    if no_table { error.context("the database has no tables yet: run `weir migrate`") } else { error }
}

type Ended = Result<anyhow::Result<()>, tokio::task::JoinError>;

fn too_early(ended: Ended) -> anyhow::Result<&'static str> {
    ended.context("a role broke")??;
    bail!("a role ended by itself")
}

fn log_end(ended: Ended) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(error = format!("{error:#}"), "a role ended with an error"),
        Err(error) => tracing::error!(%error, "a role broke"),
    }
}

/// The reason, once there is one.
async fn told(mut fatal: watch::Receiver<Option<String>>) -> String {
    match fatal.wait_for(Option::is_some).await {
        Ok(why) => why.clone().unwrap_or_default(),
        Err(_) => std::future::pending().await,
    }
}
