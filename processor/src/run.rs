//! The loop: own, read, dedup, repair, insert, commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clickhouse::Client;
use eventlog::{EventLog, LogError, LogReader, Record};
use schemas::time::Micros;
use service::clock::Clock;
use service::shutdown::Shutdown;
use sqlx::PgPool;
use uuid::Uuid;

use crate::batch::{self, Range};
use crate::commit::{Commit, Committed, commit};
use crate::config::ProcessorConfig;
use crate::dead::DeadError;
use crate::dead::budget::Overdrawn;
use crate::dead::replay::{Asked, Replayer};
use crate::dedup::SeenIds;
use crate::judge::{Judged, judge};
use crate::own::{self, Owned};
use crate::repair::{self, Present};
use crate::{insert, metrics};

/// After a store failed: the first pause, which doubles up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LAST: Duration = Duration::from_secs(2);
/// How long one read waits for the first record.
const READ_WAIT: Duration = Duration::from_millis(100);
/// How often ids beyond the window are forgotten, and the log trimmed.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// One processor. Build it, then [`Processor::run`] it.
pub struct Processor {
    node: Uuid,
    pool: PgPool,
    clickhouse: Client,
    log: Arc<dyn EventLog>,
    clock: Clock,
    config: ProcessorConfig,
    owned: BTreeMap<u32, Owned>,
    seen: BTreeMap<u32, SeenIds>,
    /// Batches up to there must be read back before they are inserted.
    dirty_until: BTreeMap<u32, u64>,
    reader: Option<Box<dyn LogReader>>,
    /// Dead letters to be replayed.
    asked: Asked,
}

/// Why the loop begins anew, from the cursors.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    #[error("clickhouse: {0}")]
    ClickHouse(#[from] clickhouse::error::Error),
    #[error("log: {0}")]
    Log(#[from] LogError),
    #[error("a partition was taken by another processor")]
    NotOwner,
    #[error("rows of partition {0} were brought back")]
    IdsChanged(u32),
    #[error("{0}")]
    TooManyDead(Overdrawn),
    #[error("stopping")]
    Stopping,
}

impl From<DeadError> for Interrupted {
    fn from(error: DeadError) -> Self {
        match error {
            DeadError::Postgres(error) => Self::Postgres(error),
            DeadError::ClickHouse(error) => Self::ClickHouse(error),
            DeadError::NotOwner => Self::NotOwner,
            DeadError::IdsChanged(partition) => Self::IdsChanged(partition),
        }
    }
}

/// What no restart of the loop can mend; the process ends with it.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The log does not have what the cursors ask for, or is damaged.
    #[error("the log can't be processed: {0}")]
    Log(#[source] LogError),
    /// More events can't be read than may be.
    #[error("{0}")]
    TooManyDead(Overdrawn),
}

impl Processor {
    /// A processor that owns nothing yet. `log` must be the one that the database is bound to
    /// ([`own::bind_log`]).
    pub fn new(
        pool: PgPool,
        clickhouse: Client,
        log: Arc<dyn EventLog>,
        clock: Clock,
        config: ProcessorConfig,
    ) -> Self {
        Self {
            node: Uuid::now_v7(),
            pool,
            clickhouse,
            log,
            clock,
            config,
            owned: BTreeMap::new(),
            seen: BTreeMap::new(),
            dirty_until: BTreeMap::new(),
            reader: None,
            asked: Asked::default(),
        }
    }

    /// Processes until `shutdown` is ordered. A store that fails is waited for, with the log as the buffer.
    ///
    /// # Errors
    /// [`Fatal`]: a person is needed.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Fatal> {
        let renewal = tokio::spawn(renew_for_ever(self.pool.clone(), self.node, self.config.lease_time));
        let mut pause = PAUSE_FIRST;
        let ended = loop {
            let started = Instant::now();
            match self.session(&shutdown).await {
                Interrupted::Stopping => break Ok(()),
                Interrupted::Log(
                    error @ (LogError::OutOfRange { .. } | LogError::Damaged(_) | LogError::Config(_)),
                ) => {
                    break Err(Fatal::Log(error));
                }
                Interrupted::TooManyDead(overdrawn) => break Err(Fatal::TooManyDead(overdrawn)),
                interrupted @ (Interrupted::Postgres(_)
                | Interrupted::ClickHouse(_)
                | Interrupted::Log(LogError::Unavailable(_))
                | Interrupted::NotOwner
                | Interrupted::IdsChanged(_)) => {
                    if started.elapsed() > PAUSE_LAST {
                        pause = PAUSE_FIRST;
                    }
                    tracing::warn!(error = %interrupted, pause_ms = pause.as_millis(), "processing begins anew from the cursors");
                }
            }
            self.forget_ownership().await;
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_LAST),
                () = shutdown.ordered() => break Ok(()),
            }
        };
        renewal.abort();
        if let Err(error) = own::leave(&self.pool, self.node).await {
            tracing::warn!(%error, "partitions were not released; others take them when the lease has run out");
        }
        ended
    }

    /// From owning partitions to the first failure.
    async fn session(&mut self, shutdown: &Shutdown) -> Interrupted {
        let mut balanced_at: Option<Instant> = None;
        let mut tidied_at = Instant::now();
        loop {
            if shutdown.is_ordered() {
                return Interrupted::Stopping;
            }
            if balanced_at.is_none_or(|at| at.elapsed() > self.config.lease_time / 5) {
                if let Err(error) = self.balance().await {
                    return error;
                }
                balanced_at = Some(Instant::now());
            }
            if tidied_at.elapsed() > TIDY_EVERY {
                if let Err(error) = self.tidy().await {
                    return error;
                }
                tidied_at = Instant::now();
            }
            if let Err(error) = self.replay_letters().await {
                return error;
            }
            if let Err(error) = self.step(shutdown).await {
                return error;
            }
        }
    }

    /// Replays dead letters that were asked for. Nothing is under way between log and cursors meanwhile.
    async fn replay_letters(&mut self) -> Result<(), Interrupted> {
        let replayer = Replayer {
            pool: self.pool.clone(),
            clickhouse: self.clickhouse.clone(),
            node: self.node,
            partitions: self.log.partitions(),
            insert_deadline: self.config.insert_deadline,
            dedup_window: self.config.dedup_window,
        };
        if !self.asked.is_any(&replayer, &self.owned).await? {
            return Ok(());
        }
        for stored in self.asked.replay(&replayer, &self.owned).await? {
            let seen = self.seen.entry(stored.partition).or_default();
            seen.see(stored.project, stored.hash, stored.position, stored.received_at);
        }
        Ok(())
    }

    /// One batch, if there is anything to read.
    async fn step(&mut self, shutdown: &Shutdown) -> Result<(), Interrupted> {
        let records = self.read(shutdown).await?;
        if records.is_empty() {
            return Ok(());
        }
        let mut stage = Stage::begin();
        let ranges = batch::ranges(&records, &self.owned);
        let decoded = batch::decode(&records);
        let dirty: Vec<Range> = ranges
            .iter()
            .filter(|range| self.dirty_until.get(&range.partition).is_some_and(|until| range.lo < *until))
            .copied()
            .collect();
        let present = repair::present(&self.clickhouse, &dirty).await?;
        stage.ends("repair");
        let judged = judge(decoded, ranges, &mut self.seen, &present);
        stage.ends("dedup");
        self.store(&judged, present).await?;
        stage.ends("insert");
        self.commit(&judged.commit, shutdown).await?;
        stage.ends("commit");
        for range in &judged.commit.ranges {
            if let Some(owned) = self.owned.get_mut(&range.partition) {
                owned.next_offset = range.hi;
            }
        }
        self.observe(&judged);
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
        let mut records = reader.read(self.config.batch_bytes_max, READ_WAIT).await?;
        if records.is_empty() {
            return Ok(records);
        }
        let full_at = Instant::now() + self.config.linger;
        loop {
            let bytes: usize = records.iter().map(|record| record.payload.len()).sum();
            let left = full_at.saturating_duration_since(Instant::now());
            if bytes >= self.config.batch_bytes_max || left.is_zero() || shutdown.is_ordered() {
                return Ok(records);
            }
            records.extend(reader.read(self.config.batch_bytes_max - bytes, left).await?);
        }
    }

    /// Brings every fresh event into ClickHouse, whatever it takes.
    async fn store(&mut self, judged: &Judged<'_>, mut present: Present) -> Result<(), Interrupted> {
        loop {
            let missing = judged.missing(&present);
            if missing.is_empty() {
                return Ok(());
            }
            let query_id = repair::query_prefix(self.node) + &Uuid::now_v7().to_string();
            let inserted =
                insert::insert(&self.clickhouse, &query_id, self.config.insert_deadline, &missing).await;
            let Err(error) = inserted else { return Ok(()) };
            ::metrics::counter!(metrics::INSERT_RETRIES).increment(1);
            tracing::warn!(%error, rows = missing.len(), "an insert was not confirmed, reading back");
            for range in &judged.commit.ranges {
                self.dirty_until.insert(range.partition, range.hi);
            }
            repair::end_insert(&self.clickhouse, &query_id).await?;
            present = repair::present(&self.clickhouse, &judged.commit.ranges).await?;
        }
    }

    /// Commits, asking again for as long as Postgres does not say whether it has.
    async fn commit(&mut self, batch: &Commit<'_>, shutdown: &Shutdown) -> Result<(), Interrupted> {
        let mut pause = PAUSE_FIRST;
        loop {
            match commit(&self.pool, batch, self.config.dead).await {
                Ok(Committed::Yes) => return Ok(()),
                Ok(Committed::TooManyDead(overdrawn)) => return Err(Interrupted::TooManyDead(overdrawn)),
                Ok(Committed::NotOwner) => return Err(Interrupted::NotOwner),
                Err(error) => tracing::warn!(%error, "a commit was not confirmed, asking again"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_LAST),
                () = shutdown.ordered() => return Err(Interrupted::Stopping),
            }
        }
    }

    /// Takes or gives partitions until this processor has its share, and prepares what it took.
    async fn balance(&mut self) -> Result<(), Interrupted> {
        own::renew(&self.pool, self.node, self.config.lease_time).await?;
        let share = own::share(&self.pool).await?;
        let kept: Vec<u32> = self.owned.keys().take(share).copied().collect();
        own::keep_only(&self.pool, self.node, &kept).await?;
        if self.owned.len() > share {
            let excess: Vec<u32> = self.owned.keys().skip(share).copied().collect();
            for partition in &excess {
                self.owned.remove(partition);
                self.seen.remove(partition);
                self.dirty_until.remove(partition);
            }
            return self.open_reader().await;
        }
        if self.owned.len() == share {
            return Ok(());
        }
        let wanted = share - self.owned.len();
        let (taken, dead) = own::acquire(&self.pool, self.node, self.config.lease_time, wanted).await?;
        if taken.is_empty() {
            return Ok(());
        }
        for node in dead {
            repair::end_inserts_of(&self.clickhouse, node).await?;
        }
        self.prepare(&taken).await?;
        self.open_reader().await
    }

    /// Fills the dedup store and finds what must be read back, before a partition is served.
    async fn prepare(&mut self, taken: &[Owned]) -> Result<(), Interrupted> {
        let window = i64::try_from(self.config.dedup_window.as_micros()).unwrap_or(i64::MAX);
        let since = Micros(self.clock.now_micros().saturating_sub(window)).hour();
        self.dirty_until.extend(repair::dirty_until(&self.clickhouse, taken).await?);
        for own in taken {
            let seen = repair::seen_ids(&self.clickhouse, own.partition, since).await?;
            tracing::info!(
                partition = own.partition,
                from = own.next_offset,
                epoch = own.epoch,
                ids = seen.len(),
                "took a partition"
            );
            self.seen.insert(own.partition, seen);
            self.owned.insert(own.partition, *own);
        }
        Ok(())
    }

    async fn open_reader(&mut self) -> Result<(), Interrupted> {
        self.reader = None;
        ::metrics::gauge!(metrics::PARTITIONS).set(count(self.owned.len()));
        let from: Vec<(u32, u64)> = self.owned.values().map(|own| (own.partition, own.next_offset)).collect();
        if !from.is_empty() {
            self.reader = Some(self.log.reader(&from).await?);
        }
        Ok(())
    }

    /// Drops what is known of all partitions and lets go of them: the next session takes them under a new epoch,
    /// reads their cursors, and reads back.
    async fn forget_ownership(&mut self) {
        self.reader = None;
        self.owned.clear();
        self.seen.clear();
        self.dirty_until.clear();
        ::metrics::gauge!(metrics::PARTITIONS).set(0.0);
        if let Err(error) = own::keep_only(&self.pool, self.node, &[]).await {
            tracing::warn!(%error, "partitions were not released; they are when Postgres is back");
        }
    }

    /// Forgets ids beyond the window, and lets the log drop what is processed and old.
    async fn tidy(&mut self) -> Result<(), Interrupted> {
        let now = Micros(self.clock.now_micros());
        for seen in self.seen.values_mut() {
            seen.forget_before(now, self.config.dedup_window);
        }
        for own in self.owned.values() {
            self.log.trim(own.partition, own.next_offset).await?;
        }
        Ok(())
    }

    fn observe(&self, judged: &Judged<'_>) {
        for sum in &judged.commit.sums {
            for (outcome, events) in [
                ("stored", sum.counts.stored),
                ("duplicate", sum.counts.duplicate),
                ("dead", sum.counts.dead),
            ] {
                ::metrics::counter!(metrics::EVENTS, "outcome" => outcome)
                    .increment(u64::try_from(events).unwrap_or_default());
            }
        }
        ::metrics::gauge!(metrics::IDS_HELD).set(count(self.seen.values().map(SeenIds::len).sum()));
        if let Some(newest) = judged.newest {
            let lag =
                Duration::from_micros(u64::try_from(self.clock.now_micros() - newest.0).unwrap_or_default());
            ::metrics::gauge!(metrics::LAG_SECONDS).set(lag.as_secs_f64());
        }
    }
}

/// Measures how long a batch spends in each stage.
struct Stage(Instant);

impl Stage {
    fn begin() -> Self {
        Self(Instant::now())
    }

    fn ends(&mut self, stage: &'static str) {
        let now = Instant::now();
        let seconds = now.duration_since(self.0).as_secs_f64();
        ::metrics::histogram!(metrics::STAGE_SECONDS, "stage" => stage).record(seconds);
        self.0 = now;
    }
}

/// A count as a gauge takes it.
fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

/// Renews the lease beside the loop, which may wait for ClickHouse for longer than a lease lasts.
async fn renew_for_ever(pool: PgPool, node: Uuid, lease_time: Duration) {
    loop {
        if let Err(error) = own::renew(&pool, node, lease_time).await {
            tracing::warn!(%error, "partition leases were not renewed");
        }
        tokio::time::sleep(lease_time / 3).await;
    }
}
