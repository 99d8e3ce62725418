//! A session: from owning partitions to the first failure, or to the order to stop.

mod partitions;

use std::collections::BTreeMap;
use std::sync::Arc;

use eventlog::{EventLog, LogReader, Record};
use schemas::time::Micros;
use service::clock::Reading;
use service::shutdown::Shutdown;
use tokio::time::{Duration, Instant};

use super::Interrupted;
use super::fills::Fills;
use super::pipeline::{Pipeline, Workshop};
use super::prepare::{Material, Memory, Prepared, Product, prepare};
use super::stage::Stage;
use super::trouble::Trouble;
use crate::batch::{self, Failed, Placed, Range};
use crate::config::ProcessorConfig;
use crate::fill;
use crate::metrics;
use crate::own::Owned;
use crate::repair::Present;
use crate::stores::{Books, Table};
use partitions::put_away;
use seen::SeenIds;

/// How long one read waits for the first record.
const READ_WAIT: Duration = Duration::from_millis(100);
/// How often to see whether ids became known behind the cursors.
const CHECK_IDS_EVERY: Duration = Duration::from_millis(500);
/// How often ids beyond the window are forgotten, and the log trimmed.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Everything that is known of the partitions owned. It ends with the session: the next one reads it again.
pub(super) struct Session<'a, T, B> {
    workshop: &'a Workshop<T, B>,
    log: &'a Arc<dyn EventLog>,
    config: &'a ProcessorConfig,
    /// What is taken, and not ready to be served.
    fills: Fills,
    /// What is served; `next_offset` is the first that no batch has been prepared of.
    owned: BTreeMap<u32, Owned>,
    seen: BTreeMap<u32, SeenIds>,
    /// Batches up to there must be read back before they are inserted.
    dirty_until: BTreeMap<u32, u64>,
    /// Of all that is served; `None` if that has changed.
    reader: Option<Box<dyn LogReader>>,
    /// Read, but not prepared: they did not fit into the last batch.
    left: Vec<Record>,
    /// Memory for the next batch's events.
    events: Vec<Placed<'static>>,
    /// When partitions are taken or given next.
    balance_at: Instant,
    tidied_at: Instant,
    /// When ids were last found unchanged.
    checked_at: Instant,
}

impl<'a, T: Table, B: Books> Session<'a, T, B> {
    pub(super) fn new(
        workshop: &'a Workshop<T, B>,
        log: &'a Arc<dyn EventLog>,
        config: &'a ProcessorConfig,
    ) -> Self {
        let (owned, seen, dirty_until) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let now = Instant::now();
        Self {
            workshop,
            log,
            config,
            fills: Fills::new(),
            owned,
            seen,
            dirty_until,
            reader: None,
            left: Vec::new(),
            events: Vec::new(),
            balance_at: now,
            tidied_at: now,
            checked_at: now,
        }
    }

    /// Why it ended. What was prepared by then is inserted and committed first, if that can be.
    pub(super) async fn run(mut self, shutdown: &Shutdown) -> Interrupted {
        self.workshop.lease.begin();
        let pipeline = Pipeline::start(self.workshop, shutdown);
        let fed = self.feed(&pipeline, shutdown).await;
        // A failure of the pipeline comes first: what feeding it saw may be its echo.
        let finished = pipeline.finish().await;
        self.fills.end().await;
        put_away(std::mem::take(&mut self.seen)).await;
        self.owned.clear();
        self.observe_partitions();
        match (finished, fed) {
            (Err(why), _) | (Ok(()), Err(why)) => why,
            (Ok(()), Ok(())) => Interrupted::Broke("a stage ended early".to_owned()),
        }
    }

    /// Until something fails; `Ok` if it is the pipeline that did. What is wrong with one partition is no failure.
    async fn feed(&mut self, pipeline: &Pipeline, shutdown: &Shutdown) -> Result<(), Interrupted> {
        while !pipeline.has_failed() {
            if shutdown.is_ordered() {
                return Err(Interrupted::Stopping);
            }
            match self.turn(pipeline, shutdown).await {
                Err(Interrupted::Trouble(trouble)) => self.part_with(pipeline, trouble).await?,
                turned => turned?,
            }
        }
        Ok(())
    }

    async fn turn(&mut self, pipeline: &Pipeline, shutdown: &Shutdown) -> Result<(), Interrupted> {
        if self.balance_at <= Instant::now() {
            self.balance_at = Instant::now() + self.config.lease_time / 5;
            self.balance(pipeline).await?;
        }
        if self.tidied_at.elapsed() > TIDY_EVERY {
            self.tidied_at = Instant::now();
            self.tidy(pipeline).await?;
        }
        if self.checked_at.elapsed() > CHECK_IDS_EVERY {
            self.check_ids().await?;
            self.checked_at = Instant::now();
        }
        self.join_ready(pipeline).await?;
        if self.reader.is_none() && !self.owned.is_empty() {
            let from: Vec<(u32, u64)> =
                self.owned.values().map(|own| (own.partition, own.next_offset)).collect();
            self.reader = Some(self.log.reader(&from).await?);
        }
        self.step(pipeline, shutdown).await
    }

    /// One batch, if there is anything to read.
    async fn step(&mut self, pipeline: &Pipeline, shutdown: &Shutdown) -> Result<(), Interrupted> {
        let Some(room) = pipeline.room().await else { return Ok(()) };
        let mut stage = Stage::begin();
        let read_from = stage.begun();
        let records = self.read(shutdown).await?;
        if records.is_empty() {
            return Ok(());
        }
        stage.ends("read");
        let present = self.read_back(&records).await?;
        stage.ends("read_back");
        let prepared = self.prepare(records, read_from, present, pipeline.spare_block()).await?;
        for range in &prepared.commit.ranges {
            if let Some(owned) = self.owned.get_mut(&range.partition) {
                owned.next_offset = range.hi;
            }
        }
        pipeline.put(prepared, room).await;
        self.observe_ids();
        Ok(())
    }

    /// Records of one batch: until it is full, or `linger` after its first.
    async fn read(&mut self, shutdown: &Shutdown) -> Result<Vec<Record>, Interrupted> {
        let Some(reader) = self.reader.as_mut() else {
            // Nothing owned: others have all of it.
            tokio::select! {
                () = tokio::time::sleep(READ_WAIT) => {}
                () = shutdown.ordered() => {}
            }
            return Ok(Vec::new());
        };
        let mut records = std::mem::take(&mut self.left);
        // What is left of a full batch fills the next.
        let is_full = !records.is_empty();
        let mut bytes: usize = records.iter().map(|record| record.payload.len()).sum();
        let bytes_max = self.config.batch_bytes_max;
        if bytes < bytes_max {
            let wait = if is_full { Duration::ZERO } else { READ_WAIT };
            records.extend(reader.read(bytes_max - bytes, wait).await?);
        }
        if records.is_empty() || is_full {
            return Ok(records);
        }
        let full_at = Instant::now() + self.config.linger;
        loop {
            bytes = records.iter().map(|record| record.payload.len()).sum();
            let wait = full_at.saturating_duration_since(Instant::now());
            if bytes >= bytes_max || wait.is_zero() || shutdown.is_ordered() {
                return Ok(records);
            }
            records.extend(reader.read(bytes_max - bytes, wait).await?);
        }
    }

    /// What the table has of these records already, where that can be anything.
    async fn read_back(&mut self, records: &[Record]) -> Result<Present, Interrupted> {
        if self.dirty_until.is_empty() {
            return Ok(Present::new());
        }
        let is_dirty =
            |range: &Range| self.dirty_until.get(&range.partition).is_some_and(|until| range.lo < *until);
        let dirty: Vec<Range> = batch::ranges(records, &self.owned).into_iter().filter(is_dirty).collect();
        Ok(self.workshop.table.present(&dirty).await?)
    }

    async fn prepare(
        &mut self,
        records: Vec<Record>,
        read_from: std::time::Instant,
        present: Present,
        block: Vec<u8>,
    ) -> Result<Prepared, Interrupted> {
        let material = Material {
            records,
            owned: self.owned.clone(),
            seen: std::mem::take(&mut self.seen),
            present,
            events_max: self.config.batch_events_max,
            memory: Memory { events: std::mem::take(&mut self.events), block },
            enricher: self.config.enricher.clone(),
            read_from,
        };
        let (seen, product) = fill::blocking(move || Ok(prepare(material))).await?;
        self.seen = seen;
        let Product { prepared, left, events } = product.map_err(Trouble::from)?;
        (self.left, self.events) = (left, events);
        Ok(prepared)
    }

    /// Forgets ids beyond the window, and lets the log drop what is processed and old.
    async fn tidy(&mut self, pipeline: &Pipeline) -> Result<(), Interrupted> {
        if let Some(now) = time_to_forget(&self.workshop.clock.read()) {
            for (partition, seen) in &mut self.seen {
                let failed = |cause| Trouble::from(Failed { partition: *partition, cause });
                seen.forget_before(now).map_err(failed)?;
            }
        }
        self.observe_ids();
        for (partition, before) in pipeline.committed() {
            if self.owned.contains_key(&partition) {
                self.log.trim(partition, before).await?;
            }
        }
        // Past what was there when the partitions were taken, nothing needs reading back.
        let owned = &self.owned;
        self.dirty_until
            .retain(|partition, until| owned.get(partition).is_some_and(|own| own.next_offset < *until));
        Ok(())
    }

    fn observe_ids(&self) {
        let stores = || self.seen.values();
        ::metrics::gauge!(metrics::IDS_HELD).set(count(stores().map(SeenIds::len).sum()));
        ::metrics::gauge!(metrics::IDS_RUNS).set(count(stores().map(SeenIds::runs).sum()));
        ::metrics::gauge!(metrics::IDS_DISK_BYTES).set(stores().map(SeenIds::disk_bytes).sum::<u64>() as f64);
        let unused: u64 = stores().map(SeenIds::unused_bytes).sum();
        let memory_bytes = self.workshop.ids.memory_bytes().saturating_sub(unused);
        ::metrics::gauge!(metrics::IDS_MEMORY_BYTES).set(memory_bytes as f64);
    }
}

/// The time by which ids have grown old; `None`, and an error in the log, if it is not known what day it is.
fn time_to_forget(reading: &Reading) -> Option<Micros> {
    if reading.skew().is_none_or(|skew| skew.unsigned_abs() > Micros::DAY.unsigned_abs()) {
        tracing::error!(
            "this process and Postgres do not agree on what day it is: no id is forgotten for its age"
        );
        return None;
    }
    Some(Micros(reading.earliest()))
}

/// A count as a gauge takes it.
fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_old_by_the_earlier_clock_and_not_at_all_where_clocks_are_a_day_apart() {
        let now = 100 * Micros::DAY;
        let read =
            |wall, database: Option<i64>| Reading { wall, database: database.map(|at| (at, at)), reached: 0 };
        let forget = |reading| time_to_forget(&reading).map(|at| at.0 - now);
        assert_eq!(forget(read(now, Some(now))), Some(0));
        assert_eq!(forget(read(now + Micros::DAY, Some(now))), Some(0));
        assert_eq!(forget(read(now, Some(now + Micros::DAY))), Some(0));
        for jump in [Micros::DAY + 1, 40 * Micros::DAY, -40 * Micros::DAY] {
            assert_eq!(forget(read(now + jump, Some(now))), None, "{jump}");
            assert_eq!(forget(read(now, Some(now + jump))), None, "{jump}");
        }
        assert_eq!(forget(read(now, None)), None, "Postgres has not been heard");
    }
}
