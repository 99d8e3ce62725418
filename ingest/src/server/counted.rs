//! What is counted of a request: for the node's metrics, and for its tenant.

use ::metrics::{Counter, Histogram};
use decode::{Batch, Rejection};
use schemas::event::EventFlags;
use schemas::intake::{Intake, Warning};
use schemas::problem::Code;

use crate::metrics;
use crate::outcomes::Attempt;
use crate::reply::{Receipt, Refusal};
use crate::routes::Dialect;
use crate::validate::Known;

/// The metrics of good requests, by dialect: found once, not at each request.
pub(super) struct Accepted(Vec<AcceptedOf>);

/// Those of one dialect.
pub(super) struct AcceptedOf {
    pub(super) replies: Counter,
    pub(super) seconds: Histogram,
    pub(super) events: Counter,
}

impl Accepted {
    pub(super) fn new() -> Self {
        let of = |name| AcceptedOf {
            replies: metrics::reply(name, "ok"),
            seconds: metrics::reply_seconds(name),
            events: metrics::events(name, Intake::Accepted.as_str()),
        };
        Self(Dialect::NAMES.into_iter().map(of).collect())
    }

    pub(super) fn of(&self, dialect: Dialect) -> &AcceptedOf {
        &self.0[dialect.place()]
    }
}

/// The events of a request, for the metrics and for its tenant: each is counted once, under what became of it. On
/// foreign routes the reply says nothing of a rejected event, so that the count is its only trace.
pub(super) struct RequestCounts<'n> {
    route: &'static str,
    accepted: &'n Counter,
    events: u32,
}

impl<'n> RequestCounts<'n> {
    /// Counts those that are rejected already.
    pub(super) fn of(
        dialect: Dialect,
        accepted: &'n Counter,
        batch: &Batch<'_>,
        attempt: &mut Attempt<'_>,
    ) -> Self {
        let events = u32::try_from(batch.events.len()).unwrap_or(u32::MAX);
        let tally = Self { route: dialect.name(), accepted, events };
        attempt.holds(events);
        for rejections in batch.rejected.chunk_by(|one, other| one.problem.code == other.problem.code) {
            let (Some(first), Ok(count)) = (rejections.first(), u32::try_from(rejections.len())) else {
                continue;
            };
            tally.add(Intake::Refused(first.problem.code), count, attempt);
        }
        tally
    }

    /// Counts the others.
    pub(super) fn count(
        &self,
        accepted: Result<&(Receipt, Vec<Known<'_>>), &Refusal>,
        attempt: &mut Attempt<'_>,
    ) {
        match accepted {
            Ok((receipt, events)) => {
                let (accepted, repeated) = (receipt.accepted, receipt.duplicate_of_request);
                self.add(Intake::Accepted, accepted, attempt);
                self.add(Intake::DuplicateOfRequest, repeated, attempt);
                let is_over = |rejection: &&Rejection| rejection.problem.code == Code::QuotaExceeded;
                let over = receipt.rejected.iter().filter(is_over).count();
                let over = u32::try_from(over).unwrap_or(u32::MAX);
                self.add(Intake::Refused(Code::QuotaExceeded), over, attempt);
                let large =
                    self.events.saturating_sub(accepted.saturating_add(repeated).saturating_add(over));
                self.add(Intake::Refused(Code::EventTooLarge), large, attempt);
                warn(events, attempt);
            }
            Err(refusal) => self.add(Intake::Refused(refusal.problem.code), self.events, attempt),
        }
        attempt.settle();
    }

    fn add(&self, outcome: Intake, events: u32, attempt: &mut Attempt<'_>) {
        if events == 0 {
            return;
        }
        attempt.count(outcome, events);
        if outcome == Intake::Accepted {
            self.accepted.increment(events.into());
        } else {
            metrics::events(self.route, outcome.as_str()).increment(events.into());
        }
    }
}

/// Counts what the senders of accepted events should know of them. Most have nothing.
fn warn(accepted: &[Known<'_>], attempt: &mut Attempt<'_>) {
    let flags = accepted.iter().fold(EventFlags::default(), |flags, known| flags.with(known.flags()));
    for warning in Warning::ALL.iter().filter(|warning| flags.has_any(warning.flag())) {
        let events = accepted.iter().filter(|known| known.flags().has_any(warning.flag())).count();
        attempt.count(Intake::Warned(*warning), u32::try_from(events).unwrap_or(u32::MAX));
    }
}
