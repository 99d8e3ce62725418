//! Kafka with a spool before it.
//!
//! A process may start while Kafka is away if its spool says which log it is for. It takes events then, and nothing
//! goes to Kafka before the database is found to belong to what is there: the log's name is checked at the start as
//! always, its ends when it is reached.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use eventlog::kafka::KafkaConfig;
use eventlog::spool::{Spool, SpoolConfig, SpooledLog};
use eventlog::{EventLog, LogError};
use processor::own;
use service::error::Chain;
use sqlx::PgPool;
use tokio::sync::watch;

use super::{NOT_OPEN, OpenLog, open_kafka};
use crate::config::{OutageConfig, OutagePolicy, StoresConfig};
use crate::life::bind::is_away;

/// Folder of the spool within the data folder.
const SPOOL_FOLDER: &str = "spool";
/// How long to look for Kafka before a start without it.
const FIRST_LOOK: Duration = Duration::from_secs(3);
/// How often to look for a Kafka that is away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How the spool is kept. Where events are to be refused there is none, unless an earlier process has left one: what
/// is in it has been accepted.
pub(super) fn config(stores: &StoresConfig, outage: &OutageConfig) -> Result<Option<SpoolConfig>, LogError> {
    let dir = stores.data_dir.join(SPOOL_FOLDER);
    let takes = outage.policy == OutagePolicy::Spool;
    let spool = SpoolConfig { dir, bytes_max: outage.spool_bytes_max, patience: outage.patience, takes };
    Ok((takes || Spool::is_in(&spool.dir)?).then_some(spool))
}

/// Opens both.
pub(super) async fn open(kafka: KafkaConfig, config: SpoolConfig, pool: &PgPool) -> anyhow::Result<OpenLog> {
    let fatal = watch::Sender::new(None);
    let is_there = config.takes && Spool::is_in(&config.dir)?;
    // What can be spooled does not wait for long.
    let reach_timeout = if is_there { FIRST_LOOK } else { kafka.reach_timeout };
    let opened = match open_kafka(KafkaConfig { reach_timeout, ..kafka.clone() }).await {
        Ok(opened) => Some(opened),
        Err(error @ LogError::Unavailable(_)) if is_there => {
            tracing::warn!(%error, "Kafka does not answer: started with the spool alone");
            None
        }
        Err(error) => return Err(error).context(NOT_OPEN),
    };
    let log = opened.map(|opened| {
        forward(opened.fatal, &fatal);
        opened.log
    });
    let is_away = log.is_none();
    let spool = tokio::task::spawn_blocking(|| Spool::open(config, log)).await?;
    let spool = Arc::new(spool.context("the spool can't be opened")?);
    for reason in spool.watch_fatal() {
        forward(reason, &fatal);
    }
    if is_away {
        tokio::spawn(connect(Arc::clone(&spool), kafka, pool.clone(), fatal.clone()));
    }
    let fatal = fatal.subscribe();
    Ok(OpenLog { log: Arc::new(SpooledLog::new(spool)), fatal, exclusive: false })
}

/// Passes the first reason of `from` on to `to`.
fn forward(mut from: watch::Receiver<Option<String>>, to: &watch::Sender<Option<String>>) {
    let to = to.clone();
    tokio::spawn(async move {
        if let Ok(reason) = from.wait_for(Option::is_some).await {
            to.send_replace(reason.clone());
        }
    });
}

/// Gives the spool its log as soon as that is there, and belongs to this database.
async fn connect(spool: Arc<Spool>, kafka: KafkaConfig, pool: PgPool, fatal: watch::Sender<Option<String>>) {
    let opened = loop {
        match open_kafka(kafka.clone()).await {
            Ok(opened) => break opened,
            Err(LogError::Unavailable(why)) => {
                tracing::debug!(why, "Kafka is still away");
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(error) => return drop(fatal.send_replace(Some(error.to_string()))),
        }
    };
    forward(opened.fatal, &fatal);
    if let Err(error) = bind(&spool, &pool, opened.log).await {
        fatal.send_replace(Some(format!("Kafka is back, but this process can't go on: {error:#}")));
    }
}

async fn bind(spool: &Spool, pool: &PgPool, log: Arc<dyn EventLog>) -> anyhow::Result<()> {
    loop {
        match own::bind_log(pool, &*log).await {
            Ok(()) => break,
            Err(error) if is_away(&error) => {
                tracing::debug!(error = %Chain(&error), "Kafka is back, but the database can't be bound to it yet");
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    spool.connect(log)?;
    tracing::info!("Kafka is back");
    Ok(())
}
