//! The scheme as a model: every interleaving of two workers, one of which may be taken for dead while it lives, every
//! cut into batches, and up to so many faults, walked through whole.
//!
//! A fault is a crash, a stop, a store that does not answer, an insert that is lost, applied without an answer, applied
//! in part, or given up while ClickHouse is still at it, a commit that is lost or applied without an answer, or a
//! partition taken from one that lives. What takes no fault: any pace of anybody, and rows that arrive long after
//! nobody waits for them any more.
//!
//! Schemes that are exact break no invariant anywhere. The others, each of which is exact except for one thing, must be
//! caught, with the shortest way there: a model that finds nothing proves nothing.
//!
//! `MODEL_FAULTS=3 cargo test --release -p processor --test model -- --nocapture` walks further than the tests do by
//! themselves.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test stops where something is wrong; the model's numbers are below a hundred"
)]

mod scheme;
mod world;
mod step;
mod canonical;
mod walk;

use scheme::{
    AtStart, CLASSIC, Cursor, Demand, Ends, Filled, Guard, Ids, OURS, Order, Others, ReadBack, Rule, Scheme,
    Table,
};
use walk::walk;
use world::{Entry, Scope};

const fn entry(id: u8, month: u8) -> Entry {
    Entry { id, month }
}

/// A client has sent the first event again; rows go to two table partitions.
const RETRIED: &[Entry] = &[entry(0, 0), entry(1, 0), entry(0, 1), entry(2, 1)];
/// Nobody has sent anything again.
const DISTINCT: &[Entry] = &[entry(0, 0), entry(1, 0), entry(2, 1), entry(3, 1)];

fn faults(usually: u8) -> u8 {
    #[expect(clippy::disallowed_methods, reason = "a test's own setting")]
    let set = std::env::var("MODEL_FAULTS");
    set.map_or(usually, |set| set.parse().unwrap())
}

fn is_exact(name: &str, scheme: &Scheme, log: &'static [Entry], usually: u8) {
    let began = std::time::Instant::now();
    let scope = Scope { log, faults: faults(usually) };
    let walk = walk(&scope, scheme);
    if let Some(broken) = walk.broken {
        panic!("{name}: broken after {} worlds\n{broken}", walk.worlds);
    }
    println!("{name}: {} faults, {} worlds, {:?}", scope.faults, walk.worlds, began.elapsed());
}

fn is_caught(name: &str, scheme: &Scheme) -> String {
    let scope = Scope { log: RETRIED, faults: faults(2) };
    let walk = walk(&scope, scheme);
    let Some(broken) = walk.broken else { panic!("{name}: not caught in {} worlds", walk.worlds) };
    println!("{name}: caught after {} worlds\n{broken}", walk.worlds);
    broken.what.to_owned()
}

#[test]
fn ours_is_exact() {
    is_exact("ours", &OURS, RETRIED, 2);
}

#[test]
fn ours_is_exact_where_nobody_retries() {
    is_exact("ours", &OURS, DISTINCT, 2);
}

#[test]
fn ours_is_exact_with_one_batch_after_the_other_or_three_at_once() {
    is_exact("one after the other", &Scheme { depth: 1, ..OURS }, RETRIED, 2);
    is_exact("three at once", &Scheme { depth: 3, cuts: &[1], ..OURS }, RETRIED, 2);
}

/// Of what a commit compares, the epoch or the offset alone would do for one partition; neither would not. The commit
/// compares both: a zombie is then refused at once, whatever it has got.
#[test]
fn either_half_of_the_guard_is_enough() {
    is_exact("epoch", &Scheme { guard: Guard::Epoch, ..OURS }, RETRIED, 1);
    is_exact("offset", &Scheme { guard: Guard::Offset, ..OURS }, RETRIED, 1);
}

/// What read-back is for: without it rows are doubled, but none is lost or billed twice, and `FINAL` is exact.
#[test]
fn without_any_read_back_final_is_exact_still() {
    let read_back = ReadBack { at_start: AtStart::Never, after_doubt: false };
    let ends = Ends { own: false, others: Others::Nobody };
    is_exact("no read-back", &Scheme { read_back, ends, demand: Demand::Final, ..OURS }, RETRIED, 2);
}

#[test]
fn ids_in_postgres_are_exact_too() {
    is_exact("classic", &CLASSIC, RETRIED, 2);
    let read_back = ReadBack { at_start: AtStart::Always, after_doubt: true };
    let ends = Ends { own: true, others: Others::OfPartition };
    let demand = Demand::RawUntilZombie;
    is_exact("classic, read back", &Scheme { read_back, ends, demand, ..CLASSIC }, RETRIED, 2);
}

/// ClickHouse's tokens would do if batches were always cut alike and no token were written without its rows.
#[test]
fn tokens_would_be_exact_with_fixed_cuts_and_a_log_that_does_not_burn() {
    is_exact(
        "tokens",
        &Scheme { table: Table::Tokens { burn: false }, demand: Demand::Raw, ..FIXED },
        RETRIED,
        2,
    );
}

const FIXED: Scheme = Scheme { cuts: &[2], ..CLASSIC };
const LOCAL: Ids = Ids::Local { rule: Rule::Earlier, filled: Filled::FromRows };

#[test]
fn schemes_that_are_often_built_are_caught() {
    let after = Scheme { cursor: Cursor::Kafka, ids: LOCAL, ..CLASSIC };
    assert_eq!(is_caught("commit to Kafka after the insert", &after), "an event is metered twice");
    let before = Scheme { cursor: Cursor::Kafka, order: Order::CommitThenInsert, ..CLASSIC };
    assert_eq!(is_caught("commit to Kafka before the insert", &before), "an event is never stored");
    let recut = Scheme { table: Table::Tokens { burn: false }, demand: Demand::Raw, ..CLASSIC };
    assert_eq!(is_caught("tokens, batches cut differently", &recut), "a row is there twice without FINAL");
    let burning = Scheme { table: Table::Tokens { burn: true }, demand: Demand::Raw, ..FIXED };
    assert_eq!(is_caught("tokens, the log as it is", &burning), "an event is metered that is not stored");
    let no_ids = Scheme { ids: Ids::Unknown, ..CLASSIC };
    assert_eq!(is_caught("no ids", &no_ids), "a client's retry is stored");
}

#[test]
fn ours_with_a_part_left_out_is_caught() {
    let twice = "a row is there twice without FINAL";
    let no_guard = Scheme { guard: Guard::Nothing, ..OURS };
    assert_eq!(is_caught("no compare-and-set", &no_guard), "an event is metered twice");
    let commit_first = Scheme { order: Order::CommitThenInsert, ..OURS };
    assert_eq!(is_caught("commit before insert", &commit_first), "an event is never stored");
    let empty = Scheme { ids: Ids::Local { rule: Rule::Earlier, filled: Filled::Empty }, ..OURS };
    assert_eq!(is_caught("an id store that starts empty", &empty), "a client's retry is stored");
    let known = Scheme { ids: Ids::Local { rule: Rule::Known, filled: Filled::FromRows }, ..OURS };
    assert_eq!(is_caught("a duplicate is what is known", &known), "an event is never metered");

    let read_back = |at_start, after_doubt| Scheme { read_back: ReadBack { at_start, after_doubt }, ..OURS };
    assert_eq!(is_caught("no read-back at a start", &read_back(AtStart::Never, true)), twice);
    assert_eq!(is_caught("read-back of the first batch only", &read_back(AtStart::FirstBatch, true)), twice);
    assert_eq!(is_caught("no read-back after doubt", &read_back(AtStart::UntilLastRow, false)), twice);

    let ends = |own, others| Scheme { ends: Ends { own, others }, ..OURS };
    assert_eq!(is_caught("an insert in doubt is not ended", &ends(false, Others::OfPartition)), twice);
    assert_eq!(is_caught("others' inserts are not ended", &ends(true, Others::Nobody)), twice);
    // The name is gone once its owner has let go, or once the one that asked for it has failed to end its inserts.
    assert_eq!(is_caught("only the last owner's are ended", &ends(true, Others::LastOwner)), twice);
}

/// What no scheme of this kind can have: a zombie's rows come when they come. `FINAL` and the books hold all the same.
#[test]
fn a_zombie_can_double_a_row_until_a_merge() {
    is_caught("raw rows with a zombie", &Scheme { demand: Demand::Raw, ..OURS });
}
