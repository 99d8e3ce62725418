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
    assert_eq!(slice.sweep(1, false).0, [(LeaseId(9), 10)]);
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
    assert_eq!(slice.sweep(1, false).0, [(LeaseId(9), 10)], "what was leased ahead is given back");
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
