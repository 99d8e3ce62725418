//! The log alone: frames that are ready, at the pace at which weir made them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use benches::cpu;
use clap::Args;
use decode::room::Room;
use decode::{NativeShape, native};
use eventlog::kafka::{KafkaConfig, KafkaLog};
use eventlog::{Append, EventLog};
use ingest::append::frames;
use ingest::validate::identify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::sample::{PARTITIONS, PROJECT, envelope, sample};

/// Its own, so that it does not stand between weir's records.
const TOPIC: &str = "weir.floor";
const DEADLINE: Duration = Duration::from_secs(8);

#[derive(Debug, Args)]
pub(crate) struct Produce {
    #[arg(long)]
    brokers: String,
    /// Events in a request
    #[arg(long)]
    batch: u32,
    /// Requests under way at once
    #[arg(long)]
    requests: u32,
    /// Requests a second of all together
    #[arg(long)]
    rate: u64,
    #[arg(long)]
    seconds: u64,
}

impl Produce {
    pub(crate) async fn carry_out(self) -> anyhow::Result<()> {
        let config = KafkaConfig { topic: TOPIC.to_owned(), ..KafkaConfig::new(&self.brokers) };
        KafkaLog::create_topic(&config, PARTITIONS, 1, None).await?;
        let log = Arc::new(KafkaLog::open(config).await?);
        let requests = self.frames()?;
        // Once, so that all is connected.
        log.append(requests.concat(), DEADLINE).await?;

        let cpu_before = cpu::process_ms();
        let start = Instant::now();
        let until = start + Duration::from_secs(self.seconds);
        let interval = Duration::from_nanos(u64::from(self.requests) * 1_000_000_000 / self.rate.max(1));
        let mut senders = JoinSet::new();
        for (number, records) in (0_u32..).zip(requests) {
            let log = Arc::clone(&log);
            let first = start + interval * number / self.requests;
            senders.spawn(async move { repeat(&log, &records, first, interval, until).await });
        }
        let mut sent = 0;
        while let Some(count) = senders.join_next().await {
            sent += count??;
        }
        let cpu_ms = cpu::process_ms().zip(cpu_before).map(|(after, before)| after - before);
        let (cpu_ms, ms) = (cpu_ms.context("this bench needs Linux")?, start.elapsed().as_millis());
        let events = sent * u64::from(self.batch);
        println!(r#"{{"requests":{sent},"events":{events},"cpu_ms":{cpu_ms},"elapsed_ms":{ms}}}"#);
        log.close(DEADLINE).await;
        Ok(())
    }

    /// The records of as many requests as are under way at once.
    fn frames(&self) -> anyhow::Result<Vec<Vec<Append>>> {
        let envelope = envelope()?;
        let bodies = sample(self.batch, self.requests)?;
        let of_body = |body| {
            let batch = native(body, NativeShape::Json, &mut Room::unlimited())
                .map_err(|problem| anyhow::anyhow!("{}", problem.detail))?;
            Ok(frames(&envelope, &identify(PROJECT, batch.events).0, PARTITIONS)?)
        };
        bodies.iter().map(|body| of_body(body)).collect()
    }
}

/// Appends the same records again and again, each time when the interval is over and the last append has ended.
async fn repeat(
    log: &KafkaLog,
    records: &[Append],
    first: Instant,
    interval: Duration,
    until: Instant,
) -> anyhow::Result<u64> {
    let (mut due, mut sent) = (first, 0);
    while due < until && Instant::now() < until {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        log.append(records.to_vec(), DEADLINE).await?;
        sent += 1;
        due += interval;
    }
    Ok(sent)
}
