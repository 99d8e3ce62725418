//! The life of a serving process, in reading order: settings, stores, roles, ready, a reason to stop, drain.

use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use admin_api::{Admin, Listener};
use anyhow::{Context, bail};
use eventlog::EventLog;
use ingest::Ingest;
use metering::Billing;
use processor::ProcessorConfig;
use proof::Processing;
use service::clickhouse::{self, Patience};
use service::clock::Clock;
use service::error::Chain;
use service::ops::{Readiness, serve_ops};
use service::shutdown::{Shutdown, signalled};
use service::task::Tasks;
use service::trace::Exporting;
use service::{telemetry, trace};
use tokio::net::TcpListener;
use tokio::sync::watch;
use worker::Working;

use super::bind::{Bound, bind, bind_when_back};
use super::descriptors;
use super::stores::{self, OpenLog};
use crate::config::{Config, Pools};
use crate::roles::Roles;

/// From the order to stop to the end of the process, whatever hangs.
const STOP_DEADLINE: Duration = Duration::from_secs(18);
/// What is left of it for the log's last records, and for the last spans of traces.
const LOG_CLOSE_DEADLINE: Duration = Duration::from_secs(3);

/// Ingest's copy of keys and tenants, in the data folder.
const DIRECTORY_FILE: &str = "directory";

/// Runs the roles until a signal, or until one of them ends by itself, which is a failure.
pub(crate) async fn run(roles: Roles) -> anyhow::Result<ExitCode> {
    let config = Config::from_environment(roles)?;
    telemetry::log_to_stderr(&config.log_filter).context("WEIR_LOG can't be read")?;
    let metrics = telemetry::install_metrics()?;
    let traces = trace::export(&config.trace, roles.service());
    if let Some(ingest) = &config.ingest {
        descriptors::check(ingest.connections.connections_max);
    }

    let ops = TcpListener::bind(config.ops_listen).await;
    let ops = ops.with_context(|| format!("can't listen on {} (WEIR_OPS_ADDR)", config.ops_listen))?;
    let pools = Pools::new(&config.stores.database)?;
    let OpenLog { log, fatal, exclusive } =
        stores::open_log(&config.stores, config.outage.as_ref(), pools.binding(roles)).await?;
    let readiness = if roles.only_processes() { Readiness::of_one_role() } else { Readiness::default() };
    let (_until_the_end, ops_shutdown) = Shutdown::new();
    #[cfg(feature = "faults")]
    if roles.ingest {
        tokio::spawn(super::poison::append_when_ordered(Arc::clone(&log)));
    }
    tokio::spawn(serve_ops(ops, readiness.clone(), metrics, ops_shutdown));

    let mut serving = Serving::new(&config, roles, &pools, &log, readiness.clone());
    let stopped = serving.serve(exclusive, fatal).await;
    readiness.set(false);
    let drained = tokio::time::timeout(STOP_DEADLINE - LOG_CLOSE_DEADLINE, serving.drain()).await;
    tokio::join!(log.close(LOG_CLOSE_DEADLINE), finish(traces));
    pools.close().await;
    if drained.is_err() {
        tracing::warn!("stopped before everything was drained");
    }
    let reason = stopped?;
    tracing::info!(reason, "stopped");
    Ok(ExitCode::SUCCESS)
}

/// Sends what traces have left.
async fn finish(traces: Option<Exporting>) {
    if let Some(traces) = traces {
        traces.finish(LOG_CLOSE_DEADLINE).await;
    }
}

/// The running roles. Those that take work in are stopped before those that bring it on.
struct Serving<'a> {
    config: &'a Config,
    roles: Roles,
    pools: &'a Pools,
    log: &'a Arc<dyn EventLog>,
    readiness: Readiness,
    /// Whether the database is bound to the log.
    bound: watch::Sender<bool>,
    front: Tasks,
    back: Tasks,
}

impl<'a> Serving<'a> {
    fn new(
        config: &'a Config,
        roles: Roles,
        pools: &'a Pools,
        log: &'a Arc<dyn EventLog>,
        readiness: Readiness,
    ) -> Self {
        let bound = watch::Sender::new(false);
        let (front, back) = (Tasks::default(), Tasks::default());
        Self { config, roles, pools, log, readiness, bound, front, back }
    }

    /// Starts the roles and waits for a reason to stop. While Postgres is away, only ingest is there.
    async fn serve(
        &mut self,
        exclusive: bool,
        fatal: watch::Receiver<Option<String>>,
    ) -> anyhow::Result<&'static str> {
        let mut signal = pin!(signalled());
        let (pools, roles, log) = (self.pools, self.roles, Arc::clone(self.log));
        match bind(pools, roles, &*log, exclusive).await? {
            Bound::Yes => {
                self.bound.send_replace(true);
                self.start_ingest().await?;
            }
            Bound::Away(error) => {
                tracing::warn!(error = %Chain(&error), "Postgres does not answer: waiting for it");
                let is_ready = self.start_ingest().await?;
                self.readiness.set(is_ready);
                tokio::select! {
                    bound = bind_when_back(pools, roles, &*log, exclusive) => bound?,
                    stopped = self.until_stopped(signal.as_mut(), fatal.clone()) => return stopped,
                }
                tracing::info!("Postgres is back");
                self.bound.send_replace(true);
            }
        }
        self.start_the_rest().await?;
        self.readiness.set(true);
        tracing::info!(ops = %self.config.ops_listen, log = self.log.identity(), "ready");
        self.until_stopped(signal, fatal).await
    }

    /// Whether it is there, and knows whom to serve.
    async fn start_ingest(&mut self) -> anyhow::Result<bool> {
        let Some(mut config) = self.config.ingest.clone() else { return Ok(false) };
        config.directory_file = Some(self.config.stores.data_dir.join(DIRECTORY_FILE));
        let (pool, log, bound) = (self.pools.ingest.clone(), Arc::clone(self.log), self.bound.subscribe());
        let ingest = Ingest::build(config, pool, log, Clock::system(), bound).await?;
        tracing::info!(address = %ingest.local_addr()?, "ingest listens");
        let knows_keys = ingest.knows_keys();
        self.front.try_spawn("ingest", ingest.run(self.front.shutdown()));
        Ok(knows_keys)
    }

    async fn start_the_rest(&mut self) -> anyhow::Result<()> {
        let (config, pools, log, clock) = (self.config, self.pools, self.log, Clock::system());
        let clickhouse = |patience| clickhouse::client_with(&config.stores.clickhouse, patience);
        if let Some(admin) = &config.admin {
            let (pools, clickhouse, log) =
                (pools.of_listeners(), clickhouse(Patience::SERVING), Arc::clone(log));
            let admin = Admin::build(admin.clone(), pools, clickhouse, log, clock.clone()).await?;
            let (tenants, operators) =
                (admin.local_addr(Listener::Tenants), admin.local_addr(Listener::Operators));
            tracing::info!(address = %tenants, %operators, "the admin API listens");
            self.front.spawn("the admin API", admin.run(self.front.shutdown()));
        }
        if let Some(settings) = &config.worker {
            let working = Working::build(settings, pools.worker.clone(), clock.clone())?;
            self.back.try_spawn("the worker", working.run(self.back.shutdown()));
        }
        if let Some(settings) = &config.processor {
            let log = Arc::clone(log);
            let settings = ProcessorConfig { readiness: self.readiness.clone(), ..settings.clone() };
            let table = clickhouse(Patience::PROCESSING);
            let processor = Processing::build(settings, pools.processor.clone(), table, log, clock)
                .proving(clickhouse(Patience::PROVING))
                .sealing(config.evidence_key.clone());
            self.back.try_spawn("the processor", processor.run(self.back.shutdown()));
        }
        if let Some(retention) = config.billing {
            let billing = Billing::build(retention, pools.billing.clone(), Arc::clone(log));
            self.back.try_spawn("billing", billing.run(self.back.shutdown()));
        }
        Ok(())
    }

    /// Why the process stops: a signal's name, or an error.
    async fn until_stopped(
        &mut self,
        signal: Pin<&mut impl Future<Output = std::io::Result<&'static str>>>,
        fatal: watch::Receiver<Option<String>>,
    ) -> anyhow::Result<&'static str> {
        tokio::select! {
            signal = signal => Ok(signal?),
            failure = self.front.failure() => Err(failure.into()),
            failure = self.back.failure() => Err(failure.into()),
            why = reason(fatal) => bail!("the log takes no more records: {why}"),
        }
    }

    async fn drain(self) {
        for roles in [self.front, self.back] {
            if let Err(error) = roles.stop().await {
                tracing::error!(error = %Chain(&error), "a role did not end well");
            }
        }
    }
}

/// The reason, once there is one.
async fn reason(mut fatal: watch::Receiver<Option<String>>) -> String {
    match fatal.wait_for(Option::is_some).await {
        Ok(why) => why.clone().unwrap_or_default(),
        Err(_) => std::future::pending().await,
    }
}
