//! What can happen next.

use std::fmt;

use crate::scheme::{AtStart, Cursor, Filled, Ids, Order, Others, Rule, Scheme, Table};
use crate::world::{Batch, Books, Insert, NONE, Positions, REBORN, Scope, Session, Stage, Worker, World};

/// Something that happened, for the trace of a counter-example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    node: u8,
    deed: Deed,
    lo: u8,
    hi: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Takes,
    TakesFromLiving,
    EndsOthers,
    CannotEndOthers,
    Looks,
    FillsIds,
    Reads,
    Sends,
    Arrives,
    ArrivesLate,
    Fails,
    AnswerLost,
    InPart,
    TokenBurnt,
    GivesUp,
    EndsOwn,
    CannotEndOwn,
    ReadsBack,
    Commits,
    KnowsCommitted,
    Refused,
    CommitLost,
    CommitAnswerLost,
    CommitsToKafka,
    Stops,
    Crashes,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, deed, lo, hi } = self;
        let what = match deed {
            Deed::Takes => "takes the partition",
            Deed::TakesFromLiving => "takes the partition from one that lives",
            Deed::EndsOthers => "ends inserts sent before it",
            Deed::CannotEndOthers => "cannot end inserts sent before it, and lets go",
            Deed::Looks => "looks for rows beyond the cursor",
            Deed::FillsIds => "fills its ids",
            Deed::Reads => "reads",
            Deed::Sends => "sends its insert of",
            Deed::Arrives => "has its insert confirmed of",
            Deed::ArrivesLate => "(or what is left of it) has rows arrive late of",
            Deed::Fails => "has its insert fail of",
            Deed::AnswerLost => "has rows arrive, but no answer, of",
            Deed::InPart => "has only one table partition's rows arrive of",
            Deed::TokenBurnt => "has a token written without its rows of",
            Deed::GivesUp => "waits no longer for its insert of",
            Deed::EndsOwn => "ends its insert of",
            Deed::CannotEndOwn => "cannot end its insert, and lets go, of",
            Deed::ReadsBack => "reads back",
            Deed::Commits => "commits",
            Deed::KnowsCommitted => "finds committed",
            Deed::Refused => "is refused the commit of",
            Deed::CommitLost => "has its commit fail of",
            Deed::CommitAnswerLost => "has its commit applied, but no answer, of",
            Deed::CommitsToKafka => "commits to the consumer group",
            Deed::Stops => "stops and lets go",
            Deed::Crashes => "crashes",
        };
        write!(f, "worker {} {what}", node % 2)?;
        if *lo == *hi { Ok(()) } else { write!(f, " [{lo}, {hi})") }
    }
}

/// All that can follow a world.
pub(crate) struct Walker<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) scheme: &'a Scheme,
}

/// Where steps go.
type Next = Vec<(Step, World)>;

impl Walker<'_> {
    /// Up to where a world has processed the log, as its scheme has it.
    pub(crate) fn cursor(&self, world: &World) -> u8 {
        match self.scheme.cursor {
            Cursor::Postgres => world.books.next,
            Cursor::Kafka => world.books.group,
        }
    }

    /// Puts every world that can follow `world` into `next`.
    pub(crate) fn steps(&self, world: &World, next: &mut Next) {
        for place in 0..world.inserts.len() {
            if world.inserts[place].node != NONE {
                self.clickhouse(world, place, next);
            }
        }
        for who in 0..world.workers.len() {
            match world.workers[who].session {
                Session::Idle => self.take(world, who, next),
                Session::Taken => self.end_others(world, who, next),
                Session::Ended => self.look(world, who, next),
                Session::Looked => self.fill(world, who, next),
                Session::Serving => self.serve(world, who, next),
            }
            if world.faults > 0 && world.workers[who].session != Session::Idle {
                let mut after = *world;
                after.faults -= 1;
                let node = world.workers[who].node;
                abandon_inserts(&mut after, node);
                after.workers[who] = Worker::idle(node + REBORN);
                push(next, node, Deed::Crashes, None, after);
            }
        }
    }

    // ClickHouse.

    fn clickhouse(&self, world: &World, place: usize, next: &mut Next) {
        let insert = world.inserts[place];
        let mut rest = *world;
        rest.forget_insert(place);
        let mut say = |deed, after| push(next, insert.node, deed, Some((insert.lo, insert.hi)), after);
        let mut arrived = rest;
        self.apply(&mut arrived, &insert, insert.rows);
        if !insert.awaited {
            return say(Deed::ArrivesLate, arrived);
        }
        say(Deed::Arrives, self.answered(&arrived, &insert, |batch| self.after(Stage::ToInsert, batch)));
        if world.faults == 0 {
            return;
        }
        let doubt = if self.scheme.read_back.after_doubt { Stage::Doubt } else { Stage::ToInsert };
        let doubted = |after: &World| {
            let mut after = self.answered(after, &insert, |_| doubt);
            after.faults -= 1;
            after
        };
        say(Deed::Fails, doubted(&rest));
        say(Deed::AnswerLost, doubted(&arrived));
        let one = self.scope.of_month(insert.rows, 0);
        if !one.is_empty() && one != insert.rows {
            let mut in_part = rest;
            self.apply(&mut in_part, &insert, one);
            say(Deed::InPart, doubted(&in_part));
        }
        if let Table::Tokens { burn: true } = self.scheme.table {
            let mut burnt = rest;
            burnt.tokens |= token(&insert, 0) | token(&insert, 1);
            say(Deed::TokenBurnt, doubted(&burnt));
        }
        let mut waiting = *world;
        waiting.inserts[place].awaited = false;
        say(Deed::GivesUp, doubted(&waiting));
    }

    /// Writes `rows` of an insert, unless their token is known.
    fn apply(&self, world: &mut World, insert: &Insert, rows: Positions) {
        for month in [0, 1] {
            let rows = self.scope.of_month(rows, month);
            if rows.is_empty() {
                continue;
            }
            if let Table::Tokens { .. } = self.scheme.table {
                if world.tokens & token(insert, month) != 0 {
                    continue;
                }
                world.tokens |= token(insert, month);
            }
            world.rows.add(rows);
        }
    }

    /// The sender of an insert that is over goes on to another stage.
    fn answered(&self, world: &World, insert: &Insert, stage: impl Fn(&Batch) -> Stage) -> World {
        let mut after = *world;
        for worker in &mut after.workers {
            if worker.node != insert.node {
                continue;
            }
            for batch in &mut worker.queue {
                if batch.stage == Stage::Sent && batch.lo == insert.lo {
                    batch.stage = stage(batch);
                }
            }
            drop_done(worker);
        }
        after
    }

    // A worker takes the partition.

    fn take(&self, world: &World, who: usize, next: &mut Next) {
        if self.cursor(world) >= self.scope.end() {
            return;
        }
        let node = world.workers[who].node;
        let living = world.books.owner != node && world.serves(world.books.owner);
        if living && !(self.scheme.takeovers && world.faults > 0) {
            return;
        }
        // Of two that could take what is free, it does not matter which does.
        if !living && world.workers[..who].iter().any(|other| other.session == Session::Idle) {
            return;
        }
        let mut after = *world;
        if living {
            after.faults -= 1;
            after.zombie = true;
        }
        let read_to = self.cursor(world);
        let worker = &mut after.workers[who];
        worker.session = Session::Taken;
        worker.before = world.books.owner;
        after.books.owner = node;
        after.books.epoch += 1;
        worker.epoch = after.books.epoch;
        worker.read_to = read_to;
        worker.dirty_until = match self.scheme.read_back.at_start {
            AtStart::Never | AtStart::UntilLastRow => 0,
            AtStart::FirstBatch => read_to + 1,
            AtStart::Always => NONE,
        };
        self.pass(worker);
        push(next, node, if living { Deed::TakesFromLiving } else { Deed::Takes }, None, after);
    }

    /// Passes what a scheme leaves out of the preparation of a partition.
    fn pass(&self, worker: &mut Worker) {
        if worker.session == Session::Taken && self.scheme.ends.others == Others::Nobody {
            worker.session = Session::Ended;
        }
        if worker.session == Session::Ended && self.scheme.read_back.at_start != AtStart::UntilLastRow {
            worker.session = Session::Looked;
        }
        let fills = matches!(self.scheme.ids, Ids::Local { filled: Filled::FromRows, .. });
        if worker.session == Session::Looked && !fills {
            worker.session = Session::Serving;
        }
    }

    fn end_others(&self, world: &World, who: usize, next: &mut Next) {
        let worker = world.workers[who];
        let mut after = *world;
        for insert in &mut after.inserts {
            let ends = match self.scheme.ends.others {
                Others::Nobody => false,
                Others::LastOwner => insert.node == worker.before,
                Others::OfPartition => true,
            };
            if ends && insert.node != NONE {
                self.end(&mut after.workers, insert);
            }
        }
        after.sort_inserts();
        after.workers[who].before = NONE;
        after.workers[who].session = Session::Ended;
        self.pass(&mut after.workers[who]);
        push(next, worker.node, Deed::EndsOthers, None, after);
        self.interrupted(world, who, Deed::CannotEndOthers, next);
    }

    /// Ends an insert: its sender, should it still wait, learns of it.
    fn end(&self, workers: &mut [Worker], insert: &mut Insert) {
        let senders = workers.iter_mut().filter(|worker| worker.node == insert.node && insert.awaited);
        for batch in senders.flat_map(|worker| &mut worker.queue) {
            if batch.stage == Stage::Sent && batch.lo == insert.lo {
                batch.stage = Stage::Doubt;
            }
        }
        *insert = Insert::NO;
    }

    fn look(&self, world: &World, who: usize, next: &mut Next) {
        let mut after = *world;
        let worker = &mut after.workers[who];
        let last = world.rows.there().iter().last();
        worker.dirty_until = last.filter(|last| *last >= worker.read_to).map_or(0, |last| last + 1);
        worker.session = Session::Looked;
        self.pass(worker);
        push(next, worker.node, Deed::Looks, None, after);
    }

    fn fill(&self, world: &World, who: usize, next: &mut Next) {
        let mut after = *world;
        let worker = &mut after.workers[who];
        for position in world.rows.there().iter() {
            let first = &mut worker.first[usize::from(self.scope.id(position))];
            *first = position.min(*first);
        }
        worker.session = Session::Serving;
        push(next, worker.node, Deed::FillsIds, None, after);
    }

    // A worker serves the partition.

    fn serve(&self, world: &World, who: usize, next: &mut Next) {
        let worker = &world.workers[who];
        let under_way = worker.under_way();
        if under_way < self.scheme.depth {
            for &length in self.scheme.cuts {
                let hi = worker.read_to + length;
                if hi <= self.scope.end() {
                    self.read(world, who, hi, next);
                }
            }
        }
        let busy = |batch: &&Batch| {
            matches!(batch.stage, Stage::ToInsert | Stage::Sent | Stage::Doubt | Stage::Ended)
        };
        if let Some(place) = worker.queue[..under_way].iter().position(|batch| busy(&batch)) {
            self.insert(world, who, place, next);
        }
        match worker.queue[0].stage {
            Stage::ToCommit => self.commit(world, who, next),
            Stage::ToCommitToKafka => {
                let mut after = *world;
                let batch = worker.queue[0];
                after.books.group = batch.hi;
                self.go_on(&mut after.workers[who], Stage::ToCommitToKafka);
                push(next, worker.node, Deed::CommitsToKafka, Some((batch.lo, batch.hi)), after);
            }
            Stage::None | Stage::ToInsert | Stage::Sent | Stage::Doubt | Stage::Ended => {}
        }
        self.interrupted(world, who, Deed::Stops, next);
    }

    /// Reads a batch and judges it.
    fn read(&self, world: &World, who: usize, hi: u8, next: &mut Next) {
        let mut after = *world;
        let worker = &mut after.workers[who];
        let lo = worker.read_to;
        let range = Positions::range(lo, hi);
        let reads_back = lo < worker.dirty_until;
        let there = if reads_back { world.rows.there() } else { Positions::default() };
        let fresh = self.judge(&mut worker.first, &world.books, range, there);
        let missing = fresh.without(there);
        let mut batch = Batch { stage: Stage::None, lo, hi, fresh, missing };
        batch.stage = self.after(Stage::None, &batch);
        let place = worker.under_way();
        worker.queue[place] = batch;
        worker.read_to = hi;
        push(next, worker.node, Deed::Reads, Some((lo, hi)), after);
    }

    /// Those of a batch's positions that are no duplicates.
    fn judge(&self, first: &mut [u8; 4], books: &Books, range: Positions, there: Positions) -> Positions {
        match self.scheme.ids {
            Ids::Unknown => range,
            Ids::Postgres => self.unknown_to(books.ids, range),
            Ids::Local { rule, .. } => range.filter_mut(|position| {
                let first = &mut first[usize::from(self.scope.id(position))];
                let known = *first;
                *first = known.min(position);
                match rule {
                    Rule::Earlier => known >= position || there.has(position),
                    Rule::Known => known == NONE,
                }
            }),
        }
    }

    /// The first of each id of a batch that is not in `ids`.
    fn unknown_to(&self, mut ids: u8, range: Positions) -> Positions {
        range.filter_mut(|position| {
            let bit = 1 << self.scope.id(position);
            let unknown = ids & bit == 0;
            ids |= bit;
            unknown
        })
    }

    /// What the one batch that is being inserted does next.
    fn insert(&self, world: &World, who: usize, place: usize, next: &mut Next) {
        let worker = &world.workers[who];
        let batch = worker.queue[place];
        let span = Some((batch.lo, batch.hi));
        let mut after = *world;
        match batch.stage {
            Stage::ToInsert => {
                let Some(free) = world.inserts.iter().position(|insert| insert.node == NONE) else { return };
                let (node, rows) = (worker.node, batch.missing);
                after.inserts[free] = Insert { node, lo: batch.lo, hi: batch.hi, rows, awaited: true };
                after.sort_inserts();
                after.workers[who].queue[place].stage = Stage::Sent;
                push(next, node, Deed::Sends, span, after);
            }
            Stage::Doubt if self.scheme.ends.own => {
                for insert in &mut after.inserts {
                    if insert.node == worker.node {
                        *insert = Insert::NO;
                    }
                }
                after.sort_inserts();
                after.workers[who].queue[place].stage = Stage::Ended;
                push(next, worker.node, Deed::EndsOwn, span, after);
                self.interrupted(world, who, Deed::CannotEndOwn, next);
            }
            Stage::Doubt | Stage::Ended => {
                let batch = &mut after.workers[who].queue[place];
                batch.missing = batch.fresh.without(world.rows.there());
                batch.stage = if batch.missing.is_empty() {
                    self.after(Stage::ToInsert, batch)
                } else {
                    Stage::ToInsert
                };
                drop_done(&mut after.workers[who]);
                push(next, worker.node, Deed::ReadsBack, span, after);
            }
            Stage::None | Stage::Sent | Stage::ToCommit | Stage::ToCommitToKafka => {}
        }
    }

    fn commit(&self, world: &World, who: usize, next: &mut Next) {
        let worker = &world.workers[who];
        let batch = worker.queue[0];
        let span = Some((batch.lo, batch.hi));
        let guard = self.scheme.guard;
        let has_cursor = self.scheme.cursor == Cursor::Postgres;
        let my_epoch = !guard.compares_epoch() || world.books.epoch == worker.epoch;
        let mut done = *world;
        self.go_on(&mut done.workers[who], Stage::ToCommit);
        if has_cursor && my_epoch && world.books.next == batch.hi {
            return push(next, worker.node, Deed::KnowsCommitted, span, done);
        }
        if has_cursor && !(my_epoch && (!guard.compares_offset() || world.books.next == batch.lo)) {
            let mut after = *world;
            self.let_go(&mut after, who);
            return push(next, worker.node, Deed::Refused, span, after);
        }
        let range = Positions::range(batch.lo, batch.hi);
        let mut books = world.books;
        books.metered.add(match self.scheme.ids {
            Ids::Unknown => range,
            Ids::Postgres => self.unknown_to(books.ids, range),
            Ids::Local { .. } => batch.fresh,
        });
        books.ids = range.iter().fold(books.ids, |ids, position| ids | 1 << self.scope.id(position));
        if has_cursor {
            books.next = batch.hi;
        }
        done.books = books;
        push(next, worker.node, Deed::Commits, span, done);
        if world.faults > 0 {
            let mut lost = *world;
            lost.faults -= 1;
            push(next, worker.node, Deed::CommitLost, span, lost);
            lost.books = books;
            push(next, worker.node, Deed::CommitAnswerLost, span, lost);
        }
    }

    /// The stage that follows `stage`.
    fn after(&self, stage: Stage, batch: &Batch) -> Stage {
        let stages: &[Stage] = match (self.scheme.order, self.scheme.cursor) {
            (Order::InsertThenCommit, Cursor::Postgres) => &[Stage::ToInsert, Stage::ToCommit],
            (Order::InsertThenCommit, Cursor::Kafka) => {
                &[Stage::ToInsert, Stage::ToCommit, Stage::ToCommitToKafka]
            }
            (Order::CommitThenInsert, Cursor::Postgres) => &[Stage::ToCommit, Stage::ToInsert],
            (Order::CommitThenInsert, Cursor::Kafka) => {
                &[Stage::ToCommitToKafka, Stage::ToInsert, Stage::ToCommit]
            }
        };
        let done = stages.iter().position(|other| *other == stage).map_or(0, |place| place + 1);
        let needed = |stage: &&Stage| **stage != Stage::ToInsert || !batch.missing.is_empty();
        stages[done..].iter().find(needed).copied().unwrap_or(Stage::None)
    }

    /// The oldest batch has passed `stage`.
    fn go_on(&self, worker: &mut Worker, stage: Stage) {
        worker.queue[0].stage = self.after(stage, &worker.queue[0]);
        drop_done(worker);
    }

    /// A store does not answer, or the process is ordered to stop: all is forgotten, and the partition is let go.
    fn interrupted(&self, world: &World, who: usize, deed: Deed, next: &mut Next) {
        if world.faults == 0 {
            return;
        }
        let mut after = *world;
        after.faults -= 1;
        self.let_go(&mut after, who);
        push(next, world.workers[who].node, deed, None, after);
    }

    fn let_go(&self, world: &mut World, who: usize) {
        let node = world.workers[who].node;
        abandon_inserts(world, node);
        world.workers[who] = Worker::idle(node);
        if world.books.owner == node {
            world.books.owner = NONE;
        }
    }
}

impl Positions {
    fn filter_mut(self, mut keep: impl FnMut(u8) -> bool) -> Self {
        let mut kept = Self::default();
        for position in self.iter() {
            if keep(position) {
                kept = kept.with(position);
            }
        }
        kept
    }
}

/// Nobody waits any more for what `node` has sent.
fn abandon_inserts(world: &mut World, node: u8) {
    for insert in &mut world.inserts {
        insert.awaited &= insert.node != node;
    }
}

/// Takes the oldest batch off the queue if nothing is left to do for it.
fn drop_done(worker: &mut Worker) {
    if worker.queue[0].stage == Stage::None && worker.queue[0].hi > 0 {
        worker.shift();
    }
}

/// The bit of a range and a table partition in the deduplication log.
fn token(insert: &Insert, month: u8) -> u32 {
    1 << (insert.lo * 6 + (insert.hi - insert.lo - 1) * 2 + month)
}

fn push(next: &mut Next, node: u8, deed: Deed, span: Option<(u8, u8)>, after: World) {
    let (lo, hi) = span.unwrap_or_default();
    next.push((Step { node, deed, lo, hi }, after));
}
