//! Postgres, as far as it matters: each call one serialisable transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use metering::ledger::{Account, Counts};
use processor::batch::Range;
use processor::commit::{Commit, Committed, RangeSum};
use processor::mark::Mark;
use processor::own::Owned;
use processor::stores::Books;
use schemas::id::Position;
use schemas::time::Micros;
use service::store::StoreError;
use tokio::time::Instant;
use uuid::Uuid;

use crate::journal::BEGIN;
use crate::world::{BOOKS, ByPosition, Handle, Mutant, State, failed};

#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) cursors: Vec<Cursor>,
    nodes: BTreeMap<Uuid, Instant>,
    /// By partition and first offset: the end, and the sums.
    pub(crate) ledger: BTreeMap<(u32, u64), (u64, RangeSum)>,
    pub(crate) usage: BTreeMap<Account, Counts>,
    pub(crate) dead: ByPosition<Vec<u16>>,
    /// Transactions that Postgres was asked to commit, and has not yet.
    late: Vec<Late>,
}

/// What a batch commits.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    ranges: Vec<Range>,
    marks: Vec<Mark>,
    sums: Vec<RangeSum>,
    usage: Vec<(Account, Counts)>,
    dead: Vec<((u32, Position), u16)>,
}

/// A transaction whose client has given it up, and which is committed all the same. Its rows are locked until then.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) at: Instant,
    batch: Batch,
}

impl From<&Commit> for Batch {
    fn from(commit: &Commit) -> Self {
        Self {
            ranges: commit.ranges.clone(),
            marks: commit.marks.clone(),
            sums: commit.sums.clone(),
            usage: commit.usage.iter().map(|(account, sum)| (*account, sum.counts)).collect(),
            dead: commit
                .dead
                .iter()
                .map(|letter| ((letter.partition, letter.position), letter.events))
                .collect(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    pub(crate) next_offset: u64,
    mark: Option<Mark>,
    pub(crate) owner: Option<Uuid>,
    epoch: i64,
    /// `None` is long ago.
    lease_until: Option<Instant>,
}

impl Postgres {
    pub(crate) fn new(partitions: usize) -> Self {
        let cursor = Cursor { next_offset: 0, mark: None, owner: None, epoch: 0, lease_until: None };
        Self {
            cursors: vec![cursor; partitions],
            nodes: BTreeMap::new(),
            ledger: BTreeMap::new(),
            usage: BTreeMap::new(),
            dead: BTreeMap::new(),
            late: Vec::new(),
        }
    }

    /// Takes out the late transactions that are over.
    pub(crate) fn due(&mut self, is_over: impl Fn(&Late) -> bool) -> Vec<Batch> {
        self.late.extract_if(.., |late| is_over(late)).map(|late| late.batch).collect()
    }

    fn add_usage(&mut self, batch: &Batch) {
        for (account, counts) in &batch.usage {
            *self.usage.entry(*account).or_default() += *counts;
        }
    }
}

impl State {
    /// What a client sees of a transaction; `None` if it has given up before Postgres is done.
    fn commit_or_be_late(&mut self, batch: &Batch) -> Option<Committed> {
        // Whether an earlier try was committed is asked before the locks are waited for, or after.
        let asks_first = self.rng.permille(500);
        if self.wait_for_late() && asks_first {
            return Some(Committed::NotOwner);
        }
        if self.faulty && self.rng.permille(10) && self.can_commit(batch) {
            self.count("late commits");
            let at = Instant::now() + self.rng.millis(1, 30_000);
            self.books.late.push(Late { at, batch: batch.clone() });
            return None;
        }
        let committed = self.commit(batch);
        if committed == Committed::NotOwner {
            self.count("commits refused");
        }
        Some(committed)
    }

    fn stands_at(&self, partition: u32, offset: u64, epoch: i64) -> bool {
        let cursor = self.books.cursors[partition as usize];
        (cursor.next_offset, cursor.epoch) == (offset, epoch)
    }

    fn can_commit(&self, batch: &Batch) -> bool {
        batch.ranges.iter().all(|range| self.stands_at(range.partition, range.lo, range.epoch))
    }

    /// Waits for locks: whatever is late is done.
    fn wait_for_late(&mut self) -> bool {
        let late = self.books.due(|_| true);
        late.iter().for_each(|batch| _ = self.commit(batch));
        !late.is_empty()
    }

    /// The transaction of a batch.
    pub(crate) fn commit(&mut self, batch: &Batch) -> Committed {
        if batch.ranges.iter().all(|range| self.stands_at(range.partition, range.hi, range.epoch)) {
            return Committed::Yes;
        }
        let can_commit = self.can_commit(batch);
        if self.is(Mutant::UsageOutsideTransaction) {
            self.books.add_usage(batch);
        }
        if !can_commit && !self.is(Mutant::NoCompareAndSet) {
            return Committed::NotOwner;
        }
        for ((range, sum), mark) in batch.ranges.iter().zip(&batch.sums).zip(&batch.marks) {
            let cursor = &mut self.books.cursors[range.partition as usize];
            (cursor.next_offset, cursor.mark) = (range.hi, Some(*mark));
            self.books.ledger.insert((range.partition, range.lo), (range.hi, *sum));
            self.check_stored(range.partition, range.lo, range.hi);
        }
        if !self.is(Mutant::UsageOutsideTransaction) {
            self.books.add_usage(batch);
        }
        for (at, events) in &batch.dead {
            self.books.dead.entry(*at).or_default().push(*events);
        }
        Committed::Yes
    }

    /// Metered implies stored.
    fn check_stored(&mut self, partition: u32, lo: u64, hi: u64) {
        for ((at, position), sent) in &self.journal.events {
            let within = *at == partition && (lo..hi).contains(&position.offset());
            if within && sent.is_first && !self.table.rows.contains_key(&(partition, *position)) {
                self.wrong.push(format!("metered before it was stored: {partition} {position:?}"));
            }
        }
    }

    fn acquire(&mut self, node: Uuid, lease_time: Duration, most: usize) -> Vec<Owned> {
        self.wait_for_late();
        let now = Instant::now();
        let mut taken = Vec::new();
        let free =
            (0..).zip(&mut self.books.cursors).filter(|(_, c)| c.lease_until.is_none_or(|until| until < now));
        for (partition, cursor) in free.take(most) {
            cursor.owner = Some(node);
            cursor.epoch += 1;
            cursor.lease_until = Some(now + lease_time);
            let Cursor { next_offset, mark, epoch, .. } = *cursor;
            taken.push(Owned { partition, next_offset, epoch, mark, ids_generation: 0 });
        }
        taken
    }

    fn let_go(&mut self, node: Uuid, kept: &[u32]) {
        self.wait_for_late();
        for (partition, cursor) in (0..).zip(&mut self.books.cursors) {
            if cursor.owner == Some(node) && !kept.contains(&partition) {
                (cursor.owner, cursor.lease_until) = (None, None);
            }
        }
    }
}

impl Books for Handle {
    async fn renew(&self, node: Uuid, lease_time: Duration, has_share: bool) -> Result<Micros, StoreError> {
        self.ask(BOOKS, |state| {
            let until = Instant::now() + lease_time;
            state.processes[self.process].node = Some(node);
            if has_share {
                state.books.nodes.insert(node, until);
            } else {
                state.books.nodes.remove(&node);
                state.count("processors without a share");
            }
            for cursor in state.books.cursors.iter_mut().filter(|cursor| cursor.owner == Some(node)) {
                cursor.lease_until = Some(until);
            }
            ("renews".to_owned(), BEGIN)
        })
        .await
    }

    async fn share(&self) -> Result<usize, StoreError> {
        self.ask(BOOKS, |state| {
            let now = Instant::now();
            let living = state.books.nodes.values().filter(|until| **until > now).count();
            let share = state.books.cursors.len().div_ceil(living.max(1));
            (format!("has a share of {share}"), share)
        })
        .await
    }

    async fn acquire(&self, node: Uuid, lease_time: Duration, most: usize) -> Result<Vec<Owned>, StoreError> {
        self.ask(BOOKS, |state| {
            let taken = state.acquire(node, lease_time, most);
            let from: Vec<_> = taken.iter().map(|own| (own.partition, own.next_offset)).collect();
            (format!("takes {from:?}"), taken)
        })
        .await
    }

    /// Nobody repairs.
    async fn ids_generations(&self) -> Result<BTreeMap<u32, i64>, StoreError> {
        Ok(BTreeMap::new())
    }

    async fn keep_only(&self, node: Uuid, kept: &[u32]) -> Result<(), StoreError> {
        self.ask(BOOKS, |state| {
            state.let_go(node, kept);
            (format!("keeps only {kept:?}"), ())
        })
        .await
    }

    async fn halt(&self, _: Uuid, partition: u32, reason: &str) -> Result<(), StoreError> {
        self.state().wrong.push(format!("partition {partition} is halted: {reason}"));
        Ok(())
    }

    async fn halted(&self) -> Result<BTreeMap<u32, String>, StoreError> {
        Ok(BTreeMap::new())
    }

    async fn leave(&self, node: Uuid) -> Result<(), StoreError> {
        self.ask(BOOKS, |state| {
            state.let_go(node, &[]);
            state.books.nodes.remove(&node);
            ("leaves".to_owned(), ())
        })
        .await
    }

    async fn commit(&self, batch: &Commit) -> Result<Committed, StoreError> {
        let batch = Batch::from(batch);
        let committed = self.ask(BOOKS, |state| {
            let committed = state.commit_or_be_late(&batch);
            let spans: Vec<_> = batch.ranges.iter().map(|r| (r.partition, r.lo, r.hi, r.epoch)).collect();
            (format!("commits {spans:?}: {committed:?}"), committed)
        });
        committed.await?.ok_or_else(|| failed(BOOKS, "the client gave up"))
    }
}
