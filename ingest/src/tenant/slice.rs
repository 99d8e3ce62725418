//! A tenant's quota on this node: a slice that Postgres has granted, spent in memory.

use std::time::{Duration, Instant};

use chrono_tz::Tz;
use metering::lease::{Grant, Want};
use metering::period::Period;
use parking_lot::Mutex;
use schemas::id::{LeaseId, TenantId};
use schemas::time::Micros;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// For how long "used up" is believed: other nodes may have given something back since.
const EXHAUSTED_FOR: Duration = Duration::from_millis(250);
/// Events that a node would like to hold of a tenant that it has just met.
const LIKE_FIRST: i64 = 100;
/// And at most.
const LIKE_MAX: i64 = 1 << 20;
/// A slice that lasts less than this is too small.
const LASTS: Duration = Duration::from_secs(1);
/// A request is received so long before it spends, at most: its deadline is shorter.
const LATE_MAX: i64 = 10 * Micros::SECOND;

/// A tenant's slice on this node.
#[derive(Debug, Default)]
pub struct Slice {
    state: Mutex<State>,
    granted: Notify,
}

#[derive(Debug)]
struct State {
    generation: u64,
    period: Period,
    lease: LeaseId,
    left: i64,
    /// What was left in Postgres when it was last asked.
    beyond: Option<i64>,
    /// Events that requests wait for.
    waiting: i64,
    /// Stands in the queue for a refill.
    queued: bool,
    exhausted_until: Option<Instant>,
    like: i64,
    refilled_at: Option<Instant>,
    /// Whether anything was spent since the last sweep.
    busy: bool,
    /// What was left of slices of other periods.
    stale: Vec<(LeaseId, i64)>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            generation: 0,
            period: Period { start: Micros(0), end: Micros(0) },
            lease: LeaseId::NONE,
            left: 0,
            beyond: None,
            waiting: 0,
            queued: false,
            exhausted_until: None,
            like: LIKE_FIRST,
            refilled_at: None,
            busy: false,
            stale: Vec::new(),
        }
    }
}

/// What a request has spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Of which lease; [`LeaseId::NONE`] if the tenant has no cap.
    pub lease: LeaseId,
    /// In which period.
    pub period: Period,
    /// How many events: fewer than asked for if the quota ends with them.
    pub events: u32,
    /// Under which registration of the node.
    pub(crate) generation: u64,
}

/// How an attempt to spend ended.
#[derive(Debug)]
pub(crate) enum Spend {
    /// With this.
    Took(Spent),
    /// The slice is too small, and whether there is more is not known.
    Short,
}

/// A request that waits for a slice; counted for as long as it lives.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Slice, i64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= self.1;
    }
}

impl Slice {
    /// Takes over a change of the quota by so many events, and believes no longer that it is used up.
    pub(crate) fn revise(&self, by: i64) {
        let mut state = self.state.lock();
        state.exhausted_until = None;
        state.beyond = state.beyond.map(|beyond| beyond.saturating_add(by).max(0));
    }

    /// The period that holds `at`, and what is left in it as far as this node knows.
    pub(crate) fn left(&self, at: Micros, zone: Tz) -> (Period, Option<i64>) {
        let state = self.state.lock();
        if state.period.holds(at) {
            (state.period, state.beyond.map(|beyond| beyond.saturating_add(state.left)))
        } else {
            (Period::month_of(at, zone), None)
        }
    }

    /// The period that holds `at`, for a tenant without a cap.
    pub(crate) fn period(&self, at: Micros, zone: Tz) -> Period {
        let mut state = self.state.lock();
        state.roll(at, zone);
        state.period
    }

    /// The period, if Postgres has just said that it has nothing left, and neither has the slice.
    pub(crate) fn used_up(&self, at: Micros, generation: u64) -> Option<Period> {
        let state = self.state.lock();
        let is_known = state.generation == generation && at < state.period.end;
        let is_exhausted = state.exhausted_until.is_some_and(|until| Instant::now() < until);
        (is_known && is_exhausted && state.left == 0).then_some(state.period)
    }

    /// Completes at the next grant.
    pub(crate) fn granted(&self) -> Notified<'_> {
        self.granted.notified()
    }

    pub(crate) fn wait_for(&self, events: u32) -> Waiting<'_> {
        self.state.lock().waiting += i64::from(events);
        Waiting(self, i64::from(events))
    }

    /// Tries to spend, and says whether the slice runs low. `generation` is the node's, if it may spend at all.
    pub(crate) fn attempt(
        &self,
        at: Micros,
        zone: Tz,
        events: u32,
        generation: Option<u64>,
    ) -> (Spend, bool) {
        let mut state = self.state.lock();
        state.roll(at, zone);
        let Some(generation) = generation else { return (Spend::Short, false) };
        state.renew(generation);
        let wanted = i64::from(events);
        let exhausted = state.exhausted_until.is_some_and(|until| Instant::now() < until);
        if state.left < wanted && !exhausted {
            return (Spend::Short, false);
        }
        let taken = state.left.min(wanted);
        state.left -= taken;
        state.busy |= taken > 0;
        let low = !exhausted && state.left < state.like / 2;
        let events = u32::try_from(taken).unwrap_or_default();
        (Spend::Took(Spent { lease: state.lease, period: state.period, events, generation }), low)
    }

    pub(crate) fn refund(&self, spent: &Spent) {
        let mut state = self.state.lock();
        if (spent.lease, spent.generation) == (state.lease, state.generation) && spent.lease != LeaseId::NONE
        {
            state.left += i64::from(spent.events);
        }
    }

    /// Marks the slice as queued for a refill; `false` if it was.
    pub(crate) fn queue(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().queued, true)
    }

    /// What to ask Postgres for.
    pub(crate) fn want(&self, tenant: TenantId) -> Want {
        let mut state = self.state.lock();
        let short_lived = state.refilled_at.is_some_and(|at| at.elapsed() < LASTS);
        state.like =
            if short_lived { (state.like * 2).min(LIKE_MAX) } else { (state.like / 2).max(LIKE_FIRST) };
        state.refilled_at = Some(Instant::now());
        let need = (state.waiting - state.left).max(0);
        Want { tenant, period_start: state.period.start, need, like: state.like }
    }

    /// Takes Postgres's answer to `want`; `None`: the tenant has no cap any more.
    pub(crate) fn refill(&self, want: &Want, generation: u64, grant: Option<Grant>) {
        let mut state = self.state.lock();
        state.queued = false;
        if let Some(Grant { lease, granted, left, .. }) = grant {
            if state.period.start == want.period_start {
                state.renew(generation);
                state.lease = lease;
                state.left += granted;
                state.beyond = Some(left);
                // Less than requests wait for: there is no more. A refill that nobody waits for says nothing, since it
                // is held to a share of what is left.
                state.exhausted_until = (granted < want.need).then(|| Instant::now() + EXHAUSTED_FOR);
            } else {
                state.stale.push((lease, granted));
            }
        }
        drop(state);
        self.granted.notify_waiters();
    }

    /// Takes what is not going to be spent: of other periods, and of this one if nothing was spent since the last
    /// call or `all` is wanted. Also says whether anything is still held.
    pub(crate) fn sweep(&self, generation: u64, all: bool) -> (Vec<(LeaseId, i64)>, bool) {
        let mut state = self.state.lock();
        state.renew(generation);
        let mut unspent = std::mem::take(&mut state.stale);
        let idle = !std::mem::take(&mut state.busy) && state.waiting == 0;
        if (idle || all) && state.left > 0 {
            unspent.push((state.lease, state.left));
            state.beyond = state.beyond.map(|beyond| beyond + state.left);
            state.left = 0;
        }
        (unspent, !idle || state.left > 0)
    }
}

impl State {
    /// Moves to the period that holds `at`. A request that was received just before another one moved on belongs to the
    /// new period: its time of receipt is set to the period's start. If it was received earlier than that, the clock
    /// was ahead and has been set back, and the slice goes back with it.
    fn roll(&mut self, at: Micros, zone: Tz) {
        if (self.period.start.0.saturating_sub(LATE_MAX)..self.period.end.0).contains(&at.0) {
            return;
        }
        self.period = Period::month_of(at, zone);
        if self.left > 0 {
            self.stale.push((self.lease, self.left));
        }
        (self.lease, self.left, self.beyond, self.exhausted_until) = (LeaseId::NONE, 0, None, None);
    }

    /// Drops what an earlier registration of the node was granted: it has been reclaimed.
    fn renew(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.stale.clear();
            (self.lease, self.left, self.beyond, self.exhausted_until) = (LeaseId::NONE, 0, None, None);
        }
    }
}

#[cfg(test)]
mod tests;
