//! What a run counts, shared by its connections.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::reply::Answer;

/// The longest latency that is distinguished, in microseconds: what is longer counts as this.
const LATENCY_US_MAX: u64 = 600_000_000;
/// Different reasons that are counted apart; the rest are one.
const REASONS_MAX: usize = 64;

/// Counts of one run.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// Requests that repeated one without an acknowledgement.
    pub(crate) requests_retried: u64,
    pub(crate) events_sent: u64,
    /// Of them, deliberate re-sends of acknowledged ones.
    pub(crate) events_resent: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) unknown: BTreeMap<String, u64>,
    /// Events of batches that were given up without a final answer.
    pub(crate) left: u64,
    pub(crate) body_bytes: u64,
    pub(crate) plain_bytes: u64,
    pub(crate) connections_opened: u64,
    pub(crate) connections_failed: u64,
    pub(crate) last_connect_error: Option<String>,
    pub(crate) last_reply: Option<Instant>,
    /// Of acknowledgements, in microseconds.
    pub(crate) latency_us: Histogram<u64>,
    /// Of refusals, in microseconds.
    pub(crate) refusal_latency_us: Histogram<u64>,
}

/// One request and how it ended.
#[derive(Debug)]
pub(crate) struct SentRequest<'a> {
    pub(crate) events: u32,
    pub(crate) resent: u32,
    pub(crate) is_retry: bool,
    pub(crate) body_bytes: usize,
    pub(crate) plain_bytes: usize,
    pub(crate) latency: Duration,
    pub(crate) ended: Instant,
    pub(crate) answer: &'a Answer,
}

/// The counts while they change.
#[derive(Debug)]
pub(crate) struct LiveCounts(Mutex<Counts>);

impl LiveCounts {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
        Ok(Self(Mutex::new(Counts {
            requests: 0,
            requests_retried: 0,
            events_sent: 0,
            events_resent: 0,
            accepted: 0,
            refused: BTreeMap::new(),
            unknown: BTreeMap::new(),
            left: 0,
            body_bytes: 0,
            plain_bytes: 0,
            connections_opened: 0,
            connections_failed: 0,
            last_connect_error: None,
            last_reply: None,
            latency_us: histogram.clone(),
            refusal_latency_us: histogram,
        })))
    }

    pub(crate) fn attempt(&self, attempt: &SentRequest<'_>) {
        let mut counts = self.0.lock();
        let events = u64::from(attempt.events);
        let latency_us = u64::try_from(attempt.latency.as_micros()).unwrap_or(u64::MAX);
        counts.requests += 1;
        counts.requests_retried += u64::from(attempt.is_retry);
        counts.events_sent += events;
        counts.events_resent += u64::from(attempt.resent);
        counts.body_bytes += attempt.body_bytes as u64;
        counts.plain_bytes += attempt.plain_bytes as u64;
        match attempt.answer {
            Answer::Acknowledged(rejected) => {
                counts.accepted += events.saturating_sub(rejected.len() as u64);
                for item in rejected {
                    add(&mut counts.refused, format!("202 {}", item.code), 1);
                }
                counts.latency_us.saturating_record(latency_us);
                counts.last_reply = Some(attempt.ended);
            }
            Answer::Refused { status, code, .. } => {
                add(&mut counts.refused, format!("{status} {code}"), events);
                counts.refusal_latency_us.saturating_record(latency_us);
                counts.last_reply = Some(attempt.ended);
            }
            Answer::Unknown { why, .. } => add(&mut counts.unknown, why.clone(), events),
        }
    }

    /// No further attempt will be made for `events` that have no final answer.
    pub(crate) fn left(&self, events: u32) {
        self.0.lock().left += u64::from(events);
    }

    /// A connection was opened, or could not be.
    pub(crate) fn connected(&self, result: Result<(), String>) {
        let mut counts = self.0.lock();
        match result {
            Ok(()) => counts.connections_opened += 1,
            Err(error) => {
                counts.connections_failed += 1;
                counts.last_connect_error = Some(error);
            }
        }
    }

    pub(crate) fn take(&self) -> Counts {
        self.0.lock().clone()
    }
}

fn add(counts: &mut BTreeMap<String, u64>, reason: String, events: u64) {
    let reason =
        if counts.len() < REASONS_MAX || counts.contains_key(&reason) { reason } else { "other".to_owned() };
    *counts.entry(reason).or_default() += events;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_beyond_the_limit_are_counted_together() {
        let mut counts = BTreeMap::new();
        for number in 0..1_000 {
            add(&mut counts, format!("{number:04}"), 2);
        }
        assert_eq!(counts.len(), REASONS_MAX + 1);
        assert_eq!(counts.values().sum::<u64>(), 2_000);
    }
}
