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
/// How large slices are.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Events that a node would like to hold of a tenant that it has just met.
    first: i64,
    /// And at most.
    max: i64,
    /// A slice that lasts less than this is too small.
    lasts: Duration,
}

const CAPPED: Sizes = Sizes { first: 100, max: 1 << 20, lasts: Duration::from_secs(1) };
/// Nobody else lacks what a node holds of a tenant without a cap, so that Postgres is seldom asked.
const COUNTED: Sizes = Sizes { first: 10_000, max: 1 << 30, lasts: Duration::from_secs(60) };
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
    account: Account,
    left: i64,
    /// What was asked for was meant for terms that have changed since: it goes back as soon as it is heard of.
    recalled: bool,
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
    /// Leases of other periods, one for each month at most. They are kept, since their totals must not be forgotten:
    /// a clock may be set back.
    earlier: Vec<Account>,
}

/// What the node knows of its lease of a period ([`metering::lease`] says how totals are used).
#[derive(Debug, Clone, Copy)]
struct Account {
    lease: LeaseId,
    period_start: Micros,
    taken: i64,
    returned: i64,
    /// As much of `returned` as Postgres has confirmed.
    confirmed: i64,
    /// Postgres was asked, and it has not been heard what it answered.
    asked: bool,
}

impl Account {
    const fn new(period_start: Micros) -> Self {
        Self { lease: LeaseId::NONE, period_start, taken: 0, returned: 0, confirmed: 0, asked: false }
    }

    /// Whether Postgres must be asked, if only to give back.
    const fn is_open(&self) -> bool {
        self.asked || self.returned != self.confirmed
    }

    fn want(&mut self, tenant: TenantId, (need, like): (i64, i64)) -> Want {
        let Self { period_start, taken, returned, .. } = *self;
        self.asked = true;
        Want { tenant, period_start, taken, returned, need, like }
    }

    fn hears(&mut self, want: &Want, grant: &Grant) {
        self.lease = grant.lease;
        self.taken += grant.granted;
        self.confirmed = want.returned;
        self.asked = false;
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            generation: 0,
            period: Period { start: Micros(0), end: Micros(0) },
            account: Account::new(Micros(0)),
            left: 0,
            recalled: false,
            beyond: None,
            waiting: 0,
            queued: false,
            exhausted_until: None,
            like: 0,
            refilled_at: None,
            busy: false,
            earlier: Vec::new(),
        }
    }
}

/// What a request has spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Of which lease; [`LeaseId::NONE`] if the tenant has no cap and no lease could be had in time.
    pub lease: LeaseId,
    /// In which period.
    pub period: Period,
    /// How many events: fewer than asked for if the quota ends with them.
    pub events: u32,
    /// Under which registration of the node.
    pub(crate) generation: u64,
}

/// A look for what is not spent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sweep {
    /// The node's registration.
    pub(crate) generation: u64,
    /// What time it is.
    pub(crate) now: Micros,
    /// Whether nothing is to be kept.
    pub(crate) all: bool,
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
    /// Takes over a change of the quota by so many events, and believes no longer that it is used up. `recall`: what
    /// was granted under the old terms goes back, as does what is on its way.
    pub(crate) fn revise(&self, by: i64, recall: bool) {
        let mut state = self.state.lock();
        state.exhausted_until = None;
        if recall {
            state.return_all();
            state.recalled = state.account.asked;
        }
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
        if !state.renew(generation) {
            return (Spend::Short, false);
        }
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
        (Spend::Took(Spent { lease: state.account.lease, period: state.period, events, generation }), low)
    }

    pub(crate) fn refund(&self, spent: &Spent) {
        let mut state = self.state.lock();
        if spent.lease == LeaseId::NONE || spent.generation != state.generation {
            return;
        }
        let events = i64::from(spent.events);
        if spent.lease == state.account.lease {
            state.left += events;
        } else if let Some(of) = state.earlier.iter_mut().find(|earlier| earlier.lease == spent.lease) {
            of.returned += events;
        }
    }

    /// Marks the slice as queued for a refill; `false` if it was.
    pub(crate) fn queue(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().queued, true)
    }

    /// What to ask Postgres for, under that registration of the node.
    pub(crate) fn want(&self, tenant: TenantId, generation: u64, is_capped: bool) -> Want {
        let mut state = self.state.lock();
        state.renew(generation);
        let Sizes { first, max, lasts } = if is_capped { CAPPED } else { COUNTED };
        let short_lived = state.refilled_at.is_some_and(|at| at.elapsed() < lasts);
        state.like = if short_lived { state.like * 2 } else { state.like / 2 }.clamp(first, max);
        state.refilled_at = Some(Instant::now());
        let (need, like) = ((state.waiting - state.left).max(0), state.like);
        state.account.want(tenant, (need, like))
    }

    /// Takes Postgres's answer to `want`; `None`: the tenant is not known there.
    pub(crate) fn refill(&self, want: &Want, generation: u64, grant: Option<Grant>) {
        let mut state = self.state.lock();
        state.queued = false;
        if let Some(grant) = grant {
            let is_void = state.hears(want, generation, &grant);
            if !is_void {
                // Less than requests wait for: there is no more. A refill that nobody waits for says nothing, since it
                // is held to a share of what is left.
                state.exhausted_until = (grant.granted < want.need).then(|| Instant::now() + EXHAUSTED_FOR);
            }
        }
        drop(state);
        self.granted.notify_waiters();
    }

    /// What goes back: of periods that have ended, and of this one if `all` is wanted, or if the tenant `is_capped` and
    /// nothing was spent since the last call. It is named at each call until Postgres has confirmed it
    /// ([`Self::hears`]). Also says whether anything is still held.
    pub(crate) fn sweep(&self, tenant: TenantId, by: Sweep, is_capped: bool) -> (Vec<Want>, bool) {
        let Sweep { generation, now, all } = by;
        let mut state = self.state.lock();
        state.renew(generation);
        let idle = !std::mem::take(&mut state.busy) && state.waiting == 0;
        let has_ended = now.0 >= state.period.end.0.saturating_add(LATE_MAX);
        if all || has_ended || (idle && is_capped) {
            state.return_all();
        }
        // A refill is on its way, or waits for its turn, and gives back what there is.
        let in_hand = state.queued && !all;
        let state = &mut *state;
        let current = std::iter::once(&mut state.account).filter(|_| !in_hand);
        let open = state.earlier.iter_mut().chain(current).filter(|account| account.is_open());
        let wants: Vec<Want> = open.map(|account| account.want(tenant, (0, 0))).collect();
        let holds = !idle || state.left > 0 || !wants.is_empty() || in_hand;
        (wants, holds)
    }

    /// Takes Postgres's answer to what was given back.
    pub(crate) fn hears(&self, want: &Want, generation: u64, grant: &Grant) {
        self.state.lock().hears(want, generation, grant);
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
        self.return_all();
        let period = Period::month_of(at, zone);
        let of_period = self.earlier.iter().position(|account| account.period_start == period.start);
        let account = of_period.map(|place| self.earlier.remove(place));
        let before = std::mem::replace(&mut self.account, account.unwrap_or(Account::new(period.start)));
        if before.lease != LeaseId::NONE || before.is_open() {
            self.earlier.push(before);
        }
        self.period = period;
        (self.recalled, self.beyond, self.exhausted_until) = (false, None, None);
    }

    /// What is left is to go back.
    fn return_all(&mut self) {
        let left = std::mem::take(&mut self.left);
        self.account.returned += left;
        self.beyond = self.beyond.map(|beyond| beyond.saturating_add(left));
    }

    /// Takes Postgres's answer. Whether it says nothing of what is left, since it is of another period, or of terms
    /// that have changed.
    fn hears(&mut self, want: &Want, generation: u64, grant: &Grant) -> bool {
        if self.generation != generation {
            return true;
        }
        if self.account.period_start != want.period_start {
            let earlier = self.earlier.iter_mut().find(|account| account.period_start == want.period_start);
            if let Some(account) = earlier {
                account.hears(want, grant);
                account.returned += grant.granted;
            }
            return true;
        }
        self.account.hears(want, grant);
        self.left += grant.granted;
        self.beyond = Some(grant.left);
        let is_void = std::mem::take(&mut self.recalled);
        if is_void {
            self.return_all();
        }
        is_void
    }

    /// Drops what an earlier registration of the node was granted: it has been reclaimed. `false`: this one is the
    /// earlier one. Who has read it before the node began again must neither spend under it nor forget what the new
    /// one was granted, or the same quota would be granted to it twice.
    fn renew(&mut self, generation: u64) -> bool {
        if self.generation < generation {
            self.generation = generation;
            self.earlier.clear();
            self.account = Account::new(self.period.start);
            (self.left, self.recalled) = (0, false);
            (self.beyond, self.exhausted_until) = (None, None);
        }
        self.generation == generation
    }
}

#[cfg(test)]
mod tests;
