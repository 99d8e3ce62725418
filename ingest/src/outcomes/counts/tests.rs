use schemas::address::AddressPolicy;
use schemas::id::{ProjectId, TenantId};
use schemas::intake::Warning;
use schemas::key::{KeyHash, PresentedKey};
use schemas::problem::Code;

use super::*;
use crate::directory::Directory;
use crate::outcomes::Attempt;
use crate::tenant::Terms;

const NOW: Micros = Micros(30_000_000 * MINUTE + 7);

fn holder(project: i64, key: i64) -> Holder {
    Holder { tenant: TenantId(project), project: ProjectId(project), key: KeyId::from_number(key).unwrap() }
}

/// One request of so many accepted events.
fn accept(outcomes: &Outcomes, holder: Holder, at: Micros, events: u32) {
    let mut attempt = Attempt::new(outcomes);
    attempt.comes_from(holder, at);
    attempt.holds(events);
    attempt.count(Intake::Accepted, events);
    attempt.settle();
}

/// Project, key, minute, outcome, events, requests.
type TakenRow = (i64, Option<i64>, u32, &'static str, u64, u64);

/// What is there to be written.
fn taken(outcomes: &Outcomes) -> Vec<TakenRow> {
    let rows = outcomes.take();
    assert!(rows.is_sorted());
    rows.iter()
        .map(|row| {
            let outcome = row.key.outcome().unwrap().as_str();
            (
                row.key.project,
                row.key.key.map(KeyId::number),
                row.key.minute,
                outcome,
                row.events,
                row.requests,
            )
        })
        .collect()
}

const MINUTE_OF_NOW: u32 = 30_000_000;

#[test]
fn a_request_is_counted_once_however_it_ends() {
    let outcomes = Outcomes::default();
    let refused = |code, events: Option<u32>| {
        let mut attempt = Attempt::new(&outcomes);
        attempt.comes_from(holder(1, 7), NOW);
        if let Some(events) = events {
            attempt.holds(events);
            attempt.count(Intake::Refused(code), events);
            attempt.settle();
        }
        attempt.refused(code);
    };
    refused(Code::RateLimited, Some(5));
    refused(Code::RateLimited, Some(6));
    refused(Code::InvalidJson, None);
    refused(Code::InvalidJson, None);
    // Every event was bad: they were counted when the body was read.
    let mut attempt = Attempt::new(&outcomes);
    attempt.comes_from(holder(1, 7), NOW);
    attempt.holds(0);
    attempt.count(Intake::Refused(Code::InvalidEvent), 2);
    attempt.count(Intake::Warned(Warning::NoId), 0);
    attempt.settle();
    attempt.refused(Code::InvalidEvent);
    drop(attempt);
    // The client went away while its body was read, and while its events were.
    let mut attempt = Attempt::new(&outcomes);
    attempt.comes_from(holder(1, 7), NOW);
    drop(attempt);
    let mut attempt = Attempt::new(&outcomes);
    attempt.comes_from(holder(1, 7), NOW);
    attempt.holds(3);
    drop(attempt);
    // Nobody's.
    Attempt::new(&outcomes).refused(Code::UnknownKey);
    let mut rows = taken(&outcomes);
    rows.sort_by_key(|row| row.3);
    let row = |outcome, events, requests| (1, Some(7), MINUTE_OF_NOW, outcome, events, requests);
    let expected = [row("invalid_event", 2, 0), row("invalid_json", 0, 2), row("no_reply", 3, 1)];
    assert_eq!(rows[..3], expected);
    assert_eq!(rows[3..], [row("rate_limited", 11, 0)]);
}

#[test]
fn counts_are_those_of_the_whole_run_and_only_what_has_grown_is_written_again() {
    let outcomes = Outcomes::default();
    accept(&outcomes, holder(1, 7), NOW, 5);
    accept(&outcomes, holder(2, 8), NOW, 1);
    assert_eq!(taken(&outcomes).len(), 2);
    assert_eq!(taken(&outcomes), []);
    accept(&outcomes, holder(1, 7), NOW, 2);
    let first = (1, Some(7), MINUTE_OF_NOW, "accepted", 7, 0);
    let rows = outcomes.take();
    outcomes.put_back(&rows);
    assert_eq!(taken(&outcomes), [first], "what was not written is taken again");
    accept(&outcomes, holder(1, 7), Micros(NOW.0 + MINUTE), 2);
    assert_eq!(taken(&outcomes), [(1, Some(7), MINUTE_OF_NOW + 1, "accepted", 2, 0)]);
}

#[test]
fn a_minute_that_is_over_leaves_memory_once_it_is_written_and_never_begins_again() {
    let outcomes = Outcomes::default();
    let end = |seconds: i64| Micros(30_000_001 * MINUTE + seconds * Micros::SECOND);
    accept(&outcomes, holder(1, 7), NOW, 5);
    outcomes.close(end(OPEN_SECONDS));
    assert_eq!(outcomes.rows(), 1, "it is not written");
    assert_eq!(taken(&outcomes).len(), 1);
    let open = Outcomes::default();
    accept(&open, holder(1, 7), NOW, 5);
    assert_eq!(taken(&open).len(), 1);
    open.close(end(OPEN_SECONDS - 1));
    assert_eq!(open.rows(), 1, "it is still open");
    outcomes.close(end(OPEN_SECONDS));
    assert_eq!(outcomes.rows(), 0);
    accept(&outcomes, holder(1, 7), NOW, 3);
    let late = (1, Some(7), MINUTE_OF_NOW + 1, "accepted", 3, 0);
    assert_eq!(taken(&outcomes), [late], "in the first minute that is open");
    // A clock that is set back opens nothing again.
    outcomes.close(Micros(0));
    assert_eq!(outcomes.rows(), 1);
}

#[test]
fn beyond_the_limit_keys_are_counted_as_their_project_and_then_in_metrics_alone() {
    let outcomes = Outcomes::new(3);
    (0..3).for_each(|key| accept(&outcomes, holder(1, key), NOW, 1));
    assert!(taken(&outcomes).iter().all(|row| row.1.is_some() && row.4 == 1));
    assert_eq!(outcomes.rows(), 3);
    accept(&outcomes, holder(1, 3), NOW, 10);
    accept(&outcomes, holder(1, 4), NOW, 20);
    accept(&outcomes, holder(1, 2), NOW, 1);
    let rows = taken(&outcomes);
    let expected =
        [(1, None, MINUTE_OF_NOW, "accepted", 30, 0), (1, Some(2), MINUTE_OF_NOW, "accepted", 2, 0)];
    assert_eq!(rows, expected, "one that has a row keeps it");
    (2..4).for_each(|project| accept(&outcomes, holder(project, 100 + project), NOW, 1));
    assert_eq!((outcomes.rows(), outcomes.take_lost()), (6, 0));
    accept(&outcomes, holder(4, 104), NOW, 9);
    assert_eq!((outcomes.rows(), outcomes.take_lost()), (6, 9));
    assert_eq!(outcomes.take_lost(), 0);
    outcomes.take();
    outcomes.close(Micros(NOW.0 + 2 * MINUTE));
    assert_eq!(outcomes.rows(), 0, "all of it comes back");
    accept(&outcomes, holder(4, 104), Micros(NOW.0 + 2 * MINUTE), 1);
    assert_eq!(taken(&outcomes), [(4, Some(104), MINUTE_OF_NOW + 2, "accepted", 1, 0)]);
}

#[test]
fn threads_that_count_while_minutes_are_written_and_closed_lose_nothing() {
    const THREADS: i64 = 4;
    const REQUESTS: i64 = 20_000;
    let outcomes = Outcomes::default();
    let written = Mutex::new(std::collections::HashMap::new());
    let write = || {
        for row in outcomes.take() {
            // As Postgres has it: the row's number, not the difference.
            let before = written.lock().insert(row.key, row.events).unwrap_or(0);
            assert!(before < row.events, "{before} {row:?}");
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let outcomes = &outcomes;
            scope.spawn(move || {
                for request in 0..REQUESTS {
                    // Half of them come a minute too late.
                    let minute = request / 100 - request % 2;
                    accept(outcomes, holder(thread % 2, thread), Micros(NOW.0 + minute * MINUTE), 1);
                }
            });
        }
        for minute in 0..REQUESTS / 100 {
            write();
            outcomes.close(Micros(NOW.0 + minute * MINUTE));
        }
    });
    write();
    let total: u64 = written.lock().values().sum();
    assert_eq!(total, u64::try_from(THREADS * REQUESTS).unwrap());
    outcomes.close(Micros(NOW.0 + (REQUESTS + 1) * MINUTE));
    assert_eq!(outcomes.rows(), 0);
}

#[test]
fn nobody_is_the_holder_of_a_key_by_its_public_part_alone() {
    let terms = Terms {
        active: true,
        quota: None,
        rate: None,
        zone: chrono_tz::Tz::UTC,
        client_ip: AddressPolicy::Full,
    };
    let (id, hash) = (KeyId::from_number(7).unwrap(), KeyHash([1; 32]));
    let key = (PresentedKey { id, hash }, TenantId(2), ProjectId(3));
    let directory = Directory::of([(TenantId(2), terms)], [key]);
    let expected = Holder { tenant: TenantId(2), project: ProjectId(3), key: id };
    assert_eq!(directory.holder(&PresentedKey { id, hash: KeyHash([1; 32]) }), Some(expected));
    assert_eq!(directory.holder(&PresentedKey { id, hash: KeyHash([2; 32]) }), None);
}
