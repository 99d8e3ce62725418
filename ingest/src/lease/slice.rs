use std::time::{Duration, Instant};

use chrono_tz::Tz;
use metering::lease::{Grant, Want};
use metering::period::Period;
use parking_lot::Mutex;
use schemas::id::{LeaseId, TenantId};
use schemas::time::Micros;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::{EXHAUSTED_FOR, Spent};

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

/// How an attempt to spend ended.
#[derive(Debug)]
pub(super) enum Attempt {
    /// With this.
    Took(Spent),
    /// The slice is too small, and whether there is more is not known.
    Short,
}

/// A request that waits for a slice; counted for as long as it lives.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a Slice, i64);

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
    pub(super) fn period(&self, at: Micros, zone: Tz) -> Period {
        let mut state = self.state.lock();
        state.roll(at, zone);
        state.period
    }

    /// The period, if Postgres has just said that it has nothing left, and neither has the slice.
    pub(super) fn used_up(&self, at: Micros, generation: u64) -> Option<Period> {
        let state = self.state.lock();
        let is_known = state.generation == generation && at < state.period.end;
        let is_exhausted = state.exhausted_until.is_some_and(|until| Instant::now() < until);
        (is_known && is_exhausted && state.left == 0).then_some(state.period)
    }

    /// Completes at the next grant.
    pub(super) fn granted(&self) -> Notified<'_> {
        self.granted.notified()
    }

    pub(super) fn wait_for(&self, events: u32) -> Waiting<'_> {
        self.state.lock().waiting += i64::from(events);
        Waiting(self, i64::from(events))
    }

    /// Tries to spend, and says whether the slice runs low. `generation` is the node's, if it may spend at all.
    pub(super) fn attempt(
        &self,
        at: Micros,
        zone: Tz,
        events: u32,
        generation: Option<u64>,
    ) -> (Attempt, bool) {
        let mut state = self.state.lock();
        state.roll(at, zone);
        let Some(generation) = generation else { return (Attempt::Short, false) };
        state.renew(generation);
        let wanted = i64::from(events);
        let exhausted = state.exhausted_until.is_some_and(|until| Instant::now() < until);
        if state.left < wanted && !exhausted {
            return (Attempt::Short, false);
        }
        let taken = state.left.min(wanted);
        state.left -= taken;
        state.busy |= taken > 0;
        let low = !exhausted && state.left < state.like / 2;
        let events = u32::try_from(taken).unwrap_or_default();
        (Attempt::Took(Spent { lease: state.lease, period: state.period, events, generation }), low)
    }

    pub(super) fn refund(&self, spent: &Spent) {
        let mut state = self.state.lock();
        if (spent.lease, spent.generation) == (state.lease, state.generation) && spent.lease != LeaseId::NONE
        {
            state.left += i64::from(spent.events);
        }
    }

    /// Marks the slice as queued for a refill; `false` if it was.
    pub(super) fn queue(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().queued, true)
    }

    /// What to ask Postgres for.
    pub(super) fn want(&self, tenant: TenantId) -> Want {
        let mut state = self.state.lock();
        let short_lived = state.refilled_at.is_some_and(|at| at.elapsed() < LASTS);
        state.like =
            if short_lived { (state.like * 2).min(LIKE_MAX) } else { (state.like / 2).max(LIKE_FIRST) };
        state.refilled_at = Some(Instant::now());
        let need = (state.waiting - state.left).max(0);
        Want { tenant, period_start: state.period.start, need, like: state.like }
    }

    /// Takes Postgres's answer to `want`; `None`: the tenant has no cap any more.
    pub(super) fn refill(&self, want: &Want, generation: u64, grant: Option<Grant>) {
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
    pub(super) fn sweep(&self, generation: u64, all: bool) -> (Vec<(LeaseId, i64)>, bool) {
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
mod tests {
    use super::*;

    const NOW: Micros = Micros(1_795_000_000_000_000);

    fn spend(slice: &Slice, events: u32) -> Option<u32> {
        match slice.attempt(NOW, Tz::UTC, events, Some(1)).0 {
            Attempt::Took(spent) => Some(spent.events),
            Attempt::Short => None,
        }
    }

    /// Postgres grants `granted` events to a request that waits for `events`.
    fn refill_for(slice: &Slice, events: u32, granted: i64) {
        let _waiting = slice.wait_for(events);
        let want = slice.want(TenantId(1));
        let (tenant, period_start) = (want.tenant, want.period_start);
        let grant = Grant { tenant, period_start, lease: LeaseId(9), granted, left: 50 };
        slice.refill(&want, 1, Some(grant));
    }

    fn refill(slice: &Slice, granted: i64) {
        refill_for(slice, 1, granted);
    }

    #[test]
    fn a_slice_is_spent_to_its_last_event_and_no_further() {
        let slice = Slice::default();
        assert_eq!(spend(&slice, 1), None, "nothing is known yet");
        refill(&slice, 10);
        assert_eq!(spend(&slice, 10), Some(10));
        assert_eq!(spend(&slice, 1), None, "more may be had");
        refill(&slice, 0);
        assert_eq!(spend(&slice, 1), Some(0), "used up");
    }

    #[test]
    fn a_batch_that_straddles_the_cap_takes_what_is_left() {
        let slice = Slice::default();
        assert_eq!(spend(&slice, 8), None);
        refill_for(&slice, 8, 5);
        assert_eq!(spend(&slice, 8), Some(5));
        assert_eq!(spend(&slice, 8), Some(0));
    }

    #[test]
    fn a_changed_plan_is_asked_about_at_once() {
        let slice = Slice::default();
        assert_eq!(spend(&slice, 1), None);
        refill(&slice, 0);
        assert_eq!(spend(&slice, 1), Some(0));
        slice.revise(0);
        assert_eq!(spend(&slice, 1), None);
    }

    #[test]
    fn it_is_known_to_be_used_up_from_the_last_event_until_the_plan_or_the_period_changes() {
        let slice = Slice::default();
        let used_up = |at| slice.used_up(at, 1).is_some();
        assert_eq!((used_up(NOW), spend(&slice, 2)), (false, None));
        refill_for(&slice, 2, 1);
        assert!(!used_up(NOW), "one is left");
        assert_eq!(spend(&slice, 2), Some(1));
        assert!(used_up(NOW));
        assert!(slice.used_up(NOW, 2).is_none(), "of another registration nothing is known");
        assert!(!used_up(Micros(NOW.0 + 31 * 24 * Micros::HOUR)), "the next period has a quota of its own");
        slice.revise(1);
        assert!(!used_up(NOW), "the plan has changed");
    }

    #[test]
    fn a_refill_that_nobody_waited_for_never_means_used_up() {
        let slice = Slice::default();
        assert_eq!(spend(&slice, 1), None);
        refill_for(&slice, 0, 0);
        assert_eq!(spend(&slice, 1), None, "more may be had");
    }

    #[test]
    fn slices_of_a_reclaimed_registration_are_void() {
        let slice = Slice::default();
        assert_eq!(spend(&slice, 1), None);
        refill(&slice, 10);
        assert!(matches!(slice.attempt(NOW, Tz::UTC, 1, Some(2)).0, Attempt::Short));
    }

    #[test]
    fn a_node_that_lost_touch_spends_nothing() {
        let slice = Slice::default();
        assert_eq!(spend(&slice, 1), None);
        refill(&slice, 10);
        assert!(matches!(slice.attempt(NOW, Tz::UTC, 1, None).0, Attempt::Short));
        assert_eq!(spend(&slice, 1), Some(1), "it may go on when it is back in time");
    }

    #[test]
    fn a_new_period_begins_with_a_new_slice_and_gives_the_old_one_back() {
        let slice = Slice::default();
        assert_eq!(spend(&slice, 1), None);
        refill(&slice, 10);
        let next_month = Micros(NOW.0 + 31 * 24 * Micros::HOUR);
        assert!(matches!(slice.attempt(next_month, Tz::UTC, 1, Some(1)).0, Attempt::Short));
        assert_eq!(slice.sweep(1, false).0, [(LeaseId(9), 10)]);
        // A request that was received just before the roll is counted in the period that the slice has reached.
        refill(&slice, 1);
        let began = Period::month_of(next_month, Tz::UTC).start;
        let Attempt::Took(spent) = slice.attempt(Micros(began.0 - LATE_MAX), Tz::UTC, 1, Some(1)).0 else {
            panic!("a slice is there")
        };
        assert!(spent.period.holds(next_month));
    }

    #[test]
    fn a_slice_goes_back_with_a_clock_that_was_ahead() {
        let slice = Slice::default();
        let next_month = Micros(NOW.0 + 31 * 24 * Micros::HOUR);
        assert!(matches!(slice.attempt(next_month, Tz::UTC, 1, Some(1)).0, Attempt::Short));
        refill(&slice, 10);
        assert!(
            matches!(slice.attempt(NOW, Tz::UTC, 1, Some(1)).0, Attempt::Short),
            "nothing is leased here"
        );
        assert_eq!(slice.sweep(1, false).0, [(LeaseId(9), 10)], "what was leased ahead is given back");
        refill(&slice, 1);
        let Attempt::Took(spent) = slice.attempt(NOW, Tz::UTC, 1, Some(1)).0 else {
            panic!("a slice is there")
        };
        assert!(spent.period.holds(NOW));
        assert!(slice.period(next_month, Tz::UTC).holds(next_month), "also of a tenant without a cap");
        assert!(slice.period(NOW, Tz::UTC).holds(NOW));
    }

    #[test]
    fn what_is_refunded_can_be_spent_again() {
        let slice = Slice::default();
        assert_eq!(spend(&slice, 3), None);
        refill(&slice, 3);
        let Attempt::Took(spent) = slice.attempt(NOW, Tz::UTC, 3, Some(1)).0 else {
            panic!("a slice is there")
        };
        slice.refund(&spent);
        assert_eq!(spend(&slice, 3), Some(3));
    }

    #[test]
    fn what_is_left_is_what_this_node_and_postgres_have() {
        let slice = Slice::default();
        let left = || slice.left(NOW, Tz::UTC).1;
        assert_eq!((left(), spend(&slice, 1)), (None, None), "nothing is known yet");
        refill(&slice, 10);
        assert_eq!(left(), Some(60));
        assert_eq!((spend(&slice, 4), left()), (Some(4), Some(56)));
        slice.revise(-30);
        assert_eq!(left(), Some(26));
        slice.sweep(1, true);
        assert_eq!(left(), Some(26), "what is given back is not gone");
        assert_eq!(slice.left(Micros(NOW.0 + 40 * 24 * Micros::HOUR), Tz::UTC).1, None);
    }

    #[test]
    fn an_idle_slice_is_given_back_and_a_busy_one_is_not() {
        let slice = Slice::default();
        assert_eq!(spend(&slice, 1), None);
        refill(&slice, 10);
        assert_eq!(spend(&slice, 1), Some(1));
        assert_eq!(slice.sweep(1, false), (vec![], true));
        assert_eq!(slice.sweep(1, false), (vec![(LeaseId(9), 9)], false));
        assert_eq!(spend(&slice, 1), None);
    }
}
