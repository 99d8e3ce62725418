//! Bringing a store up to date from ClickHouse, before its partition is served.

use std::io;
use std::time::Instant;

use schemas::id::Position;
use schemas::time::Micros;
use seen::{IdStores, Opened, Seen, SeenIds, spans};
use service::store::StoreError;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::metrics;
use crate::own::Owned;
use crate::stores::{Ids, Table};

/// Rows that are handed to the store at once.
const CHUNK_ROWS: usize = 16_384;

/// What [`StoreError`] calls the ids on disk.
pub(crate) const IDS: &str = "the store of ids on disk";

/// The disk failed. The partition must not be served then; to try again is right.
pub(crate) fn disk_failed(error: io::Error) -> StoreError {
    StoreError::retry(IDS, error)
}

/// The ids of an owned partition, complete up to its cursor: those on disk, and from ClickHouse what is missing there,
/// which is everything if nothing on disk can be used.
///
/// # Errors
/// If the disk or ClickHouse fails: the partition must not be served then; to try again is right.
pub async fn open_filled(
    stores: &std::sync::Arc<IdStores>,
    table: &impl Table,
    own: &Owned,
    now: Micros,
) -> Result<SeenIds, StoreError> {
    let began = Instant::now();
    let (opening, partition, generation) = (std::sync::Arc::clone(stores), own.partition, own.ids_generation);
    let Opened { store, holds_below } = blocking(move || opening.open(partition, generation)).await?;
    let (from, cursor) =
        (holds_below.unwrap_or(Position::from_number(0)), Position::first_of(own.next_offset));
    let newest = table.newest_id(partition, from).await?.max(store.newest());
    let mut filling = Filling { store: Some(store), chunk: Vec::with_capacity(CHUNK_ROWS), rows: 0 };
    if let Some(newest) = newest {
        for (since, until) in spans(newest.min(now), stores.window(), holds_below.is_some()) {
            filling.read(table, partition, from, since, until).await?;
        }
    }
    let rows = filling.rows;
    let mut store = filling.end().await?;
    let store = blocking(move || store.filled(cursor).map(|()| store)).await?;
    let kind = if holds_below.is_some() { "gap" } else { "whole" };
    ::metrics::histogram!(metrics::IDS_FILL_SECONDS, "kind" => kind).record(began.elapsed().as_secs_f64());
    tracing::info!(
        partition,
        from = own.next_offset,
        epoch = own.epoch,
        ids = store.len(),
        read = kind,
        rows,
        ms = began.elapsed().as_millis(),
        "took a partition"
    );
    Ok(store)
}

/// A store between ClickHouse, which is read without blocking a thread, and the disk, which may block one.
struct Filling {
    /// Away while it is being written.
    store: Option<SeenIds>,
    chunk: Vec<Seen>,
    rows: u64,
}

impl Filling {
    async fn read(
        &mut self,
        table: &impl Table,
        partition: u32,
        from: Position,
        since: Micros,
        until: Option<Micros>,
    ) -> Result<(), StoreError> {
        let mut ids = table.ids_since(partition, from, since, until)?;
        while let Some(seen) = ids.next().await? {
            self.chunk.push(seen);
            self.rows += 1;
            if self.chunk.len() == CHUNK_ROWS {
                self.hand_over().await?;
            }
        }
        self.hand_over().await?;
        Ok(())
    }

    async fn hand_over(&mut self) -> Result<(), StoreError> {
        let Some(mut store) = self.store.take() else { return Err(lost()) };
        let mut chunk = std::mem::take(&mut self.chunk);
        let (store, chunk) = blocking(move || {
            store.fill(&chunk)?;
            chunk.clear();
            Ok((store, chunk))
        })
        .await?;
        (self.store, self.chunk) = (Some(store), chunk);
        Ok(())
    }

    async fn end(mut self) -> Result<SeenIds, StoreError> {
        self.hand_over().await?;
        self.store.ok_or_else(lost)
    }
}

fn lost() -> StoreError {
    disk_failed(io::Error::other("the store has failed before"))
}

/// Runs what may wait for the disk where it holds up nobody; in a runtime of one thread at once, so that what happens
/// there happens in one order.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work().map_err(disk_failed);
    }
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten().map_err(disk_failed)
}
