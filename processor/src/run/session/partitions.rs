//! Which partitions a session serves: taken, made ready, served, given away, halted.

use std::collections::BTreeMap;

use service::error::Chain;
use service::store::StoreError;
use tokio::time::Instant;

use super::super::Interrupted;
use super::super::fills::Ready;
use super::super::pipeline::{Pipeline, Workshop};
use super::super::trouble::{Cause, Trouble};
use super::{Session, count};
use crate::fill;
use crate::metrics;
use crate::own::Owned;
use crate::stores::{Books, Table};
use seen::SeenIds;

impl<T: Table, B: Books> Session<'_, T, B> {
    /// Takes or gives partitions until this processor has its share, and begins to make ready what it took.
    pub(super) async fn balance(&mut self, pipeline: &Pipeline) -> Result<(), Interrupted> {
        let Workshop { node, books, lease, rest, .. } = self.workshop;
        lease.renew(books).await?;
        if lease.has_lapsed() {
            return Err(Interrupted::Lapsed);
        }
        let share = books.share().await?;
        for abandoned in self.fills.keep(share.saturating_sub(self.owned.len())) {
            pipeline.forgets(abandoned);
        }
        if self.owned.len() > share {
            // Only what is committed can be given away without being done twice.
            pipeline.drained().await;
            if pipeline.has_failed() {
                return Ok(());
            }
        }
        let excess: Vec<u32> = self.owned.keys().skip(share).copied().collect();
        let kept: Vec<u32> = self.owned.keys().take(share).copied().chain(self.fills.partitions()).collect();
        books.keep_only(*node, &kept).await?;
        if !excess.is_empty() {
            excess.iter().for_each(|partition| pipeline.forgets(*partition));
            self.forget(|partition| excess.contains(&partition)).await;
        }
        let wanted = share.saturating_sub(kept.len());
        if wanted == 0 || !rest.is_over() {
            return Ok(());
        }
        for own in books.acquire(*node, self.config.lease_time, wanted).await? {
            pipeline.begins(&own);
            self.fills.begin(self.workshop, self.log, own);
        }
        Ok(())
    }

    /// Nobody has brought rows back below the cursors since the partitions were taken.
    pub(super) async fn check_ids(&mut self) -> Result<(), Interrupted> {
        if self.owned.is_empty() {
            return Ok(());
        }
        let now = self.workshop.books.ids_generations().await?;
        let changed = |own: &&Owned| now.get(&own.partition).is_some_and(|now| *now != own.ids_generation);
        match self.owned.values().find(changed) {
            Some(own) => {
                let trouble = Trouble { partition: own.partition, cause: Cause::IdsChanged };
                Err(Interrupted::Trouble(trouble))
            }
            None => Ok(()),
        }
    }

    /// Serves what has become ready.
    pub(super) async fn join_ready(&mut self, pipeline: &Pipeline) -> Result<(), Interrupted> {
        for (own, made) in self.fills.ended()? {
            let partition = own.partition;
            match made {
                Ok(Ready { seen, dirty_until }) => {
                    self.workshop.rest.succeeds();
                    self.owned.insert(partition, own);
                    self.seen.insert(partition, seen);
                    self.dirty_until.extend(dirty_until.map(|until| (partition, until)));
                    self.reread();
                }
                Err(cause) => self.give_back(pipeline, Trouble { partition, cause }).await?,
            }
        }
        Ok(())
    }

    /// Lets go of a partition that is served; the others are served on.
    pub(super) async fn part_with(
        &mut self,
        pipeline: &Pipeline,
        trouble: Trouble,
    ) -> Result<(), Interrupted> {
        // What is under way of it is committed first, so that nobody does it again.
        pipeline.drained().await;
        if pipeline.has_failed() {
            return Ok(());
        }
        self.forget(|partition| partition == trouble.partition).await;
        self.give_back(pipeline, trouble).await
    }

    /// Halts or releases a partition that is not served.
    async fn give_back(&mut self, pipeline: &Pipeline, trouble: Trouble) -> Result<(), Interrupted> {
        let Workshop { node, books, rest, .. } = self.workshop;
        pipeline.forgets(trouble.partition);
        match trouble.cause {
            Cause::Halts(reason) => return Ok(books.halt(*node, trouble.partition, &reason).await?),
            Cause::Fails(error @ StoreError::Fatal { .. }) => return Err(error.into()),
            Cause::Fails(ref error) => {
                self.balance_at = self.balance_at.min(Instant::now() + rest.fails(error));
                tracing::warn!(error = %trouble, "a partition is not served, and taken again after a pause");
            }
            Cause::IdsChanged => {
                self.balance_at = Instant::now();
                tracing::info!(reason = %trouble, "ids of a partition are read again");
            }
        }
        let kept: Vec<u32> = self.owned.keys().copied().chain(self.fills.partitions()).collect();
        Ok(books.keep_only(*node, &kept).await?)
    }

    /// Forgets what is known of partitions that were served.
    async fn forget(&mut self, which: impl Fn(u32) -> bool) {
        self.owned.retain(|partition, _| !which(*partition));
        self.dirty_until.retain(|partition, _| !which(*partition));
        put_away(self.seen.extract_if(.., |partition, _| which(*partition)).collect()).await;
        self.reread();
    }

    /// What is served has changed: it is read from where batches were prepared up to.
    fn reread(&mut self) {
        self.reader = None;
        self.left.clear();
        self.observe_partitions();
    }

    pub(super) fn observe_partitions(&self) {
        self.workshop.rest.serves(self.owned.len());
        ::metrics::gauge!(metrics::PARTITIONS).set(count(self.owned.len()));
    }
}

/// Brings to disk what is in memory of these ids, so that nothing has to be read from ClickHouse by the owner that
/// opens them next, and lets go of them. If it fails, they are read.
pub(super) async fn put_away(seen: BTreeMap<u32, SeenIds>) {
    let put_away = fill::blocking(move || {
        for (partition, mut seen) in seen {
            if let Err(error) = seen.flush() {
                tracing::warn!(error = %Chain(&error), partition, "the youngest ids were not brought to disk");
            }
        }
        Ok(())
    });
    if let Err(error) = put_away.await {
        tracing::warn!(error = %Chain(&error), "the youngest ids were not brought to disk");
    }
}
