//! A log as ingest leaves it: the load generator's bodies, decoded, identified and framed by ingest's own functions.

use std::sync::Arc;
use std::time::Duration;

use benches::load::{LoadOptions, bodies};
use bytes::Bytes;
use clap::Args;
use decode::room::Room;
use decode::{NativeShape, native};
use eventlog::{Append, EventLog};
use ingest::append::frames;
use ingest::validate::identify;
use schemas::time::Micros;
use service::clock::Clock;
use tokio::task::JoinSet;

use crate::account::Account;
use crate::place::Place;

const DEADLINE: Duration = Duration::from_secs(30);
/// Events that are made at once, and then appended.
const CHUNK_EVENTS: u64 = 100_000;
/// How many requests before it one that repeats has its events from.
const REPEATS_AFTER: usize = 53;
/// The period of all events begins so long before them.
const PERIOD_BEGAN: i64 = 24 * Micros::HOUR;

#[derive(Debug, Args)]
pub(crate) struct Fill {
    #[command(flatten)]
    place: Place,
    /// Of a local log, which is made
    #[arg(long, default_value_t = 1)]
    partitions: u32,
    #[arg(long)]
    events: u64,
    /// Events in a request
    #[arg(long)]
    batch: u32,
    /// Of JSON, about
    #[arg(long, default_value_t = 300)]
    event_bytes: usize,
    /// Of a hundred requests, how many are repetitions of an earlier one
    #[arg(long, default_value_t = 0)]
    duplicates: usize,
    /// Requests under way at once: in Kafka those of the same moment share a record
    #[arg(long, default_value_t = 64)]
    requests: usize,
    /// TENANT:PROJECT, with commas; requests take them in turn
    #[arg(long, value_delimiter = ',')]
    accounts: Vec<Account>,
    /// Ids are derived from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What was appended.
#[derive(Debug, Default)]
struct Filled {
    requests: u64,
    records: usize,
    payload_bytes: usize,
    repeated: u64,
}

impl Fill {
    pub(crate) async fn carry_out(self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.accounts.is_empty() && self.batch > 0, "--accounts and --batch can't be empty");
        let Self { place, partitions, .. } = self;
        let log = place.open(partitions).await?;
        let task = Task { accounts: self.accounts, batch: self.batch, event_bytes: self.event_bytes };
        let wanted = self.events / u64::from(self.batch);
        let chunk = usize::try_from((CHUNK_EVENTS / u64::from(self.batch)).max(1))?;
        let mut filled = Filled::default();
        let mut seed = self.seed << 32;
        while filled.requests < wanted {
            let count = chunk.min(usize::try_from(wanted - filled.requests)?);
            let (sources, repeated) = sources(count, self.duplicates);
            let bodies = task.bodies(seed, count)?;
            let mut requests = Vec::with_capacity(count);
            for (number, source) in (filled.requests..).zip(sources) {
                requests.push(task.records(number, &bodies[source], log.partitions())?);
            }
            filled.requests += count as u64;
            filled.repeated += repeated as u64;
            filled.records += requests.iter().map(Vec::len).sum::<usize>();
            filled.payload_bytes +=
                requests.iter().flatten().map(|append| append.payload.len()).sum::<usize>();
            append(&log, requests, self.requests).await?;
            seed += 1;
        }
        log.close(DEADLINE).await;
        let events = filled.requests * u64::from(self.batch);
        let distinct = events - filled.repeated * u64::from(self.batch);
        println!(
            r#"{{"events":{events},"distinct":{distinct},"frames":{},"payload_bytes":{}}}"#,
            filled.records, filled.payload_bytes
        );
        Ok(())
    }
}

/// Which body each of `count` requests has, and how many of them repeat one.
fn sources(count: usize, duplicates: usize) -> (Vec<usize>, usize) {
    let (mut sources, mut repeated): (Vec<usize>, usize) = (Vec::with_capacity(count), 0);
    for number in 0..count {
        let is_repeated = number > 0 && (number + 1) * duplicates / 100 > number * duplicates / 100;
        repeated += usize::from(is_repeated);
        let earlier = number.saturating_sub(REPEATS_AFTER);
        sources.push(if is_repeated { sources[earlier] } else { number });
    }
    (sources, repeated)
}

/// What all requests have in common.
struct Task {
    accounts: Vec<Account>,
    batch: u32,
    event_bytes: usize,
}

impl Task {
    fn bodies(&self, seed: u64, count: usize) -> anyhow::Result<Vec<Bytes>> {
        let options = LoadOptions {
            batch: self.batch,
            event_bytes: self.event_bytes,
            seed: Some(seed),
            ..LoadOptions::to("http://localhost", "wk_live_bench")
        };
        bodies(&options, u32::try_from(count)?)
    }

    fn records(&self, number: u64, body: &Bytes, partitions: u32) -> anyhow::Result<Vec<Append>> {
        // A repetition is its tenant's own: it has the same body, and so the same account.
        let account = usize::from(body.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
        let account = self.accounts[account % self.accounts.len()];
        let now = Micros(Clock::system().now_micros());
        let batch = native(body, NativeShape::Json, &mut Room::unlimited())
            .map_err(|problem| anyhow::anyhow!("refused: {}", problem.detail))?;
        let known = identify(account.project, batch.events).0;
        anyhow::ensure!(known.len() == self.batch as usize, "an event was refused");
        let period = Micros(now.hour().0 - PERIOD_BEGAN);
        Ok(frames(&account.envelope(number, period, now)?, &known, partitions)?)
    }
}

/// Appends the records of all `requests`, so many at once.
async fn append(log: &Arc<dyn EventLog>, requests: Vec<Vec<Append>>, at_once: usize) -> anyhow::Result<()> {
    let mut under_way = JoinSet::new();
    for records in requests {
        if under_way.len() >= at_once.max(1)
            && let Some(ended) = under_way.join_next().await
        {
            ended??;
        }
        let log = Arc::clone(log);
        under_way.spawn(async move { log.append(records, DEADLINE).await });
    }
    while let Some(ended) = under_way.join_next().await {
        ended??;
    }
    Ok(())
}
