//! The first half of a batch's way: records become a block of rows and a commit.

use std::collections::BTreeMap;
use std::time::Duration;

use eventlog::Record;
use schemas::time::Micros;
use service::clock::Clock;
use service::trace::Kind;

use super::journey::Journey;
use super::stage::Stage;
use crate::batch::{self, Failed, Placed, Range};
use crate::block::Block;
use crate::commit::Commit;
use crate::enrich::Enricher;
use crate::judge::judge;
use crate::mark;
use crate::metrics;
use crate::own::Owned;
use crate::repair::Present;
use seen::SeenIds;

/// A batch that needs nothing but the stores.
#[derive(Debug)]
pub(super) struct Prepared {
    /// A row for each fresh event.
    pub(super) block: Block,
    /// Which of them the table had before.
    pub(super) present: Present,
    /// What must be booked.
    pub(super) commit: Commit,
    /// What traces show of it.
    pub(super) journey: Journey,
    /// When its newest event was received.
    newest: Option<Micros>,
}

/// What is prepared, and with what.
pub(super) struct Material {
    pub(super) records: Vec<Record>,
    pub(super) owned: BTreeMap<u32, Owned>,
    pub(super) seen: BTreeMap<u32, SeenIds>,
    pub(super) present: Present,
    pub(super) events_max: usize,
    pub(super) memory: Memory,
    pub(super) enricher: Enricher,
    /// When its records began to be read.
    pub(super) read_from: std::time::Instant,
}

/// What batches leave to those that come after them.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) events: Vec<Placed<'static>>,
    pub(super) block: Vec<u8>,
}

/// A batch, and what is left of the records.
pub(super) struct Product {
    pub(super) prepared: Prepared,
    pub(super) left: Vec<Record>,
    pub(super) events: Vec<Placed<'static>>,
}

/// Prepares a batch of the first records. Takes the processor's time, not the stores'. Gives the ids back, too; those
/// of a partition that failed are of no use.
pub(super) fn prepare(mut material: Material) -> (BTreeMap<u32, SeenIds>, Result<Product, Failed>) {
    let mut seen = std::mem::take(&mut material.seen);
    let product = prepare_with(&mut seen, material);
    (seen, product)
}

fn prepare_with(seen: &mut BTreeMap<u32, SeenIds>, material: Material) -> Result<Product, Failed> {
    let Material { mut records, owned, seen: _, present, events_max, memory, enricher, read_from } = material;
    let mut stage = Stage::begin();
    let begun = stage.begun();
    let (mut decoded, taken) = batch::decode_some(&records, events_max, batch::emptied(memory.events));
    let ranges: Vec<Range> = batch::ranges(&records[..taken], &owned);
    let mut journey = Journey::begin(read_from, begun, std::mem::take(&mut decoded.traced), &ranges);
    stage.ends("decode");
    let marks = mark::of_last(&records[..taken]);
    let mut judged = judge(decoded, ranges, seen, &present)?;
    judged.commit.marks = marks;
    stage.ends("dedup");
    let block = Block::within(memory.block, &judged.fresh, &enricher);
    judged.commit.add_contents(&block, &present)?;
    let events = batch::emptied(judged.fresh);
    stage.ends("encode");
    journey.passed("prepare", Kind::Internal, begun);
    let prepared = Prepared { block, present, commit: judged.commit, journey, newest: judged.newest };
    let left = records.split_off(taken);
    Ok(Product { prepared, left, events })
}

impl Prepared {
    /// Measures what became of it, once it is committed.
    pub(super) fn observe(&self, clock: &Clock) {
        for sum in &self.commit.sums {
            for (outcome, events) in [
                ("stored", sum.counts.stored),
                ("duplicate", sum.counts.duplicate),
                ("dead", sum.counts.dead),
            ] {
                ::metrics::counter!(metrics::EVENTS, "outcome" => outcome)
                    .increment(u64::try_from(events).unwrap_or_default());
            }
        }
        if let Some(newest) = self.newest {
            let lag = Duration::from_micros(u64::try_from(clock.now_micros() - newest.0).unwrap_or_default());
            ::metrics::gauge!(metrics::LAG_SECONDS).set(lag.as_secs_f64());
        }
    }
}
