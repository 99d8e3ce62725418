//! A block: rows as ClickHouse takes them, and which row is where.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use metering::ledger::Account;
use schemas::content::ContentHash;
use schemas::id::Position;

use crate::batch::Placed;
use crate::enrich::Enricher;
use crate::repair::Present;
use crate::row;

/// Rows that are encoded already, so that they borrow nothing of the records that they came from.
#[derive(Debug, Clone)]
pub struct Block {
    /// The columns' names and types, then the rows.
    bytes: Arc<Vec<u8>>,
    /// Where the first row begins.
    start: usize,
    rows: Arc<Vec<Row>>,
    /// Those of the rows, in their order: one stands there again where it comes again.
    accounts: Arc<Vec<Account>>,
    enriched_by: (u16, u32),
}

/// Where a row stands, in the log and in the block.
#[derive(Debug, Clone, Copy)]
struct Row {
    partition: u32,
    position: Position,
    /// One past its last byte.
    end: usize,
    /// Its place in the block's accounts.
    account: u32,
    contents: ContentHash,
}

impl Block {
    /// Encodes the events' rows.
    #[must_use]
    pub fn of(events: &[Placed<'_>], enricher: &Enricher) -> Self {
        Self::within(Vec::new(), events, enricher)
    }

    /// The same in a buffer that [`Block::into_buffer`] has given back: fresh pages cost more than what is written on
    /// them.
    pub(crate) fn within(buffer: Vec<u8>, events: &[Placed<'_>], enricher: &Enricher) -> Self {
        let mut bytes = buffer;
        bytes.clear();
        bytes.reserve(events.iter().map(row::bytes_about).sum());
        row::write_header(&mut bytes);
        let start = bytes.len();
        let mut rows = Vec::with_capacity(events.len());
        let mut accounts = Vec::new();
        let mut cache = enricher.begin_batch();
        for placed in events {
            let account = Account::of(&placed.envelope);
            if accounts.last() != Some(&account) {
                accounts.push(account);
            }
            let account = u32::try_from(accounts.len() - 1).unwrap_or(u32::MAX);
            let contents = row::write(&mut bytes, placed, &enricher.enrich(placed, &mut cache));
            let (partition, position) = (placed.partition, placed.position);
            rows.push(Row { partition, position, end: bytes.len(), account, contents });
        }
        let enriched_by = cache.names();
        let (rows, accounts) = (Arc::new(rows), Arc::new(accounts));
        Self { bytes: Arc::new(bytes), start, rows, accounts, enriched_by }
    }

    /// The rows that are not `present`.
    #[must_use]
    pub fn without(&self, present: &Present) -> Self {
        if present.is_empty() {
            return self.clone();
        }
        let mut bytes = Vec::with_capacity(self.bytes.len());
        bytes.extend_from_slice(&self.bytes[..self.start]);
        let start = self.start;
        let mut rows = Vec::new();
        for (row, encoded) in self.encoded() {
            if !present.contains_key(&(row.partition, row.position)) {
                bytes.extend_from_slice(encoded);
                rows.push(Row { end: bytes.len(), ..row });
            }
        }
        let (rows, accounts) = (Arc::new(rows), Arc::clone(&self.accounts));
        Self { bytes: Arc::new(bytes), start, rows, accounts, enriched_by: self.enriched_by }
    }

    /// Partition, position and bytes of each row.
    pub fn rows(&self) -> impl Iterator<Item = (u32, Position, &[u8])> {
        self.encoded().map(|(row, encoded)| (row.partition, row.position, encoded))
    }

    /// Under which rules and with which geo database its rows were enriched ([`crate::enrich::BatchCache::names`]).
    #[must_use]
    pub fn enriched_by(&self) -> (u16, u32) {
        self.enriched_by
    }

    /// Partition, position and hash of the contents of each row.
    pub fn contents(&self) -> impl Iterator<Item = (u32, Position, ContentHash)> {
        self.rows.iter().map(|row| (row.partition, row.position, row.contents))
    }

    /// What the rows count for; one stands there again where it comes again.
    #[must_use]
    pub(crate) fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Of each row, its place in [`Block::accounts`].
    pub(crate) fn account_of_each(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().map(|row| usize::try_from(row.account).unwrap_or(usize::MAX))
    }

    fn encoded(&self) -> impl Iterator<Item = (Row, &[u8])> {
        let starts = std::iter::once(self.start).chain(self.rows.iter().map(|row| row.end));
        self.rows.iter().zip(starts).map(|(row, start)| (*row, &self.bytes[start..row.end]))
    }

    /// What is sent, in pieces of a size that the connection's buffers like.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Bytes> {
        const PIECE: usize = 256 << 10;
        let end = self.bytes.len();
        (0..end).step_by(PIECE).map(move |from| {
            let range = from..end.min(from + PIECE);
            Bytes::from_owner(Piece { bytes: Arc::clone(&self.bytes), range })
        })
    }

    /// The memory, if nobody else has a hold on it.
    pub(crate) fn into_buffer(self) -> Option<Vec<u8>> {
        Arc::into_inner(self.bytes)
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// A part of a block on its way.
struct Piece {
    bytes: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }
}
