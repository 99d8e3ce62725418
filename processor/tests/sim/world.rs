//! What all processes of a simulation share, and how each of them reaches it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use service::store::StoreError;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::books::Postgres;
use crate::journal::Journal;
use crate::rng::Rng;
use crate::table::ClickHouse;

/// How long a lease of a partition lasts.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// What is wrong on purpose. A simulation that does not find it proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// The cursor is set whatever it was.
    NoCompareAndSet,
    /// Usage is counted outside the transaction.
    UsageOutsideTransaction,
    /// Nothing is found when rows are read back.
    NothingPresent,
    /// No row is found beyond the cursor when a partition is taken.
    NeverDirty,
    /// The ids of a partition are not known to who takes it.
    ForgetsIds,
    /// An insert in doubt goes on.
    InsertGoesOn,
    /// Inserts of others go on when a partition is taken.
    OthersGoOn,
    /// An insert that was lost is confirmed.
    ConfirmsLost,
}

/// Everything, and the way there.
#[derive(Debug)]
pub(crate) struct World(Mutex<State>);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) rng: Rng,
    pub(crate) journal: Journal,
    pub(crate) table: ClickHouse,
    pub(crate) books: Postgres,
    pub(crate) processes: Vec<Process>,
    /// The machines' disks.
    pub(crate) disks: PathBuf,
    /// Faults happen. Later they do not, and everything must come to its end.
    pub(crate) faulty: bool,
    odds: Odds,
    /// What has happened, and how often.
    pub(crate) happened: BTreeMap<&'static str, u64>,
    /// A store answers nobody until then.
    pub(crate) table_back_at: Instant,
    pub(crate) books_back_at: Instant,
    pub(crate) mutant: Option<Mutant>,
    /// What was seen that must not be, as it happened.
    pub(crate) wrong: Vec<String>,
    pub(crate) began_at: Instant,
    /// What has happened, if it is to be printed.
    pub(crate) trace: Option<Vec<String>>,
    /// How much has happened: the same for the same seed.
    pub(crate) steps: u64,
    pub(crate) digest: u64,
}

/// How often what goes wrong in a run, each in 1,000 times. Some runs have much of one thing and nothing of another.
#[derive(Debug)]
struct Odds {
    death: u64,
    pause: u64,
    refused: u64,
    unanswered: u64,
    away: u64,
}

impl Odds {
    fn draw(rng: &mut Rng) -> Self {
        let mut draw = |odds: [u64; 4]| odds[rng.index(4)];
        Self {
            death: draw([0, 2, 4, 12]),
            pause: draw([0, 2, 4, 12]),
            refused: draw([0, 5, 15, 60]),
            unanswered: draw([0, 5, 15, 60]),
            away: draw([0, 1, 3, 6]),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) node: Option<Uuid>,
    pub(crate) is_dead: bool,
    pub(crate) paused_until: Option<Instant>,
}

impl State {
    pub(crate) fn note(&mut self, who: usize, what: impl FnOnce() -> String) {
        let at = self.began_at.elapsed().as_millis() as u64;
        self.steps += 1;
        self.digest = (self.digest.rotate_left(7) ^ at).wrapping_mul(0x517c_c1b7_2722_0a95) ^ who as u64;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{at:>7} ms  p{who}  {}", what()));
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Notes rows that have arrived, and what cannot be.
    pub(crate) fn settle(&mut self) {
        let now = Instant::now();
        self.table.settle(now);
        for batch in self.books.due(|late| late.at <= now) {
            self.commit(&batch);
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64, mutant: Option<Mutant>, is_traced: bool) -> Arc<Self> {
        let mut rng = Rng::new(seed);
        let journal = Journal::draw(&mut rng);
        let now = Instant::now();
        Arc::new(Self(Mutex::new(State {
            books: Postgres::new(journal.records.len()),
            table: ClickHouse::default(),
            processes: Vec::new(),
            disks: PathBuf::new(),
            faulty: true,
            odds: Odds::draw(&mut rng),
            happened: BTreeMap::new(),
            table_back_at: now,
            books_back_at: now,
            mutant,
            wrong: Vec::new(),
            began_at: now,
            trace: is_traced.then(Vec::new),
            steps: 0,
            digest: 0,
            rng,
            journal,
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

/// What one process holds of the world. Everything that it asks goes through [`Handle::pass`]: there it can be slow, be
/// stopped for a while, or die.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub(crate) world: Arc<World>,
    pub(crate) process: usize,
}

/// What becomes of a process at some moment.
enum Fate {
    Goes,
    Yields,
    WaitsUntil(Instant),
    Dead,
}

/// What becomes of something that is asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Given,
    /// It was not done.
    Refused,
    /// It was done.
    Lost,
}

impl Handle {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.world.state()
    }

    /// Time passes between two things that a process does.
    pub(crate) async fn pass(&self) {
        let mut drawn = false;
        loop {
            match self.fate(&mut drawn) {
                Fate::Goes => return,
                Fate::Yields => tokio::task::yield_now().await,
                Fate::WaitsUntil(at) => sleep_until(at).await,
                Fate::Dead => std::future::pending().await,
            }
        }
    }

    fn fate(&self, drawn: &mut bool) -> Fate {
        let state = &mut *self.state();
        let now = Instant::now();
        let process = &mut state.processes[self.process];
        if process.is_dead {
            return Fate::Dead;
        }
        if let Some(until) = process.paused_until.filter(|until| *until > now) {
            return Fate::WaitsUntil(until);
        }
        if *drawn {
            return Fate::Goes;
        }
        *drawn = true;
        let rng = &mut state.rng;
        if state.faulty && rng.permille(state.odds.death) {
            process.is_dead = true;
            state.count("deaths");
            state.note(self.process, || "dies".to_owned());
            return Fate::Dead;
        }
        if state.faulty && rng.permille(state.odds.pause) {
            let until = now + rng.millis(1_000, 40_000);
            process.paused_until = Some(until);
            state.count("pauses");
            state.note(self.process, || format!("is stopped for {:?}", until - now));
            return Fate::WaitsUntil(until);
        }
        match rng.below(100) {
            0..50 => Fate::Goes,
            50..75 => Fate::Yields,
            75..98 => Fate::WaitsUntil(now + rng.millis(1, 20)),
            _ => Fate::WaitsUntil(now + rng.millis(100, 3_000)),
        }
    }

    /// Asks a store for something that it does in one step.
    pub(crate) async fn ask<R>(
        &self,
        store: &'static str,
        act: impl FnOnce(&mut State) -> (String, R),
    ) -> Result<R, StoreError> {
        self.pass().await;
        let answer = self.answer(store);
        let result = if answer == Answer::Refused {
            None
        } else {
            let state = &mut *self.state();
            state.settle();
            let (what, result) = act(state);
            state.note(self.process, || {
                format!("{what}{}", if answer == Answer::Lost { ", no answer" } else { "" })
            });
            Some(result)
        };
        self.pass().await;
        match (answer, result) {
            (Answer::Given, Some(result)) => Ok(result),
            (Answer::Given | Answer::Refused | Answer::Lost, _) => {
                Err(failed(store, "the simulation says no"))
            }
        }
    }

    fn answer(&self, store: &'static str) -> Answer {
        let state = &mut *self.state();
        if !state.faulty {
            return Answer::Given;
        }
        let now = Instant::now();
        let back_at = if store == TABLE { &mut state.table_back_at } else { &mut state.books_back_at };
        if now < *back_at {
            return Answer::Refused;
        }
        if state.rng.permille(state.odds.refused) {
            return Answer::Refused;
        }
        if state.rng.permille(state.odds.unanswered) {
            state.count("answers lost");
            return Answer::Lost;
        }
        if state.rng.permille(state.odds.away) {
            *back_at = now + state.rng.millis(500, 20_000);
            state.count("stores away");
            state.note(self.process, || format!("finds {store} away"));
            return Answer::Refused;
        }
        Answer::Given
    }
}

pub(crate) const TABLE: &str = "ClickHouse";
pub(crate) const BOOKS: &str = "Postgres";

pub(crate) fn failed(store: &'static str, why: &'static str) -> StoreError {
    StoreError::retry(store, why)
}

/// Counts of something, by partition and position.
pub(crate) type ByPosition<T> = BTreeMap<(u32, schemas::id::Position), T>;
