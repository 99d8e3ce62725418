//! The second half of a batch's way: inserted, then committed, while the next ones are prepared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eventlog::{EventLog, LogError};
use parking_lot::Mutex;
use service::error::Chain;
use service::shutdown::Shutdown;
use service::task::{Pace, every};
use service::trace::Kind;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::journey::ranges_text;
use super::lease::Lease;
use super::rest::Rest;
use super::stage::Stage;
use super::trouble::Trouble;
use super::{Interrupted, PAUSE_FIRST, PAUSE_LAST};
use crate::commit::Committed;
use crate::metrics;
use crate::own::Owned;
use crate::repair;
use crate::run::prepare::Prepared;
use crate::stores::{Books, Table};
use seen::IdStores;

/// Batches under way at a time: one being prepared, one inserted, one committed. Bounds the memory that they take.
pub(super) const DEPTH: u32 = 3;

/// How often the distance to the log's end is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// A prepared batch, and the room that it takes.
struct Batch {
    prepared: Prepared,
    _room: OwnedSemaphorePermit,
}

/// Two tasks and the way to them. Dropping it ends them wherever they are, as a crash would.
pub(super) struct Pipeline {
    room: Arc<Semaphore>,
    input: Sender<Batch>,
    done: Arc<Done>,
    stages: JoinSet<Result<(), Interrupted>>,
}

/// What committed batches leave behind.
#[derive(Default)]
pub(super) struct Done {
    /// The first offset that is not committed yet, of each partition that this session took.
    committed: Mutex<BTreeMap<u32, u64>>,
    /// Memory of blocks.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Done {
    /// Measures again and again how far what is committed lies behind the log's end, whatever the stages wait for.
    pub(super) async fn keep_measured(&self, log: &dyn EventLog, shutdown: Shutdown) {
        let mut rounds = every("measuring of the lag", Pace::after(MEASURE_EVERY), shutdown);
        while rounds.due().await {
            rounds.attempt(self.measure(log)).await;
        }
    }

    async fn measure(&self, log: &dyn EventLog) -> Result<(), LogError> {
        let committed = self.committed.lock().clone();
        if committed.is_empty() {
            // All partitions were given away: nothing is late here any more.
            ::metrics::gauge!(metrics::LAG_SECONDS).set(0.0);
        }
        let (mut behind, mut ended) = (0_u64, Ok(()));
        for (partition, committed) in committed {
            // One that can't be reached hides no other.
            match log.bounds_of(partition).await {
                Ok(bounds) => behind += bounds.end.saturating_sub(committed),
                Err(error) => ended = Err(error),
            }
        }
        ::metrics::gauge!(metrics::LAG_RECORDS).set(f64::from(u32::try_from(behind).unwrap_or(u32::MAX)));
        ended
    }
}

/// What the two tasks work with.
#[derive(Clone)]
pub(super) struct Workshop<T, B> {
    pub(super) node: Uuid,
    pub(super) table: T,
    pub(super) books: B,
    pub(super) lease: Arc<Lease>,
    pub(super) insert_deadline: Duration,
    pub(super) clock: service::clock::Clock,
    pub(super) done: Arc<Done>,
    pub(super) ids: Arc<IdStores>,
    pub(super) rest: Arc<Rest>,
}

impl Pipeline {
    pub(super) fn start<T: Table, B: Books>(workshop: &Workshop<T, B>, shutdown: &Shutdown) -> Self {
        let (input, to_insert) = channel(1);
        let (inserted, to_commit) = channel(1);
        let done = Arc::clone(&workshop.done);
        done.committed.lock().clear();
        let mut stages = JoinSet::new();
        stages.spawn(insert_all(workshop.clone(), to_insert, inserted, shutdown.clone()));
        stages.spawn(commit_all(workshop.clone(), to_commit, shutdown.clone()));
        Self { room: Arc::new(Semaphore::new(DEPTH as usize)), input, done, stages }
    }

    /// Waits until there is room for one more batch.
    pub(super) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    /// Hands a batch on. If a stage has failed it is dropped: the next session reads it again.
    pub(super) async fn put(&self, prepared: Prepared, room: OwnedSemaphorePermit) {
        let _failed = self.input.send(Batch { prepared, _room: room }).await;
    }

    /// Waits until everything that was put is committed, or given up because a stage has failed.
    pub(super) async fn drained(&self) {
        let _all = self.room.acquire_many(DEPTH).await;
    }

    /// Whether a stage has failed: [`Pipeline::finish`] says why.
    pub(super) fn has_failed(&self) -> bool {
        self.input.is_closed()
    }

    /// Notes where a partition stands that was just taken.
    pub(super) fn begins(&self, taken: &Owned) {
        self.done.committed.lock().insert(taken.partition, taken.next_offset);
    }

    /// Forgets a partition that is owned no more.
    pub(super) fn forgets(&self, partition: u32) {
        self.done.committed.lock().remove(&partition);
    }

    /// The first offset that is not committed yet, of each partition that was taken.
    pub(super) fn committed(&self) -> BTreeMap<u32, u64> {
        self.done.committed.lock().clone()
    }

    /// Memory for a block; of one that is done with, if there is any.
    pub(super) fn spare_block(&self) -> Vec<u8> {
        self.done.spare.lock().pop().unwrap_or_default()
    }

    /// Ends it in order: what was put is inserted and committed.
    pub(super) async fn finish(self) -> Result<(), Interrupted> {
        let Self { input, mut stages, .. } = self;
        drop(input);
        let mut outcome = Ok(());
        while let Some(ended) = stages.join_next().await {
            let ended = ended.unwrap_or_else(|broke| Err(Interrupted::Broke(broke.to_string())));
            outcome = outcome.and(ended);
        }
        outcome
    }
}

async fn insert_all<T: Table, B: Books>(
    workshop: Workshop<T, B>,
    mut from: Receiver<Batch>,
    to: Sender<Batch>,
    shutdown: Shutdown,
) -> Result<(), Interrupted> {
    loop {
        let batch = tokio::select! {
            batch = from.recv() => batch,
            () = to.closed() => None,
        };
        let Some(mut batch) = batch else { return Ok(()) };
        let mut stage = Stage::begin();
        if faults::mutant("commit-before-insert") {
            workshop.commit(&batch.prepared, &shutdown).await?;
        }
        let begun = stage.begun();
        workshop.store(&batch.prepared, &shutdown).await?;
        stage.ends("insert");
        batch.prepared.journey.passed("insert", Kind::Client, begun);
        if to.send(batch).await.is_err() {
            return Ok(());
        }
    }
}

async fn commit_all<T: Table, B: Books>(
    workshop: Workshop<T, B>,
    mut from: Receiver<Batch>,
    shutdown: Shutdown,
) -> Result<(), Interrupted> {
    while let Some(mut batch) = from.recv().await {
        let mut stage = Stage::begin();
        let begun = stage.begun();
        workshop.commit(&batch.prepared, &shutdown).await?;
        stage.ends("commit");
        batch.prepared.journey.passed("commit", Kind::Client, begun);
        batch.prepared.journey.ends(&workshop.clock);
        let ranges = &batch.prepared.commit.ranges;
        workshop.done.committed.lock().extend(ranges.iter().map(|range| (range.partition, range.hi)));
        batch.prepared.observe(&workshop.clock);
        workshop.done.spare.lock().extend(batch.prepared.block.into_buffer());
    }
    Ok(())
}

impl<T: Table, B: Books> Workshop<T, B> {
    /// Brings every fresh event into the table, whatever it takes. After the order to stop it does not try again.
    async fn store(&self, prepared: &Prepared, shutdown: &Shutdown) -> Result<(), Interrupted> {
        let mut block = prepared.block.without(&prepared.present);
        let mut pause = PAUSE_FIRST;
        while !block.is_empty() {
            if !self.lease.holds() {
                return Err(Interrupted::Lapsed);
            }
            let query_id = repair::query_id(prepared.commit.ranges.iter().map(|range| range.partition));
            let inserted = self.table.insert(&query_id, &block, self.insert_deadline).await;
            let Err(error) = inserted else { return Ok(()) };
            ::metrics::counter!(metrics::INSERT_RETRIES).increment(1);
            let ranges = ranges_text(&prepared.commit.ranges);
            tracing::warn!(
                error = %Chain(&error), rows = block.len(), ranges,
                "an insert was not confirmed, reading back"
            );
            // The partition's next owner ends the insert, and reads back.
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_LAST),
                () = shutdown.ordered() => return Err(Interrupted::Stopping),
            }
            self.table.end_insert(&query_id).await?;
            let present = self.table.present(&prepared.commit.ranges).await?;
            block = block.without(&present);
        }
        Ok(())
    }

    /// Commits, asking again for as long as the books do not say whether they have.
    async fn commit(&self, prepared: &Prepared, shutdown: &Shutdown) -> Result<(), Interrupted> {
        let mut pause = PAUSE_FIRST;
        loop {
            match self.books.commit(&prepared.commit).await {
                Ok(Committed::Yes) => return Ok(()),
                Ok(Committed::NotOwner) => return Err(Interrupted::NotOwner),
                Ok(Committed::TooManyDead(overdrawn)) => {
                    let trouble = Trouble::halts(overdrawn.last.partition, overdrawn);
                    return Err(Interrupted::Trouble(trouble));
                }
                Err(error) => {
                    let ranges = ranges_text(&prepared.commit.ranges);
                    tracing::warn!(error = %Chain(&error), ranges, "a commit was not confirmed, asking again");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_LAST),
                () = shutdown.ordered() => return Err(Interrupted::Stopping),
            }
        }
    }
}
