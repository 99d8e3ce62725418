//! What traces show of a batch: a span of its own, and, for each request that a trace follows, spans below that
//! request's.
//!
//! So a request's trace shows its events wait in the log, and become rows and usage, all of it
//! in one place; the batch's own trace has the same stages once, and links to the requests.

use std::time::{Duration, Instant};

use service::clock::Clock;
use service::trace::{self, Context, Kind, Span};

use crate::batch::{Range, Traced};

/// Requests of a batch that are followed; of more, only their number is noted.
const TRACED_MAX: usize = 64;

/// Stages, until they are sent. Empty where there is no trace.
#[derive(Debug, Default)]
pub(super) struct Journey(Option<Box<Followed>>);

#[derive(Debug)]
struct Followed {
    /// The batch's own.
    batch: Span,
    traced: Vec<Traced>,
    read_at: Instant,
    stages: Vec<(&'static str, Kind, Instant, Instant)>,
}

impl Journey {
    /// Of a batch whose records were read from `read_from` to `read_at`.
    pub(super) fn begin(
        read_from: Instant,
        read_at: Instant,
        mut traced: Vec<Traced>,
        ranges: &[Range],
    ) -> Self {
        if !trace::is_on() {
            return Self(None);
        }
        let mut batch = Span::root("batch", !traced.is_empty());
        if traced.is_empty() && batch.context().is_none() {
            return Self(None);
        }
        batch.began(read_from);
        batch.set("weir.ranges", || ranges_text(ranges));
        batch.set("weir.requests_traced", || traced.len());
        traced.truncate(TRACED_MAX);
        traced.iter().for_each(|frame| batch.link(context(frame)));
        let stages = vec![("read", Kind::Client, read_from, read_at)];
        Self(Some(Box::new(Followed { batch, traced, read_at, stages })))
    }

    /// A stage that has ended now.
    pub(super) fn passed(&mut self, stage: &'static str, kind: Kind, begun: Instant) {
        if let Some(followed) = &mut self.0 {
            followed.stages.push((stage, kind, begun, Instant::now()));
        }
    }

    /// The batch is committed: sends its spans.
    pub(super) fn ends(&mut self, clock: &Clock) {
        let Some(followed) = self.0.take() else { return };
        let Followed { batch, traced, read_at, stages } = *followed;
        for &(stage, kind, begun, ended) in &stages {
            batch.child(stage, kind).lasted(begun, ended);
        }
        let now_ms = clock.now_micros().div_euclid(1000);
        for frame in traced {
            let age_ms = u64::try_from(now_ms.saturating_sub(frame.appended_at_ms)).unwrap_or_default();
            let appended_at = Instant::now().checked_sub(Duration::from_millis(age_ms)).unwrap_or(read_at);
            Span::after(context(&frame), "log", Kind::Internal).lasted(appended_at.min(read_at), read_at);
            let mut process = Span::after(context(&frame), "process", Kind::Consumer);
            process.began(read_at);
            process.set("weir.partition", || frame.partition);
            process.set("weir.offset", || frame.offset);
            process.set("weir.events", || u32::from(frame.events));
            process.set("weir.tenant", || frame.tenant.0);
            process.set("weir.request_id", || frame.request_id.to_string());
            if let Some(batch) = batch.context() {
                process.link(batch);
            }
            // What was read was read for all: a request's share of it is the wait in the log.
            for &(stage, kind, begun, ended) in stages.iter().skip(1) {
                process.child(stage, kind).lasted(begun, ended);
            }
        }
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        if let Some(followed) = &mut self.0 {
            followed.batch.fail(|| "not committed: the next session reads it again");
        }
    }
}

/// The parent of a frame's spans.
fn context(Traced { trace, .. }: &Traced) -> Context {
    Context { trace_id: trace.trace_id, span_id: trace.span_id, flags: trace.flags }
}

/// `partition:lo-hi`, with commas.
pub(super) fn ranges_text(ranges: &[Range]) -> String {
    let texts: Vec<String> =
        ranges.iter().map(|Range { partition, lo, hi, .. }| format!("{partition}:{lo}-{hi}")).collect();
    texts.join(",")
}
