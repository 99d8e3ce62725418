//! Random histories against a plain map.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use schemas::id::{Position, ProjectId};
use schemas::time::Micros;
use tempfile::TempDir;

use super::super::{IdStores, Opened, Seen, SeenIds};
use super::{DAY, NOON, id, stores};

#[derive(Debug, Clone)]
enum Step {
    /// New events, with ids of these numbers.
    See(Vec<u16>),
    /// The last so many events are read again: what the cursor had not passed.
    ReadAgain(usize),
    Flush,
    Settle,
    /// Time goes on by so many hours, and what is too old is forgotten.
    Later(u8),
    /// Stopped and opened again, with everything on disk or, as after a crash, without what was in memory.
    Reopen {
        flushed: bool,
    },
    /// Killed while tables may be on their way to disk, or runs being merged.
    Kill,
    /// The folder is gone.
    Lose,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => prop::collection::vec(0_u16..400, 1..150).prop_map(Step::See),
        2 => (1_usize..200).prop_map(Step::ReadAgain),
        2 => Just(Step::Flush),
        1 => Just(Step::Settle),
        3 => (1_u8..40).prop_map(Step::Later),
        2 => any::<bool>().prop_map(|flushed| Step::Reopen { flushed }),
        3 => Just(Step::Kill),
        1 => Just(Step::Lose),
    ];
    prop::collection::vec(step, 1..40)
}

/// What the log holds, and which of it was stored.
#[derive(Default)]
struct Model {
    log: Vec<(Seen, bool)>,
    now: i64,
}

impl Model {
    fn see(&mut self, store: &mut SeenIds, numbers: &[u16]) -> Result<(), TestCaseError> {
        let begin = self.log.len() as u64 + 1;
        let batch: Vec<Seen> = (begin..)
            .zip(numbers)
            .map(|(position, n)| Seen {
                // Two projects with the same hashes.
                project: ProjectId(i64::from(n % 2)),
                hash: id(u64::from(n / 2)),
                position: Position::from_number(position),
                received_at: Micros(NOON.0 + self.now),
            })
            .collect();
        let answers = store.see(&batch).unwrap();
        for (seen, duplicate) in batch.into_iter().zip(answers) {
            self.check(&seen, duplicate)?;
            self.log.push((seen, !duplicate));
        }
        Ok(())
    }

    /// Within the window it is a duplicate; of an id never stored before, it is not. Between, both are right.
    fn check(&self, seen: &Seen, duplicate: bool) -> Result<(), TestCaseError> {
        let stored =
            self.log.iter().rev().find(|(before, stored)| {
                *stored && (before.project, before.hash) == (seen.project, seen.hash)
            });
        match stored {
            None => prop_assert!(!duplicate, "{:?} was never seen", seen),
            Some((before, _)) if before.received_at.0 >= seen.received_at.0 - 7 * DAY => {
                prop_assert!(duplicate, "{:?} was seen at {:?}", seen, before);
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn read_again(&self, store: &mut SeenIds, last: usize) -> Result<(), TestCaseError> {
        let from = self.log.len().saturating_sub(last);
        let batch: Vec<Seen> = self.log[from..].iter().map(|(seen, _)| *seen).collect();
        let answers = store.see(&batch).unwrap();
        for ((seen, stored), duplicate) in self.log[from..].iter().zip(answers) {
            // What is stored is found in ClickHouse, whatever the store says; what was a duplicate stays one, unless
            // what it repeated is forgotten by now.
            let first = self.log.iter().find(|(other, stored)| {
                *stored
                    && (other.project, other.hash) == (seen.project, seen.hash)
                    && other.received_at.0 >= NOON.0 + self.now - 7 * DAY
            });
            let is_first = first.is_none_or(|(first, _)| first.position >= seen.position);
            prop_assert!(duplicate || *stored || is_first, "{:?} was a duplicate", seen);
        }
        Ok(())
    }

    fn open(&self, stores: &IdStores) -> SeenIds {
        let Opened { mut store, holds_below } = stores.open(0, 0).unwrap();
        let from = holds_below.unwrap_or(Position::from_number(0));
        let since = Micros(NOON.0 + self.now - 7 * DAY).hour();
        let rows = self
            .log
            .iter()
            .filter(|(seen, stored)| *stored && seen.position >= from && seen.received_at >= since);
        // In the order of ClickHouse, not of the log.
        let rows: BTreeMap<u128, Seen> =
            rows.map(|(seen, _)| (seen.hash.0 ^ u128::from(seen.position.number()), *seen)).collect();
        store.fill(&rows.into_values().collect::<Vec<Seen>>()).unwrap();
        store.filled(Position::from_number(self.log.len() as u64 + 1)).unwrap();
        store
    }
}

/// Files may come and go meanwhile.
fn copy_what_is_there(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let copied = std::fs::copy(file.path(), to.join(file.file_name()));
        assert!(copied.is_ok() || !file.path().exists());
    }
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let folder = TempDir::new().unwrap();
    let stores = stores(folder.path());
    let mut model = Model::default();
    let mut store = model.open(&stores);
    for step in steps {
        match step {
            Step::See(numbers) => model.see(&mut store, &numbers)?,
            Step::ReadAgain(last) => model.read_again(&mut store, last)?,
            Step::Flush => store.flush().unwrap(),
            Step::Settle => store.settle().unwrap(),
            Step::Later(hours) => {
                model.now += i64::from(hours) * Micros::HOUR;
                store.forget_before(Micros(NOON.0 + model.now)).unwrap();
            }
            Step::Reopen { flushed } => {
                if flushed {
                    store.flush().unwrap();
                }
                drop(store);
                store = model.open(&stores);
            }
            Step::Kill => {
                let (there, then) = (folder.path().join("0"), folder.path().join("then"));
                copy_what_is_there(&there, &then);
                drop(store);
                std::fs::remove_dir_all(&there).unwrap();
                std::fs::rename(&then, &there).unwrap();
                store = model.open(&stores);
            }
            Step::Lose => {
                drop(store);
                std::fs::remove_dir_all(folder.path().join("0")).unwrap();
                store = model.open(&stores);
            }
        }
    }
    store.settle().unwrap();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_between_a_store_answers_as_a_map_would(steps in steps()) {
        run(steps)?;
    }
}
