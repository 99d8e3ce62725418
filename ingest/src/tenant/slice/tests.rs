use super::*;

const NOW: Micros = Micros(1_795_000_000_000_000);

fn spend(slice: &Slice, events: u32) -> Option<u32> {
    match slice.attempt(NOW, Tz::UTC, events, Some(1)).0 {
        Spend::Took(spent) => Some(spent.events),
        Spend::Short => None,
    }
}

/// Postgres grants `granted` events to a request that waits for `events`.
fn refill_for(slice: &Slice, events: u32, granted: i64) {
    let _waiting = slice.wait_for(events);
    let want = slice.want(TenantId(1), 1, true);
    slice.refill(&want, 1, Some(grant(&want, granted)));
}

fn grant(want: &Want, granted: i64) -> Grant {
    let &Want { tenant, period_start, .. } = want;
    // One lease of each period.
    let lease = LeaseId(period_start.seconds());
    Grant { tenant, period_start, lease, granted, left: 50 }
}

/// What goes back by a sweep that Postgres confirms, as totals by period.
fn sweep(slice: &Slice, all: bool) -> (Vec<(Micros, i64)>, bool) {
    let (wants, holds) = slice.sweep(TenantId(1), Sweep { generation: 1, now: NOW, all }, true);
    wants.iter().for_each(|want| slice.hears(want, 1, &grant(want, 0)));
    (wants.iter().map(|want| (want.period_start, want.returned)).collect(), holds)
}

fn month_of(at: Micros) -> Micros {
    Period::month_of(at, Tz::UTC).start
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
fn who_has_read_an_earlier_registration_spends_nothing_and_forgets_nothing_of_the_new_one() {
    let slice = Slice::default();
    let attempt = |generation| match slice.attempt(NOW, Tz::UTC, 40, Some(generation)).0 {
        Spend::Took(spent) => Some(spent.events),
        Spend::Short => None,
    };
    assert_eq!(attempt(2), None);
    let want = slice.want(TenantId(1), 2, true);
    slice.refill(&want, 2, Some(grant(&want, 100)));
    assert_eq!(attempt(2), Some(40));
    assert_eq!(attempt(1), None);
    assert_eq!(attempt(2), Some(40));
    let named = slice.want(TenantId(1), 2, true);
    assert_eq!(named.taken, 100, "or Postgres would grant it again, and charge nothing");
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
    slice.revise(0, false);
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
    slice.revise(1, false);
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
    assert!(matches!(slice.attempt(NOW, Tz::UTC, 1, Some(2)).0, Spend::Short));
}

#[test]
fn a_node_that_lost_touch_spends_nothing() {
    let slice = Slice::default();
    assert_eq!(spend(&slice, 1), None);
    refill(&slice, 10);
    assert!(matches!(slice.attempt(NOW, Tz::UTC, 1, None).0, Spend::Short));
    assert_eq!(spend(&slice, 1), Some(1), "it may go on when it is back in time");
}

#[test]
fn a_new_period_begins_with_a_new_slice_and_gives_the_old_one_back() {
    let slice = Slice::default();
    assert_eq!(spend(&slice, 1), None);
    refill(&slice, 10);
    let next_month = Micros(NOW.0 + 31 * 24 * Micros::HOUR);
    assert!(matches!(slice.attempt(next_month, Tz::UTC, 1, Some(1)).0, Spend::Short));
    assert_eq!(sweep(&slice, false).0, [(month_of(NOW), 10)]);
    // A request that was received just before the roll is counted in the period that the slice has reached.
    refill(&slice, 1);
    let began = Period::month_of(next_month, Tz::UTC).start;
    let Spend::Took(spent) = slice.attempt(Micros(began.0 - LATE_MAX), Tz::UTC, 1, Some(1)).0 else {
        panic!("a slice is there")
    };
    assert!(spent.period.holds(next_month));
}

#[test]
fn a_slice_goes_back_with_a_clock_that_was_ahead() {
    let slice = Slice::default();
    let next_month = Micros(NOW.0 + 31 * 24 * Micros::HOUR);
    assert!(matches!(slice.attempt(next_month, Tz::UTC, 1, Some(1)).0, Spend::Short));
    refill(&slice, 10);
    assert!(matches!(slice.attempt(NOW, Tz::UTC, 1, Some(1)).0, Spend::Short), "nothing is leased here");
    assert_eq!(sweep(&slice, false).0, [(month_of(next_month), 10)], "what was leased ahead is given back");
    refill(&slice, 1);
    let Spend::Took(spent) = slice.attempt(NOW, Tz::UTC, 1, Some(1)).0 else { panic!("a slice is there") };
    assert!(spent.period.holds(NOW));
    assert!(slice.period(next_month, Tz::UTC).holds(next_month), "also of a tenant without a cap");
    assert!(slice.period(NOW, Tz::UTC).holds(NOW));
}

#[test]
fn what_is_refunded_can_be_spent_again() {
    let slice = Slice::default();
    assert_eq!(spend(&slice, 3), None);
    refill(&slice, 3);
    let Spend::Took(spent) = slice.attempt(NOW, Tz::UTC, 3, Some(1)).0 else { panic!("a slice is there") };
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
    slice.revise(-30, false);
    assert_eq!(left(), Some(26));
    slice.sweep(TenantId(1), Sweep { generation: 1, now: NOW, all: true }, true);
    assert_eq!(left(), Some(26), "what is given back is not gone");
    assert_eq!(slice.left(Micros(NOW.0 + 40 * 24 * Micros::HOUR), Tz::UTC).1, None);
}

#[test]
fn an_idle_slice_is_given_back_and_a_busy_one_is_not() {
    let slice = Slice::default();
    assert_eq!(spend(&slice, 1), None);
    refill(&slice, 10);
    assert_eq!(spend(&slice, 1), Some(1));
    assert_eq!(sweep(&slice, false), (vec![], true));
    assert_eq!(sweep(&slice, false), (vec![(month_of(NOW), 9)], true));
    assert_eq!(sweep(&slice, false), (vec![], false));
    assert_eq!(spend(&slice, 1), None);
}

#[test]
fn what_is_given_back_is_named_until_it_is_confirmed_and_a_lost_grant_is_found() {
    let slice = Slice::default();
    assert_eq!(spend(&slice, 1), None);
    refill(&slice, 10);
    // The answer to a further refill is lost.
    let lost = slice.want(TenantId(1), 1, true);
    assert_eq!((lost.taken, lost.returned), (10, 0));
    let by = Sweep { generation: 1, now: NOW, all: false };
    let unheard = || slice.sweep(TenantId(1), by, true).0;
    let [first] = unheard()[..] else { panic!("it is idle") };
    let [again] = unheard()[..] else { panic!("nothing was heard") };
    assert_eq!((again, first.taken, first.returned), (first, 10, 10));
    // The lost answer had granted five.
    slice.hears(&again, 1, &grant(&again, 5));
    assert_eq!(sweep(&slice, false).0, [(month_of(NOW), 15)]);
    assert_eq!(sweep(&slice, false), (vec![], false));
    let next = slice.want(TenantId(1), 1, true);
    assert_eq!((next.taken, next.returned), (15, 15));
    assert_eq!(slice.want(TenantId(1), 2, true).taken, 0, "another registration has another lease");
}

#[test]
fn a_smaller_cap_recalls_what_is_held_and_what_is_on_its_way() {
    let slice = Slice::default();
    assert_eq!(spend(&slice, 1), None);
    refill(&slice, 10);
    let asked = slice.want(TenantId(1), 1, false);
    slice.revise(0, true);
    assert_eq!(spend(&slice, 1), None, "it was granted under no cap");
    slice.refill(&asked, 1, Some(grant(&asked, 20)));
    assert_eq!(spend(&slice, 1), None, "so was this");
    refill(&slice, 2);
    assert_eq!(spend(&slice, 5), None);
    assert_eq!(sweep(&slice, true).0, [(month_of(NOW), 32)]);
}

#[test]
fn a_refund_after_the_period_has_ended_goes_back_to_that_period() {
    let slice = Slice::default();
    assert_eq!(spend(&slice, 3), None);
    refill(&slice, 3);
    let Spend::Took(spent) = slice.attempt(NOW, Tz::UTC, 3, Some(1)).0 else { panic!("a slice is there") };
    let next_month = Micros(NOW.0 + 31 * 24 * Micros::HOUR);
    assert!(matches!(slice.attempt(next_month, Tz::UTC, 1, Some(1)).0, Spend::Short));
    slice.refund(&spent);
    assert_eq!(sweep(&slice, false).0, [(month_of(NOW), 3)]);
}

#[test]
fn slices_of_a_tenant_without_a_cap_are_large_and_stay_while_it_sends_nothing() {
    let slice = Slice::default();
    let by = Sweep { generation: 1, now: NOW, all: false };
    assert!(matches!(slice.attempt(NOW, Tz::UTC, 1, Some(1)).0, Spend::Short));
    let want = slice.want(TenantId(1), 1, false);
    assert_eq!((want.need, want.like), (0, COUNTED.first));
    slice.refill(&want, 1, Some(grant(&want, want.like)));
    assert_eq!(slice.sweep(TenantId(1), by, false), (vec![], true));
    let after = Sweep { now: Micros(NOW.0 + 31 * 24 * Micros::HOUR), ..by };
    assert_eq!(slice.sweep(TenantId(1), after, false).0.len(), 1, "its period has ended");
}
