//! What stores answer, whatever happens to them in between.

mod damage;
mod model;

use std::path::Path;
use std::time::Duration;

use schemas::id::{EventHash, Position, ProjectId};
use schemas::time::Micros;
use tempfile::TempDir;

use super::{IdStores, Seen, SeenIds};

const WINDOW: Duration = Duration::from_hours(7 * 24);
const DAY: i64 = 24 * Micros::HOUR;
const NOON: Micros = Micros(20_000 * DAY + 12 * Micros::HOUR);
const LOG: &str = "a log";
/// Ids of a table in these tests.
const TABLE: u64 = 56;

fn stores(root: &Path) -> IdStores {
    IdStores::new(root.to_owned(), LOG, 1, WINDOW, 16 << 20).with_places(64)
}

/// A store that is complete, and knows nothing yet.
fn new_store(stores: &IdStores) -> SeenIds {
    let opened = stores.open(0, 0).unwrap();
    assert_eq!(opened.holds_below, None);
    let mut store = opened.store;
    store.filled(Position::from_number(1)).unwrap();
    store
}

/// A store as the last one left it.
fn again(stores: &IdStores) -> SeenIds {
    let mut opened = stores.open(0, 0).unwrap();
    let end = opened.holds_below.expect("what is on disk can be used");
    opened.store.filled(end).unwrap();
    opened.store
}

fn id(n: u64) -> EventHash {
    EventHash::of(ProjectId(1), &n.to_string())
}

fn event(n: u64, position: u64) -> Seen {
    Seen { project: ProjectId(1), hash: id(n), position: Position::from_number(position), received_at: NOON }
}

fn see_one(store: &mut SeenIds, seen: Seen) -> bool {
    let answers = store.see(&[seen]).unwrap();
    assert_eq!(answers.len(), 1);
    answers[0]
}

/// Events with ids of those numbers, each at the position of its number and `shift`.
fn events(numbers: std::ops::Range<u64>, shift: u64) -> Vec<Seen> {
    numbers.map(|n| event(n, n + shift)).collect()
}

#[test]
fn an_id_is_a_duplicate_only_after_its_first_position_in_memory_and_on_disk() {
    let folder = TempDir::new().unwrap();
    let stores = stores(folder.path());
    let mut store = new_store(&stores);
    for _ in 0..2 {
        assert!(!see_one(&mut store, event(7, 5)), "the first, and reading it again");
        assert!(see_one(&mut store, event(7, 6)));
        assert!(!see_one(&mut store, event(7, 5)), "reading the first again");
        assert!(see_one(&mut store, event(7, 6)), "reading the second again");
        store.flush().unwrap();
        assert_eq!((store.runs(), store.len()), (1, 1), "what is on disk is not written again");
    }
    let mut store = {
        drop(store);
        again(&stores)
    };
    assert!(!see_one(&mut store, event(7, 5)) && see_one(&mut store, event(7, 6)));
}

#[test]
fn repetitions_within_a_batch_count() {
    let folder = TempDir::new().unwrap();
    let mut store = new_store(&stores(folder.path()));
    let batch = [event(1, 10), event(2, 11), event(1, 12), event(2, 13), event(3, 14)];
    assert_eq!(store.see(&batch).unwrap(), [false, false, true, true, false]);
    store.flush().unwrap();
    assert_eq!(store.see(&batch).unwrap(), [false, false, true, true, false], "read again");
    let later = [event(1, 20), event(1, 21), event(4, 22), event(4, 23)];
    assert_eq!(store.see(&later).unwrap(), [true, true, false, true]);
}

#[test]
fn an_earlier_position_that_comes_later_is_the_first_from_then_on() {
    let folder = TempDir::new().unwrap();
    let mut store = new_store(&stores(folder.path()));
    assert!(!see_one(&mut store, event(1, 50)));
    store.flush().unwrap();
    assert!(!see_one(&mut store, event(1, 40)), "a replay of what stood there all the time");
    for _ in 0..2 {
        assert!(see_one(&mut store, event(1, 45)));
        assert!(see_one(&mut store, event(1, 50)));
        assert!(!see_one(&mut store, event(1, 40)));
        store.flush().unwrap();
    }
    assert_eq!(store.runs(), 2);
}

#[test]
fn a_forced_collision_of_hashes_hides_nothing_of_another_project() {
    let folder = TempDir::new().unwrap();
    let mut store = new_store(&stores(folder.path()));
    let of = |project, position| Seen { project: ProjectId(project), ..event(7, position) };
    assert!(!see_one(&mut store, of(1, 5)));
    assert!(!see_one(&mut store, of(2, 6)));
    store.flush().unwrap();
    assert!(!see_one(&mut store, of(3, 7)), "the filter lets it through, the block does not have it");
    assert!(see_one(&mut store, of(2, 8)));
    // Two blocks of one hash: the index can't distinguish them.
    let many: Vec<Seen> = (0..1_000).map(|n| of(10 + i64::try_from(n).unwrap(), 100 + n)).collect();
    assert!(store.see(&many).unwrap().iter().all(|duplicate| !duplicate));
    store.flush().unwrap();
    store.settle().unwrap();
    let again: Vec<Seen> =
        many.iter().map(|seen| Seen { position: Position::from_number(9_999), ..*seen }).collect();
    assert!(store.see(&again).unwrap().iter().all(|duplicate| *duplicate));
    assert!(!see_one(&mut store, of(5_000, 10_000)));
}

#[test]
fn an_event_of_the_future_lets_no_id_be_forgotten() {
    let folder = TempDir::new().unwrap();
    let stores = stores(folder.path());
    let mut store = new_store(&stores);
    let at = |n, position, at| Seen { received_at: Micros(at), ..event(n, position) };
    assert!(!see_one(&mut store, at(1, 1, NOON.0)));
    assert!(!see_one(&mut store, at(2, 2, NOON.0 + 40 * DAY)));
    store.forget_before(Micros(NOON.0 + DAY)).unwrap();
    assert!(see_one(&mut store, at(1, 3, NOON.0 + DAY)));
}

#[test]
fn ids_are_forgotten_by_the_hour_after_the_window_and_not_before() {
    let folder = TempDir::new().unwrap();
    for on_disk in [false, true] {
        let root = folder.path().join(on_disk.to_string());
        let stores = stores(&root);
        let mut store = new_store(&stores);
        let at = |n, position, at| Seen { received_at: Micros(at), ..event(n, position) };
        let batch = [at(1, 1, NOON.0 - 1), at(2, 2, NOON.0), at(3, 3, NOON.0 + 7 * DAY - 1)];
        assert_eq!(store.see(&batch).unwrap(), [false; 3]);
        if on_disk {
            store.flush().unwrap();
        }
        let in_a_week = NOON.0 + 7 * DAY;
        store.forget_before(Micros(in_a_week)).unwrap();
        assert!(see_one(&mut store, at(1, 4, in_a_week - 1)), "an hour is kept until all of it is too old");
        assert!(see_one(&mut store, at(2, 5, in_a_week)));
        store.forget_before(Micros(in_a_week - 1)).unwrap();
        assert!(see_one(&mut store, at(1, 6, in_a_week)), "not by a clock that is behind");
        store.forget_before(Micros(in_a_week)).unwrap();
        assert!(see_one(&mut store, at(2, 7, in_a_week)));
        assert!(!see_one(&mut store, at(1, 8, in_a_week)), "on disk: {on_disk}");
        assert!(see_one(&mut store, at(1, 9, in_a_week)), "first seen at 8");
        store.forget_before(Micros(in_a_week + Micros::HOUR)).unwrap();
        assert!(see_one(&mut store, at(2, 10, in_a_week)), "no event is an hour younger yet");
        assert!(!see_one(&mut store, at(4, 11, in_a_week + Micros::HOUR)));
        store.forget_before(Micros(in_a_week + Micros::HOUR)).unwrap();
        assert!(!see_one(&mut store, at(2, 12, in_a_week + Micros::HOUR)));
        assert!(see_one(&mut store, at(3, 13, in_a_week + Micros::HOUR)));
        store.flush().unwrap();
        drop(store);
        let mut store = again(&stores);
        assert_eq!(
            store.see(&[at(1, 14, in_a_week), at(2, 15, in_a_week), at(5, 16, in_a_week)]).unwrap(),
            [true, true, false]
        );
    }
}

#[test]
fn a_processor_that_is_days_behind_forgets_nothing_that_its_events_still_need() {
    let folder = TempDir::new().unwrap();
    let mut store = new_store(&stores(folder.path()));
    assert!(!see_one(&mut store, event(1, 1)));
    store.forget_before(Micros(NOON.0 + 30 * DAY)).unwrap();
    assert!(see_one(&mut store, Seen { received_at: Micros(NOON.0 + 6 * DAY), ..event(1, 2) }));
}

#[test]
fn old_ids_leave_the_disk_as_whole_files() {
    let folder = TempDir::new().unwrap();
    let stores = stores(folder.path());
    let mut store = new_store(&stores);
    for day in 0..20_u64 {
        let received_at = Micros(NOON.0 + i64::try_from(day).unwrap() * DAY);
        let numbers = day * 100..day * 100 + 100;
        let batch: Vec<Seen> = numbers.map(|n| Seen { received_at, ..event(n, n + 1) }).collect();
        assert!(store.see(&batch).unwrap().iter().all(|duplicate| !duplicate));
        store.forget_before(received_at).unwrap();
        store.settle().unwrap();
    }
    assert!((700..=900).contains(&store.len()), "{}", store.len());
    let files = std::fs::read_dir(folder.path().join("0")).unwrap().count();
    assert_eq!(files, store.runs() + 2, "runs, lock and manifest");
    assert!(store.runs() <= 10, "one a day, and those of today: {}", store.runs());
    let spans = (12..20).map(|day| day * 100);
    for n in spans {
        assert!(
            see_one(&mut store, Seen { received_at: Micros(NOON.0 + 19 * DAY), ..event(n, 5_000 + n) }),
            "{n}"
        );
    }
}

#[test]
fn a_store_is_used_again_only_for_what_it_was_filled_for() {
    let folder = TempDir::new().unwrap();
    let fill = |name: &str| {
        let root = folder.path().join(name);
        let mut store = new_store(&stores(&root));
        store.see(&events(0..200, 1)).unwrap();
        store.flush().unwrap();
        root
    };
    let open = |root: &Path, log, window, generation| {
        IdStores::new(root.to_owned(), log, 1, window, 16 << 20).open(0, generation).unwrap()
    };
    let hours = |hours| Duration::from_hours(hours);
    for (name, log, window, generation) in [
        ("other log", "b log", WINDOW, 0),
        ("other generation", LOG, WINDOW, 1),
        ("window an hour larger", LOG, hours(7 * 24 + 1), 0),
    ] {
        let root = fill(name);
        let opened = open(&root, log, window, generation);
        assert_eq!((opened.holds_below, opened.store.len()), (None, 0), "{name}");
        assert_eq!(std::fs::read_dir(root.join("0")).unwrap().count(), 1, "{name}: only the lock is left");
    }
    let root = fill("window an hour smaller");
    let opened = open(&root, LOG, hours(7 * 24 - 1), 0);
    assert_eq!(opened.holds_below, Some(Position::from_number(201)));
    assert_eq!(opened.store.len(), 200);
    let root = fill("another partition's");
    std::fs::rename(root.join("0"), root.join("1")).unwrap();
    assert_eq!(stores(&root).open(1, 0).unwrap().holds_below, None);
}

#[test]
fn what_was_in_memory_is_asked_for_again_and_what_was_on_disk_is_not() {
    let folder = TempDir::new().unwrap();
    let stores = stores(folder.path());
    let mut store = new_store(&stores);
    store.see(&events(0..TABLE, 1)).unwrap();
    store.flush().unwrap();
    store.see(&events(TABLE..TABLE + 10, 1)).unwrap();
    drop(store);
    let mut opened = stores.open(0, 0).unwrap();
    assert_eq!(opened.holds_below, Some(Position::from_number(TABLE + 1)));
    assert!(opened.store.see(&[event(0, 500)]).is_err(), "it is not complete yet");
    opened.store.fill(&events(TABLE..TABLE + 10, 1)).unwrap();
    opened.store.filled(Position::from_number(TABLE + 11)).unwrap();
    assert!(opened.store.see(&events(0..TABLE + 10, 1_000)).unwrap().iter().all(|duplicate| *duplicate));
}

#[test]
fn a_store_that_was_not_filled_to_its_end_is_not_used() {
    let folder = TempDir::new().unwrap();
    let stores = stores(folder.path());
    let mut store = stores.open(0, 0).unwrap().store;
    store.fill(&events(0..500, 1)).unwrap();
    store.settle().unwrap();
    assert!(store.runs() > 0);
    drop(store);
    let opened = stores.open(0, 0).unwrap();
    assert_eq!((opened.holds_below, opened.store.len()), (None, 0));
}

#[test]
fn two_processes_on_one_folder_have_each_a_store_of_its_own() {
    let folder = TempDir::new().unwrap();
    let (ours, theirs) = (stores(folder.path()), stores(folder.path()));
    let (mut first, mut second) = (new_store(&ours), new_store(&theirs));
    assert!(!see_one(&mut first, event(1, 1)));
    assert!(!see_one(&mut second, event(1, 1)), "it is filled from ClickHouse, not from the other");
    first.flush().unwrap();
    second.flush().unwrap();
    assert!(see_one(&mut first, event(1, 2)) && see_one(&mut second, event(1, 2)));
    drop((first, second));
    assert!(see_one(&mut again(&ours), event(1, 2)));
}

#[test]
fn memory_is_bounded_and_ids_without_a_filter_are_found_all_the_same() {
    const IDS: u64 = 30_000;
    let folder = TempDir::new().unwrap();
    let budget = 20_000;
    let stores = IdStores::new(folder.path().to_owned(), LOG, 1, WINDOW, budget).with_places(64);
    let mut store = new_store(&stores);
    let indexes = |store: &SeenIds| 8 * (IDS / 127 + 1) + 8 * store.runs() as u64;
    for from in (0..IDS).step_by(1_000) {
        assert!(store.see(&events(from..from + 1_000, 1)).unwrap().iter().all(|duplicate| !duplicate));
        assert!(stores.memory_bytes() <= budget + indexes(&store), "{}", stores.memory_bytes());
    }
    store.settle().unwrap();
    assert!(store.disk_bytes() < IDS * 40, "{}", store.disk_bytes());
    assert!(IDS * 16 / 8 > budget, "not all filters fit");
    assert!(store.see(&events(0..IDS, 100_000)).unwrap().iter().all(|duplicate| *duplicate));
    assert!(!see_one(&mut store, event(IDS, 200_000)));
}

#[test]
fn so_much_memory_goes_to_tables() {
    let folder = TempDir::new().unwrap();
    for (partitions, memory_max, places) in
        [(1, 512 << 20, 1 << 20), (8, 512 << 20, 1 << 17), (1000, 512 << 20, 1 << 12), (1, 16 << 20, 1 << 15)]
    {
        let stores = IdStores::new(folder.path().to_owned(), LOG, partitions, WINDOW, memory_max);
        let store = stores.open(0, 0).unwrap().store;
        assert_eq!(stores.memory_bytes(), places * 98, "{partitions} {memory_max}");
        drop(store);
        assert_eq!(stores.memory_bytes(), 0);
    }
}
