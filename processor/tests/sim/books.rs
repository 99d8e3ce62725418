//! Postgres, as far as it matters: each call one serialisable transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use billing::ledger::{Account, Counts};
use processor::commit::{Commit, Committed, RangeSum};
use processor::own::Owned;
use processor::stores::{Books, StoreError};
use tokio::time::Instant;
use uuid::Uuid;

use crate::world::{BOOKS, ByPosition, Handle, Mutant, State};

#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) cursors: Vec<Cursor>,
    nodes: BTreeMap<Uuid, Instant>,
    /// By partition and first offset: the end, and the sums.
    pub(crate) ledger: BTreeMap<(u32, u64), (u64, RangeSum)>,
    pub(crate) usage: BTreeMap<Account, Counts>,
    pub(crate) dead: ByPosition<Vec<u16>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    pub(crate) next_offset: u64,
    pub(crate) owner: Option<Uuid>,
    epoch: i64,
    /// `None` is long ago.
    lease_until: Option<Instant>,
}

impl Postgres {
    pub(crate) fn new(partitions: usize) -> Self {
        let cursor = Cursor { next_offset: 0, owner: None, epoch: 0, lease_until: None };
        Self {
            cursors: vec![cursor; partitions],
            nodes: BTreeMap::new(),
            ledger: BTreeMap::new(),
            usage: BTreeMap::new(),
            dead: BTreeMap::new(),
        }
    }

    fn add_usage(&mut self, batch: &Commit) {
        for (account, counts) in batch.usage.iter() {
            *self.usage.entry(*account).or_default() += *counts;
        }
    }
}

impl State {
    /// The transaction of a batch.
    fn commit(&mut self, batch: &Commit) -> Committed {
        let cursor = |state: &Self, partition: u32| state.books.cursors[partition as usize];
        let stands_at = |state: &Self, partition, offset, epoch| {
            let cursor = cursor(state, partition);
            (cursor.next_offset, cursor.epoch) == (offset, epoch)
        };
        if batch.ranges.iter().all(|r| stands_at(self, r.partition, r.hi, r.epoch)) {
            return Committed::Yes;
        }
        let from_there = batch.ranges.iter().all(|r| stands_at(self, r.partition, r.lo, r.epoch));
        if self.is(Mutant::UsageBesideTransaction) {
            self.books.add_usage(batch);
        }
        if !from_there && !self.is(Mutant::NoCompareAndSet) {
            return Committed::NotOwner;
        }
        for (range, sum) in batch.ranges.iter().zip(&batch.sums) {
            self.books.cursors[range.partition as usize].next_offset = range.hi;
            self.books.ledger.insert((range.partition, range.lo), (range.hi, *sum));
            self.check_stored(range.partition, range.lo, range.hi);
        }
        if !self.is(Mutant::UsageBesideTransaction) {
            self.books.add_usage(batch);
        }
        for letter in &batch.dead {
            self.books.dead.entry((letter.partition, letter.position)).or_default().push(letter.events);
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
        let now = Instant::now();
        let mut taken = Vec::new();
        let free =
            (0..).zip(&mut self.books.cursors).filter(|(_, c)| c.lease_until.is_none_or(|until| until < now));
        for (partition, cursor) in free.take(most) {
            cursor.owner = Some(node);
            cursor.epoch += 1;
            cursor.lease_until = Some(now + lease_time);
            let Cursor { next_offset, epoch, .. } = *cursor;
            taken.push(Owned { partition, next_offset, epoch, ids_generation: 0 });
        }
        taken
    }

    fn let_go(&mut self, node: Uuid, kept: &[u32]) {
        for (partition, cursor) in (0..).zip(&mut self.books.cursors) {
            if cursor.owner == Some(node) && !kept.contains(&partition) {
                (cursor.owner, cursor.lease_until) = (None, None);
            }
        }
    }
}

impl Books for Handle {
    async fn renew(&self, node: Uuid, lease_time: Duration) -> Result<(), StoreError> {
        self.ask(BOOKS, |state| {
            let until = Instant::now() + lease_time;
            state.processes[self.process].node = Some(node);
            state.books.nodes.insert(node, until);
            for cursor in state.books.cursors.iter_mut().filter(|cursor| cursor.owner == Some(node)) {
                cursor.lease_until = Some(until);
            }
            ("renews".to_owned(), ())
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

    async fn keep_only(&self, node: Uuid, kept: &[u32]) -> Result<(), StoreError> {
        self.ask(BOOKS, |state| {
            state.let_go(node, kept);
            (format!("keeps only {kept:?}"), ())
        })
        .await
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
        self.ask(BOOKS, |state| {
            let committed = state.commit(batch);
            let spans: Vec<_> = batch.ranges.iter().map(|r| (r.partition, r.lo, r.hi, r.epoch)).collect();
            (format!("commits {spans:?}: {committed:?}"), committed)
        })
        .await
    }
}
