//! What the connections of a run share, and how long each may go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::journal::{Entry, JournalWriter, Line};
use super::options::LoadPlan;
use super::tally::LiveCounts;

/// What the connections of a run share.
#[derive(Debug)]
pub(crate) struct SharedRun {
    pub(crate) plan: LoadPlan,
    pub(crate) journal: Option<JournalWriter>,
    pub(crate) tally: LiveCounts,
    pub(crate) started: Instant,
    /// No batch is begun after this.
    begin_until: Option<Instant>,
    stopped: AtomicBool,
}

impl SharedRun {
    pub(crate) fn new(
        plan: LoadPlan,
        journal: Option<JournalWriter>,
        tally: LiveCounts,
        started: Instant,
    ) -> Self {
        let begin_until = plan.duration.map(|duration| started + duration);
        Self { plan, journal, tally, started, begin_until, stopped: AtomicBool::new(false) }
    }

    /// No batch is begun or sent again from now on.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether a batch may be begun at `now`.
    pub(crate) fn may_begin(&self, now: Instant) -> bool {
        !self.stopped.load(Ordering::Relaxed) && self.begin_until.is_none_or(|until| now < until)
    }

    /// Whether a batch that was first tried at `since` may be tried once more. What has never left needs no more
    /// attempts once the time is over: nobody can have stored it.
    pub(crate) fn may_retry(&self, since: Instant, has_left: bool, now: Instant) -> bool {
        let give_up = self.begin_until.unwrap_or(since).max(since) + self.plan.grace;
        let is_wanted = has_left || self.begin_until.is_none_or(|until| now < until);
        is_wanted && now < give_up && !self.stopped.load(Ordering::Relaxed)
    }

    /// Writes a line to the journal, if there is one.
    pub(crate) fn note(&self, connection: u16, entry: Entry) -> anyhow::Result<()> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        journal.append(&Line { at_ms, connection, entry })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::LoadOptions;

    const SECOND: Duration = Duration::from_secs(1);

    /// A run whose grace is 10 s, and when it began.
    fn run(duration: Option<Duration>) -> (SharedRun, Instant) {
        let options = LoadOptions { duration, events: Some(1), ..LoadOptions::to("http://a", "k") };
        let started = Instant::now();
        (SharedRun::new(LoadPlan::new(&options).unwrap(), None, LiveCounts::new().unwrap(), started), started)
    }

    #[test]
    fn batches_begin_until_the_duration_is_over() {
        let (run, start) = run(Some(5 * SECOND));
        assert!(run.may_begin(start + 4 * SECOND) && !run.may_begin(start + 5 * SECOND));
    }

    #[test]
    fn what_has_left_is_retried_through_the_grace_and_what_has_not_only_until_the_duration() {
        let (run, start) = run(Some(5 * SECOND));
        let since = start + SECOND;
        assert!(
            run.may_retry(since, true, start + 14 * SECOND)
                && !run.may_retry(since, true, start + 15 * SECOND)
        );
        assert!(
            run.may_retry(since, false, start + 4 * SECOND)
                && !run.may_retry(since, false, start + 5 * SECOND)
        );
    }

    #[test]
    fn without_a_duration_each_batch_has_the_grace_for_itself() {
        let (run, start) = run(None);
        let since = start + 100 * SECOND;
        for has_left in [false, true] {
            assert!(run.may_retry(since, has_left, since + 9 * SECOND));
            assert!(!run.may_retry(since, has_left, since + 10 * SECOND));
        }
    }

    #[test]
    fn nothing_is_begun_or_retried_after_a_stop() {
        let (run, start) = run(None);
        assert!(run.may_begin(start) && run.may_retry(start, true, start));
        run.stop();
        assert!(!run.may_begin(start) && !run.may_retry(start, true, start));
    }
}
