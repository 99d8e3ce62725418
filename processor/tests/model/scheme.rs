//! How a processor may work: the choices that a scheme makes.

/// A scheme. [`OURS`] is weir's; the others differ from it, or from [`CLASSIC`], in what their name says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scheme {
    pub(crate) cursor: Cursor,
    pub(crate) order: Order,
    pub(crate) guard: Guard,
    pub(crate) ids: Ids,
    pub(crate) read_back: ReadBack,
    pub(crate) ends: Ends,
    pub(crate) table: Table,
    /// Lengths of batches, in records.
    pub(crate) cuts: &'static [u8],
    /// Batches that may be under way at once: 1 is one after the other.
    pub(crate) depth: usize,
    pub(crate) takeovers: bool,
    pub(crate) demand: Demand,
}

/// Where it stands how far the log has been processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// In the transaction that counts usage.
    Postgres,
    /// In the consumer group, written after that transaction.
    Kafka,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    InsertThenCommit,
    CommitThenInsert,
}

/// What a commit compares before it sets the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    Nothing,
    Epoch,
    Offset,
    OffsetAndEpoch,
}

impl Guard {
    pub(crate) fn compares_offset(self) -> bool {
        matches!(self, Self::Offset | Self::OffsetAndEpoch)
    }

    pub(crate) fn compares_epoch(self) -> bool {
        matches!(self, Self::Epoch | Self::OffsetAndEpoch)
    }
}

/// How a client's retry is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    /// Not at all.
    Unknown,
    /// Rows of Postgres, written in the transaction that counts usage, which looks at them again.
    Postgres,
    /// A store of the owner's: id to first position.
    Local { rule: Rule, filled: Filled },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A duplicate stands after the id's first position; a row at this very position makes it stored all the same.
    Earlier,
    /// A duplicate is what the store holds already.
    Known,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// From ClickHouse, before the partition is served.
    FromRows,
    /// "It could not be opened, so start empty."
    Empty,
}

/// When a processor asks which rows are there before it inserts the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadBack {
    pub(crate) at_start: AtStart,
    /// After an insert that failed or was not answered.
    pub(crate) after_doubt: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtStart {
    Never,
    /// Of the first batch only: enough where no batch is inserted before the last one is committed.
    FirstBatch,
    /// Of batches that begin before the last row that is there when the partition is taken.
    UntilLastRow,
    /// Of all batches, for as long as the partition is owned.
    Always,
}

/// Which inserts are ended (`KILL QUERY ... SYNC`) before rows are read back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    /// The processor's own, after doubt.
    pub(crate) own: bool,
    /// Those of others, when a partition is taken.
    pub(crate) others: Others,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    Nobody,
    /// Those of the owner whom the cursor's row named until then. One that lets go is named no longer.
    LastOwner,
    /// From any process, as long as they are for this partition.
    OfPartition,
}

/// What ClickHouse's table does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Plain,
    /// Drops blocks that carry a token seen before: one token for each range and table partition.
    Tokens {
        /// The token may be written without its rows: what version 26.9 does when it is killed.
        burn: bool,
    },
}

/// What of the rows must hold, besides all that must hold always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Each position once, as counted without `FINAL`, whatever happens.
    Raw,
    /// The same until a partition is taken from a processor that lives: its rows may come late. `FINAL` always.
    RawUntilZombie,
    /// `FINAL` only.
    Final,
}

/// What is often built: ids in Postgres, one batch after the other, no leases, nothing read back.
pub(crate) const CLASSIC: Scheme = Scheme {
    cursor: Cursor::Postgres,
    order: Order::InsertThenCommit,
    guard: Guard::Offset,
    ids: Ids::Postgres,
    read_back: ReadBack { at_start: AtStart::Never, after_doubt: false },
    ends: Ends { own: false, others: Others::Nobody },
    table: Table::Plain,
    cuts: &[1, 2, 3],
    depth: 1,
    takeovers: true,
    demand: Demand::Final,
};

/// weir's: ids in a store of the owner's, read-back only after doubt, batches inserted ahead of the commit.
pub(crate) const OURS: Scheme = Scheme {
    guard: Guard::OffsetAndEpoch,
    ids: Ids::Local { rule: Rule::Earlier, filled: Filled::FromRows },
    read_back: ReadBack { at_start: AtStart::UntilLastRow, after_doubt: true },
    ends: Ends { own: true, others: Others::OfPartition },
    depth: 2,
    demand: Demand::RawUntilZombie,
    ..CLASSIC
};
