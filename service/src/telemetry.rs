//! Logs to standard error, metrics for the operations listener.

use std::io::IsTerminal;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Buckets of every histogram, in seconds: from a local fsync to a client's patience.
const SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.5, 8.0];
/// How often histograms are condensed: without it they grow for as long as nobody scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Starts logging: text for a terminal, JSON lines otherwise, so that control characters in what clients send
/// are always escaped.
///
/// # Errors
/// If `filter` can't be read (`info`, or `info,ingest=debug`).
pub fn log_to_stderr(filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        subscriber.init();
    } else {
        subscriber.json().flatten_event(true).init();
    }
    Ok(())
}

/// Installs the process's metrics recorder. Call it once, inside the runtime.
///
/// # Errors
/// If a recorder is installed already.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().set_buckets(&SECONDS)?.install_recorder()?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(UPKEEP_EVERY);
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}
