//! Partitions that are being made ready: each in a task of its own, so that nothing waits for it that is served.

use std::collections::HashMap;
use std::sync::Arc;

use eventlog::EventLog;
use schemas::time::Micros;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::Interrupted;
use super::pipeline::Workshop;
use super::trouble::Cause;
use crate::fill;
use crate::mark;
use crate::metrics;
use crate::own::Owned;
use crate::stores::{Books, Table};
use seen::SeenIds;

/// Partitions that are made ready at a time.
const AT_A_TIME: usize = 4;

/// Dropping it ends the tasks.
pub(super) struct Fills {
    tasks: JoinSet<Made>,
    filling: HashMap<Id, (Owned, AbortHandle)>,
    places: Arc<Semaphore>,
}

/// Whether a partition is ready.
pub(super) type Made = Result<Ready, Cause>;

/// What a partition is served with.
pub(super) struct Ready {
    /// Its ids, complete up to the cursor.
    pub(super) seen: SeenIds,
    /// Batches up to there must be read back before they are inserted.
    pub(super) dirty_until: Option<u64>,
}

impl Fills {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), filling: HashMap::new(), places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// Begins to make a partition ready that was taken.
    pub(super) fn begin<T: Table, B: Books>(
        &mut self,
        workshop: &Workshop<T, B>,
        log: &Arc<dyn EventLog>,
        own: Owned,
    ) {
        let (workshop, log, places) = (workshop.clone(), Arc::clone(log), Arc::clone(&self.places));
        let handle = self.tasks.spawn(async move {
            let _place = places.acquire_owned().await;
            make_ready(&workshop, &*log, own).await
        });
        self.filling.insert(handle.id(), (own, handle));
        self.observe();
    }

    /// Those that are ready, or can't be made so.
    ///
    /// # Errors
    /// If a task broke.
    pub(super) fn ended(&mut self) -> Result<Vec<(Owned, Made)>, Interrupted> {
        let mut ended = Vec::new();
        while let Some(joined) = self.tasks.try_join_next_with_id() {
            let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
            // Those that were abandoned are not there.
            if let Some((own, _)) = self.filling.remove(&id) {
                let (_, made) = joined.map_err(|broke| Interrupted::Broke(broke.to_string()))?;
                ended.push((own, made));
            }
        }
        self.observe();
        Ok(ended)
    }

    /// Abandons all but `most`: which. Nothing is lost: what they have read is read again.
    pub(super) fn keep(&mut self, most: usize) -> Vec<u32> {
        let mut by_partition: Vec<(u32, Id)> =
            self.filling.iter().map(|(id, (own, _))| (own.partition, *id)).collect();
        by_partition.sort_unstable();
        let abandoned = by_partition.split_off(most.min(by_partition.len()));
        for (_, id) in &abandoned {
            if let Some((_, task)) = self.filling.remove(id) {
                task.abort();
            }
        }
        self.observe();
        abandoned.into_iter().map(|(partition, _)| partition).collect()
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = u32> {
        self.filling.values().map(|(own, _)| own.partition)
    }

    pub(super) fn len(&self) -> usize {
        self.filling.len()
    }

    /// Ends them all, and waits until they have.
    pub(super) async fn end(&mut self) {
        let _abandoned = self.keep(0);
        self.tasks.shutdown().await;
    }

    fn observe(&self) {
        let filling = u32::try_from(self.len()).unwrap_or(u32::MAX);
        ::metrics::gauge!(metrics::PARTITIONS_FILLING).set(f64::from(filling));
    }
}

/// Ends what others still insert for the partition, sees that the log is the same, finds what must be read back, and
/// brings its ids up to date.
async fn make_ready<T: Table, B: Books>(
    workshop: &Workshop<T, B>,
    log: &dyn EventLog,
    own: Owned,
) -> Result<Ready, Cause> {
    let Workshop { table, clock, ids, .. } = workshop;
    if let Some(mark) = own.mark {
        let is_same = mark::check(log, own.partition, mark, own.next_offset).await;
        is_same.map_err(|error| Cause::of_log(own.partition, error))?;
    }
    table.end_inserts_for(&[own]).await?;
    let dirty_until = table.dirty_until(&[own]).await?.remove(&own.partition);
    // Reading too many ids is safe, too few is not.
    let seen = fill::open_filled(ids, table, &own, Micros(clock.read().earliest())).await?;
    Ok(Ready { seen, dirty_until })
}
