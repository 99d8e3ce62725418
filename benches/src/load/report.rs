//! How a run went.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::options::LoadPlan;
use super::tally::Counts;

/// What a run sent and what the replies said. `events_sent = events_accepted + refused + unknown`: each counts every
/// attempt, so an event that was sent twice counts twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// How every id of the run begins.
    pub id_prefix: String,
    /// From the start to the last reply.
    pub elapsed_ms: u64,
    /// Keep-alive connections.
    pub connections: u16,
    /// Events in a request.
    pub batch: u32,
    /// Whether requests were sent on a schedule, not as replies came.
    pub is_open_loop: bool,
    /// Requests sent.
    pub requests: u64,
    /// Of them, repetitions of one that had not been acknowledged.
    pub requests_retried: u64,
    /// Connections that were opened, at first or again.
    pub connections_opened: u64,
    /// Attempts to connect that failed.
    pub connections_failed: u64,
    /// Events in all requests.
    pub events_sent: u64,
    /// Of them, deliberate re-sends of acknowledged ones.
    pub events_resent: u64,
    /// Events in replies as accepted.
    pub events_accepted: u64,
    /// Events refused, by status and code; `202 <code>` is one that a batch was accepted without.
    pub events_refused: BTreeMap<String, u64>,
    /// Events of requests without a clear answer, by reason.
    pub events_unknown: BTreeMap<String, u64>,
    /// Events of batches that were given up without a final answer: unknown, or refused again and again with 429.
    pub events_left: u64,
    /// Accepted events a second.
    pub events_per_second: u64,
    /// Bytes of bodies as sent.
    pub body_bytes: u64,
    /// Bytes of bodies before compression.
    pub plain_bytes: u64,
    /// Of requests that were accepted.
    pub latency: Latency,
    /// Of requests that were refused.
    pub refusal_latency: Latency,
    /// CPU time of this process, where the system reports it: near `elapsed_ms`, the generator is the bottleneck.
    pub generator_cpu_ms: Option<u64>,
}

/// Time from when a request was due to the end of its reply, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Replies.
    pub count: u64,
    /// Half are faster.
    pub p50_us: u64,
    /// Nine in ten are faster.
    pub p90_us: u64,
    /// 99 in 100 are faster.
    pub p99_us: u64,
    /// 999 in 1000 are faster.
    pub p99_9_us: u64,
    /// The slowest.
    pub max_us: u64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            p99_9_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

impl LoadReport {
    pub(crate) fn new(
        plan: &LoadPlan,
        started: Instant,
        counts: &Counts,
        cpu_ms: Option<u64>,
    ) -> anyhow::Result<Self> {
        let Some(last_reply) = counts.last_reply else {
            let why = counts.last_connect_error.clone();
            let why =
                why.or_else(|| counts.unknown.keys().next().cloned()).unwrap_or_else(|| "stopped".to_owned());
            anyhow::bail!("no server answered: {why}");
        };
        let elapsed = last_reply.saturating_duration_since(started);
        let per_second = u128::from(counts.accepted) * 1_000_000 / elapsed.as_micros().max(1);
        Ok(Self {
            id_prefix: plan.run_id.prefix(),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            connections: plan.connections,
            batch: plan.batch,
            is_open_loop: plan.interval.is_some(),
            requests: counts.requests,
            requests_retried: counts.requests_retried,
            connections_opened: counts.connections_opened,
            connections_failed: counts.connections_failed,
            events_sent: counts.events_sent,
            events_resent: counts.events_resent,
            events_accepted: counts.accepted,
            events_refused: counts.refused.clone(),
            events_unknown: counts.unknown.clone(),
            events_left: counts.left,
            events_per_second: u64::try_from(per_second).unwrap_or(u64::MAX),
            body_bytes: counts.body_bytes,
            plain_bytes: counts.plain_bytes,
            latency: Latency::of(&counts.latency_us),
            refusal_latency: Latency::of(&counts.refusal_latency_us),
            generator_cpu_ms: cpu_ms,
        })
    }

    /// Events refused, for whatever reason.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.events_refused.values().sum()
    }

    /// Events without a clear answer, over all attempts.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.events_unknown.values().sum()
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self;
        let shape = if r.is_open_loop { "open loop" } else { "closed loop" };
        writeln!(
            f,
            "run         {}  {} in batches of {}, {shape}",
            r.id_prefix,
            Millis(r.elapsed_ms),
            r.batch
        )?;
        writeln!(f, "requests    {}, of them retries {}", r.requests, r.requests_retried)?;
        writeln!(
            f,
            "connections {}, opened {}, failed {}",
            r.connections, r.connections_opened, r.connections_failed
        )?;
        let (refused, unknown) = (r.refused(), r.unknown());
        writeln!(f, "events      sent {}, of them deliberate re-sends {}", r.events_sent, r.events_resent)?;
        writeln!(f, "            accepted {}  refused {refused}  unknown {unknown}", r.events_accepted)?;
        for (reason, events) in &r.events_refused {
            writeln!(f, "            refused, {reason}: {events}")?;
        }
        for (reason, events) in &r.events_unknown {
            writeln!(f, "            unknown, {reason}: {events}")?;
        }
        if r.events_left > 0 {
            writeln!(f, "            given up without a final answer: {}", r.events_left)?;
        }
        writeln!(f, "throughput  {} accepted events/s", r.events_per_second)?;
        writeln!(f, "bodies      {} bytes sent, {} before compression", r.body_bytes, r.plain_bytes)?;
        writeln!(f, "latency     {}", r.latency)?;
        if r.refusal_latency.count > 0 {
            writeln!(f, "refusals    {}", r.refusal_latency)?;
        }
        match r.generator_cpu_ms {
            Some(cpu_ms) => write!(f, "generator   {} of CPU", Millis(cpu_ms)),
            None => f.write_str("generator   CPU not known on this system"),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, p99_9, max] =
            [self.p50_us, self.p90_us, self.p99_us, self.p99_9_us, self.max_us].map(Micros);
        write!(f, "p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p99_9}  max {max}")
    }
}

/// Milliseconds, shown as seconds.
struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0 / 1_000, self.0 % 1_000)
    }
}

/// Microseconds, shown as milliseconds.
struct Micros(u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} ms", self.0 / 1_000, self.0 % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut histogram = Histogram::new_with_bounds(1, 600_000_000, 3).unwrap();
        for us in 1..=100_000_u64 {
            histogram.record(us).unwrap();
        }
        let latency = Latency::of(&histogram);
        for (found, expected) in [
            (latency.p50_us, 50_000),
            (latency.p90_us, 90_000),
            (latency.p99_us, 99_000),
            (latency.p99_9_us, 99_900),
            (latency.max_us, 100_000),
        ] {
            assert!(found.abs_diff(expected) <= expected / 1_000, "{found} for {expected}");
        }
    }
}
