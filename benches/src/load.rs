//! The load generator behind `weir load`.
//!
//! # Path of an event
//! Its `id` is derived from the run's seed, the connection and a sequence number; its `body` is a template
//! with those numbers patched in. `pace` says when its batch is due. A `worker` writes the intent to the
//! [`journal`], sends the batch over its `link`, reads the `reply`, and writes the outcome to the journal and
//! the `tally`, which becomes the [`LoadReport`].
//!
//! # Guarantees
//! * An intent is handed to the operating system before the first byte of its request; an outcome after the last
//!   byte of its reply. So a `kill -9` of this process, at any moment, leaves a journal that errs only towards
//!   *unknown*. (A crash of the whole machine may lose its end: it is synced when the run ends, not before.)
//! * Only a complete and consistent reply of status 2xx counts as acknowledged, only a 4xx as refused. All else is
//!   unknown, and with [`LoadOptions::retry`] it is sent again with the same ids.
//! * Memory does not grow with the number of events.

mod id;
mod keys;
mod options;
mod body;
mod pace;
mod target;
mod link;
mod reply;
pub mod journal;
mod tally;
mod run;
mod worker;
mod report;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::cpu;
use body::Bodies;
use journal::{IdRange, JournalWriter, RunHeader};
use options::LoadPlan;
use run::SharedRun;
use tally::LiveCounts;
use worker::Worker;

pub use options::{LoadKey, LoadOptions};
pub use report::{Latency, LoadReport};

/// Sends what `options` ask for and reports how it went.
///
/// # Errors
/// If an option is wrong, the journal can't be written, or no server ever answered.
pub async fn run(options: LoadOptions) -> anyhow::Result<LoadReport> {
    run_until(options, std::future::pending()).await
}

/// As [`run`], but ends early, with its report, when `stop` is ready: no batch is begun or sent again after that.
///
/// # Errors
/// As [`run`].
pub async fn run_until(options: LoadOptions, stop: impl Future<Output = ()>) -> anyhow::Result<LoadReport> {
    let plan = LoadPlan::new(&options)?;
    let journal = match &options.journal {
        None => None,
        Some(path) => Some(JournalWriter::create(path, &RunHeader::of(&plan, &options))?),
    };
    let cpu_before_ms = cpu::process_ms();
    let started = Instant::now();
    let run = Arc::new(SharedRun::new(plan, journal, LiveCounts::new()?, started));

    let mut workers = JoinSet::new();
    for connection in 0..run.plan.connections {
        workers.spawn(Worker::new(Arc::clone(&run), connection)?.run());
    }
    let mut stop = pin!(stop);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = workers.join_next() => match ended {
                None => break,
                Some(result) => result.context("a connection's task failed")??,
            },
            () = &mut stop, if !stopping => {
                stopping = true;
                run.stop();
            }
        }
    }
    if let Some(journal) = &run.journal {
        journal.sync()?;
    }
    let cpu_ms = cpu::process_ms().zip(cpu_before_ms).map(|(after, before)| after.saturating_sub(before));
    LoadReport::new(&run.plan, started, &run.tally.take(), cpu_ms)
}

/// The bodies that the first connection of a run with these options begins with.
///
/// # Errors
/// If an option is wrong.
pub fn bodies(options: &LoadOptions, count: u32) -> anyhow::Result<Vec<Bytes>> {
    let plan = LoadPlan::new(options)?;
    let bodies = Bodies::new(&plan, 0)?;
    let range = |number| IdRange { first: number * plan.batch, count: plan.batch };
    (0..count).map(|number| Ok(bodies.build(&[range(number)])?.bytes)).collect()
}
