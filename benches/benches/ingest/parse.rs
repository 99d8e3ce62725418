//! What ingest does with a body once it is read, without anything around it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use clap::Args;
use decode::room::Room;
use decode::{NativeShape, native};
use ingest::append::frames;
use ingest::validate::identify;

use crate::sample::{PARTITIONS, PROJECT, envelope, sample};

/// Events between two looks at the clock: enough that looking costs nothing, few enough to stay in the cache.
const EVENTS_A_LAP: u32 = 256;

#[derive(Debug, Args)]
pub(crate) struct Parse {
    /// Events in a body
    #[arg(long)]
    batch: u32,
    #[arg(long)]
    seconds: u64,
}

/// Nanoseconds of each lap, by step.
#[derive(Debug, Default)]
struct Laps {
    decode: Vec<u64>,
    identify: Vec<u64>,
    frames: Vec<u64>,
}

impl Parse {
    pub(crate) fn carry_out(self) -> anyhow::Result<()> {
        let count = EVENTS_A_LAP.div_ceil(self.batch);
        let bodies = sample(self.batch, count)?;
        let envelope = envelope()?;
        let mut laps = Laps::default();
        let until = Instant::now() + Duration::from_secs(self.seconds);
        while Instant::now() < until {
            let begun = Instant::now();
            let batches: Result<Vec<_>, _> = bodies
                .iter()
                .map(|body| native(black_box(body), NativeShape::Json, &mut Room::unlimited()))
                .collect();
            laps.decode.push(nanos(begun.elapsed()));
            let batches = batches.map_err(|problem| anyhow::anyhow!("refused: {}", problem.detail))?;

            let begun = Instant::now();
            let known: Vec<_> = batches.into_iter().map(|batch| identify(PROJECT, batch.events).0).collect();
            laps.identify.push(nanos(begun.elapsed()));
            let events: usize = known.iter().map(Vec::len).sum();
            anyhow::ensure!(events == (count * self.batch) as usize, "only {events} events were accepted");

            let begun = Instant::now();
            for events in &known {
                black_box(frames(&envelope, events, PARTITIONS)?);
            }
            drop(known);
            laps.frames.push(nanos(begun.elapsed()));
        }
        let events = u64::from(count * self.batch);
        let [decode, identify, frames] =
            [laps.decode, laps.identify, laps.frames].map(|laps| median(laps) / events);
        println!(r#"{{"decode":{decode},"identify":{identify},"frames":{frames}}}"#);
        Ok(())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// So that a lap in which another process had the core does not count.
fn median(mut laps: Vec<u64>) -> u64 {
    laps.sort_unstable();
    laps.get(laps.len() / 2).copied().unwrap_or_default()
}
