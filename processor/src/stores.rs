//! What the loop asks of its two stores. Production has one of each, [`ClickHouse`] and [`Postgres`]; the simulation
//! in `tests/` puts stores in their place that lose, delay and repeat.

use std::collections::BTreeMap;
use std::time::Duration;

use clickhouse::Client;
use schemas::id::Position;
use schemas::time::Micros;
use service::store::{CLICKHOUSE, POSTGRES, StoreError, in_time};
use sqlx::PgPool;
use uuid::Uuid;

use crate::batch::Range;
use crate::block::Block;
use crate::commit::{self, Commit, Committed};
use crate::db::partition_cursor;
use crate::dead::budget::Budget;
use crate::insert;
use crate::own::{self, Owned};
use crate::repair::{self, Present};
use seen::Seen;

/// How long one question to a store may take. Postgres itself ends a statement after 10 s; this is for a store that
/// has stopped answering altogether.
const PATIENCE: Duration = Duration::from_secs(20);

/// The table of events.
pub trait Table: Clone + Send + Sync + 'static {
    /// Inserts a block and returns when its rows are on disk.
    ///
    /// # Errors
    /// Whatever fails, the rows may be in the table, some of them or all, now or later: [`Table::end_insert`], then
    /// [`Table::present`].
    fn insert(
        &self,
        query_id: &str,
        block: &Block,
        deadline: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Ends the insert `query_id`, if it still runs. After `Ok` it has ended one way or the other.
    ///
    /// # Errors
    /// Nothing is known then.
    fn end_insert(&self, query_id: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Ends every insert for a partition that was just taken, from any process. After `Ok`, what they had sent is in
    /// the table or will never be.
    ///
    /// # Errors
    /// The partitions must not be served then.
    fn end_inserts_for(&self, taken: &[Owned]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The positions of `ranges` that the table has.
    ///
    /// # Errors
    /// Nothing must be inserted then.
    fn present(&self, ranges: &[Range]) -> impl Future<Output = Result<Present, StoreError>> + Send;

    /// One past the last offset of each partition of which the table has a row at or after its cursor. Partitions
    /// without such a row are left out.
    ///
    /// # Errors
    /// The partitions must not be served then.
    fn dirty_until(
        &self,
        owned: &[Owned],
    ) -> impl Future<Output = Result<BTreeMap<u32, u64>, StoreError>> + Send;

    /// When the newest event of a partition was received that is stored at or after the position `from`.
    ///
    /// # Errors
    /// The partition must not be served then.
    fn newest_id(
        &self,
        partition: u32,
        from: Position,
    ) -> impl Future<Output = Result<Option<Micros>, StoreError>> + Send;

    /// What [`Table::ids_since`] returns.
    type Ids: Ids;

    /// The ids of a partition at or after the position `from` that were received in `[since, until)`, in no order.
    ///
    /// # Errors
    /// The partition must not be served then.
    fn ids_since(
        &self,
        partition: u32,
        from: Position,
        since: Micros,
        until: Option<Micros>,
    ) -> Result<Self::Ids, StoreError>;
}

/// Ids on their way from the table.
pub trait Ids: Send {
    /// The next one; `None` after the last.
    ///
    /// # Errors
    /// The partition must not be served then.
    fn next(&mut self) -> impl Future<Output = Result<Option<Seen>, StoreError>> + Send;
}

/// Cursors, ownership and ledgers.
pub trait Books: Clone + Send + Sync + 'static {
    /// As [`own::renew`].
    ///
    /// # Errors
    /// The lease may not be renewed.
    fn renew(
        &self,
        node: Uuid,
        lease_time: Duration,
        has_share: bool,
    ) -> impl Future<Output = Result<Micros, StoreError>> + Send;

    /// As [`own::share`].
    ///
    /// # Errors
    /// The share is not known.
    fn share(&self) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// As [`own::acquire`].
    ///
    /// # Errors
    /// Partitions may have been taken all the same.
    fn acquire(
        &self,
        node: Uuid,
        lease_time: Duration,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Owned>, StoreError>> + Send;

    /// By partition: how often ids became known behind its cursor ([`Owned::ids_generation`]).
    ///
    /// # Errors
    /// It is not known.
    fn ids_generations(&self) -> impl Future<Output = Result<BTreeMap<u32, i64>, StoreError>> + Send;

    /// As [`own::keep_only`].
    ///
    /// # Errors
    /// To be tried again.
    fn keep_only(&self, node: Uuid, kept: &[u32]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// As [`own::halt`].
    ///
    /// # Errors
    /// To be tried again.
    fn halt(
        &self,
        node: Uuid,
        partition: u32,
        reason: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// By partition that is halted: why.
    ///
    /// # Errors
    /// It is not known.
    fn halted(&self) -> impl Future<Output = Result<BTreeMap<u32, String>, StoreError>> + Send;

    /// As [`own::leave`].
    ///
    /// # Errors
    /// Others take the partitions when the lease has run out.
    fn leave(&self, node: Uuid) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// As [`commit::commit`].
    ///
    /// # Errors
    /// Whether it committed is not known: to be called again.
    fn commit(&self, batch: &Commit) -> impl Future<Output = Result<Committed, StoreError>> + Send;
}

/// The table in ClickHouse.
#[derive(Clone)]
pub struct ClickHouse(pub Client);

/// The books in Postgres.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// Its connections.
    pub pool: PgPool,
    /// How many events may be dead.
    pub dead: Budget,
}

impl Table for ClickHouse {
    async fn insert(&self, query_id: &str, block: &Block, deadline: Duration) -> Result<(), StoreError> {
        // The deadline holds for each chunk and for the end.
        in_time(CLICKHOUSE, deadline * 2, insert::insert(&self.0, query_id, deadline, block)).await
    }

    async fn end_insert(&self, query_id: &str) -> Result<(), StoreError> {
        in_time(CLICKHOUSE, PATIENCE, repair::end_insert(&self.0, query_id)).await
    }

    async fn end_inserts_for(&self, taken: &[Owned]) -> Result<(), StoreError> {
        in_time(CLICKHOUSE, PATIENCE, repair::end_inserts_for(&self.0, taken)).await
    }

    async fn present(&self, ranges: &[Range]) -> Result<Present, StoreError> {
        in_time(CLICKHOUSE, PATIENCE, repair::present(&self.0, ranges)).await
    }

    async fn dirty_until(&self, owned: &[Owned]) -> Result<BTreeMap<u32, u64>, StoreError> {
        in_time(CLICKHOUSE, PATIENCE, repair::dirty_until(&self.0, owned)).await
    }

    async fn newest_id(&self, partition: u32, from: Position) -> Result<Option<Micros>, StoreError> {
        in_time(CLICKHOUSE, PATIENCE, repair::newest_id(&self.0, partition, from)).await
    }

    type Ids = repair::Ids;

    fn ids_since(
        &self,
        partition: u32,
        from: Position,
        since: Micros,
        until: Option<Micros>,
    ) -> Result<repair::Ids, StoreError> {
        Ok(repair::ids_since(&self.0, partition, from, since, until)?)
    }
}

impl Ids for repair::Ids {
    async fn next(&mut self) -> Result<Option<Seen>, StoreError> {
        Ok(repair::Ids::next(self).await?)
    }
}

impl Books for Postgres {
    async fn renew(&self, node: Uuid, lease_time: Duration, has_share: bool) -> Result<Micros, StoreError> {
        in_time(POSTGRES, PATIENCE, own::renew(&self.pool, node, lease_time, has_share)).await
    }

    async fn share(&self) -> Result<usize, StoreError> {
        in_time(POSTGRES, PATIENCE, own::share(&self.pool)).await
    }

    async fn acquire(&self, node: Uuid, lease_time: Duration, most: usize) -> Result<Vec<Owned>, StoreError> {
        in_time(POSTGRES, PATIENCE, own::acquire(&self.pool, node, lease_time, most)).await
    }

    async fn ids_generations(&self) -> Result<BTreeMap<u32, i64>, StoreError> {
        in_time(POSTGRES, PATIENCE, partition_cursor::ids_generations(&self.pool)).await
    }

    async fn keep_only(&self, node: Uuid, kept: &[u32]) -> Result<(), StoreError> {
        in_time(POSTGRES, PATIENCE, own::keep_only(&self.pool, node, kept)).await
    }

    async fn halt(&self, node: Uuid, partition: u32, reason: &str) -> Result<(), StoreError> {
        in_time(POSTGRES, PATIENCE, own::halt(&self.pool, node, partition, reason)).await
    }

    async fn halted(&self) -> Result<BTreeMap<u32, String>, StoreError> {
        in_time(POSTGRES, PATIENCE, partition_cursor::halted(&self.pool)).await
    }

    async fn leave(&self, node: Uuid) -> Result<(), StoreError> {
        in_time(POSTGRES, PATIENCE, own::leave(&self.pool, node)).await
    }

    async fn commit(&self, batch: &Commit) -> Result<Committed, StoreError> {
        in_time(POSTGRES, PATIENCE, commit::commit(&self.pool, batch, self.dead)).await
    }
}
