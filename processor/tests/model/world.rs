//! The world of the model: a log, ClickHouse, Postgres and two workers, small enough to be walked through whole.

/// A record of the log: which id stands there, and in which partition of the table its row goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) id: u8,
    pub(crate) month: u8,
}

/// What is walked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    pub(crate) log: &'static [Entry],
    pub(crate) faults: u8,
}

impl Scope {
    pub(crate) fn end(&self) -> u8 {
        self.log.len() as u8
    }

    pub(crate) fn id(&self, position: u8) -> u8 {
        self.log[usize::from(position)].id
    }

    /// Whether no earlier record has this one's id: these are stored and metered, and no others.
    pub(crate) fn is_first(&self, position: u8) -> bool {
        (0..position).all(|earlier| self.id(earlier) != self.id(position))
    }

    /// Those of `positions` whose rows go to the table's partition `month`.
    pub(crate) fn of_month(&self, positions: Positions, month: u8) -> Positions {
        positions.filter(|position| self.log[usize::from(position)].month == month)
    }
}

/// Ids and positions of a log are below this.
const SMALL: usize = 8;
/// Batches that a worker can have under way.
const QUEUE: usize = 3;
/// Inserts that ClickHouse can be at.
const INSERTS: usize = 4;
/// Nowhere, nobody.
pub(crate) const NONE: u8 = u8::MAX;
/// A worker's number after a crash is larger by this: more than there can be crashes.
pub(crate) const REBORN: u8 = 32;

/// A set of positions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Positions(pub(crate) u8);

impl Positions {
    pub(crate) fn range(lo: u8, hi: u8) -> Self {
        (lo..hi).fold(Self::default(), Self::with)
    }

    pub(crate) fn with(self, position: u8) -> Self {
        Self(self.0 | 1 << position)
    }

    pub(crate) fn has(self, position: u8) -> bool {
        self.0 & 1 << position != 0
    }

    pub(crate) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        (0..SMALL as u8).filter(move |position| self.has(*position))
    }

    pub(crate) fn filter(self, keep: impl Fn(u8) -> bool) -> Self {
        self.iter().filter(|position| keep(*position)).fold(Self::default(), Self::with)
    }
}

/// How often each position is there: 0, 1, 2, or 3 and more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Tally(u16);

impl Tally {
    pub(crate) fn of(self, position: u8) -> u16 {
        self.0 >> (2 * position) & 3
    }

    pub(crate) fn add(&mut self, positions: Positions) {
        for position in positions.iter() {
            if self.of(position) < 3 {
                self.0 += 1 << (2 * position);
            }
        }
    }

    pub(crate) fn there(self) -> Positions {
        Positions(u8::MAX).filter(|position| self.of(position) > 0)
    }
}

/// A state of everything.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// ClickHouse's rows, without `FINAL`; with it, a position is there once or not at all.
    pub(crate) rows: Tally,
    /// ClickHouse's deduplication log: a bit for each range and table partition.
    pub(crate) tokens: u32,
    /// Inserts that ClickHouse is at.
    pub(crate) inserts: [Insert; INSERTS],
    pub(crate) books: Books,
    pub(crate) workers: [Worker; 2],
    pub(crate) faults: u8,
    /// A partition was taken from a worker that lives.
    pub(crate) zombie: bool,
}

/// Postgres; and the consumer group, where a scheme has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Books {
    pub(crate) next: u8,
    pub(crate) group: u8,
    pub(crate) epoch: u8,
    pub(crate) owner: u8,
    pub(crate) metered: Tally,
    /// A bit for each id.
    pub(crate) ids: u8,
}

/// An insert that ClickHouse is at.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Insert {
    /// Who sent it, or [`NONE`].
    pub(crate) node: u8,
    pub(crate) lo: u8,
    pub(crate) hi: u8,
    pub(crate) rows: Positions,
    /// Its sender waits for the answer.
    pub(crate) awaited: bool,
}

impl Insert {
    pub(crate) const NO: Self = Self { node: NONE, lo: 0, hi: 0, rows: Positions(0), awaited: false };
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    /// Its place, 0 or 1. After a crash it is a new one: what the old one has left carries its place + 2, + 4, ...
    pub(crate) node: u8,
    pub(crate) session: Session,
    pub(crate) epoch: u8,
    /// Whose inserts are to be ended before the partition is served.
    pub(crate) before: u8,
    /// The next offset to read.
    pub(crate) read_to: u8,
    /// Batches that begin before it are read back.
    pub(crate) dirty_until: u8,
    /// The local store: the first position of each id.
    pub(crate) first: [u8; 4],
    /// Batches under way, oldest first.
    pub(crate) queue: [Batch; QUEUE],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Session {
    /// Owns nothing, as far as it knows.
    Idle,
    /// Has just become the owner.
    Taken,
    /// Has ended the inserts that it knows of.
    Ended,
    /// Knows up to where it must read back.
    Looked,
    Serving,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Batch {
    pub(crate) stage: Stage,
    pub(crate) lo: u8,
    pub(crate) hi: u8,
    /// What is no duplicate.
    pub(crate) fresh: Positions,
    /// What is to be inserted of it.
    pub(crate) missing: Positions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    None,
    ToInsert,
    /// Sent, not answered.
    Sent,
    /// Not confirmed.
    Doubt,
    /// Not confirmed, and ended.
    Ended,
    ToCommit,
    ToCommitToKafka,
}

impl Batch {
    pub(crate) const NO: Self =
        Self { stage: Stage::None, lo: 0, hi: 0, fresh: Positions(0), missing: Positions(0) };
}

impl Worker {
    pub(crate) fn idle(node: u8) -> Self {
        Self {
            node,
            session: Session::Idle,
            epoch: 0,
            before: NONE,
            read_to: 0,
            dirty_until: 0,
            first: [NONE; 4],
            queue: [Batch::NO; QUEUE],
        }
    }

    /// How many batches are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.queue.iter().take_while(|batch| batch.stage != Stage::None).count()
    }

    /// The oldest batch is done.
    pub(crate) fn shift(&mut self) {
        self.queue.rotate_left(1);
        self.queue[QUEUE - 1] = Batch::NO;
    }
}

impl World {
    pub(crate) fn new(scope: &Scope) -> Self {
        Self {
            rows: Tally::default(),
            tokens: 0,
            inserts: [Insert::NO; INSERTS],
            books: Books { next: 0, group: 0, epoch: 0, owner: NONE, metered: Tally::default(), ids: 0 },
            workers: [Worker::idle(0), Worker::idle(1)],
            faults: scope.faults,
            zombie: false,
        }
    }

    /// Whether `node` is a worker that lives and believes to own the partition.
    pub(crate) fn serves(&self, node: u8) -> bool {
        self.workers.iter().any(|worker| worker.node == node && worker.session != Session::Idle)
    }

    /// Removes the insert at `place`; the others keep one order, so that equal worlds look equal.
    pub(crate) fn forget_insert(&mut self, place: usize) {
        self.inserts[place] = Insert::NO;
        self.sort_inserts();
    }

    pub(crate) fn sort_inserts(&mut self) {
        self.inserts.sort_unstable_by_key(|insert| (insert.node, insert.lo, insert.hi, insert.rows.0));
    }
}
