//! The log on the local disk: a directory of segments per partition, one thread per partition that writes them.
//!
//! # Path of a record
//! [`append`](EventLog::append) puts the records of a request into the [queues](queue) of their partitions, all or
//! none. Each partition's [writer](writer) takes what waits there, writes it behind what is
//! [durable](record), calls `fdatasync` once, notes the new end in a small file, lets [readers](reader) see it and
//! answers all the requests of that group. While it waits for the disk, the next group gathers.
//!
//! # What holds
//! * `Ok` comes after the sync. A record that was not synced is seen by no reader, here or in another process.
//! * [`Refused`](AppendError::Refused) means that nothing is in the log: not taken into the queue, or taken out of
//!   the file again. An error of which that is not certain is [`Unknown`](AppendError::Unknown).
//! * After a failed sync a partition takes nothing more until the log is opened again ([`LocalLog::fatal`]). Appends
//!   are refused before the disk is full, and taken again when there is room.
//! * Offsets are never given twice to records that anyone may have seen.
//!
//! # After a crash
//! [`open`](LocalLog::open) reads the last segment of each partition. Whole records of the last group are kept,
//! though their callers got "unknown": retries are deduplicated behind the log. What is left of an
//! incomplete one is cut off, with a warning. Whatever is wrong where no crash explains it is
//! [`PartitionDamaged`](LogError::PartitionDamaged), at once in the last segment, when it is read in others; nothing
//! is dropped.
//!
//! A log is opened by one process for writing; others may [look](LocalLog::open_read_only).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use metrics::histogram;
use schemas::limit::FRAME_BYTES_MAX;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

pub use self::config::LocalConfig;
pub(crate) use self::directory::segment_files;
use self::directory::{Lock, Meta};
use self::disk::Disk;
pub(crate) use self::disk::sync_dir;
use self::partition::Partition;
use self::queue::Queues;
use self::reader::{BELOW_START, BEYOND_END, LocalReader};
use self::record::PAYLOAD_BYTES_MAX;
pub(crate) use self::record::RECORD_HEAD_LEN;
use self::recover::{look, recover};
use self::writer::{Shared, Writer};
use crate::metrics::ACK_SECONDS;
use crate::{Append, AppendError, Bounds, EventLog, LogError, LogReader};

mod config;
mod queue;
mod writer;
mod record;
mod disk;
mod partition;
mod reader;
mod directory;
mod scan;
mod recover;

/// A log on the local disk.
pub struct LocalLog {
    dir: PathBuf,
    meta: Meta,
    identity: String,
    partitions: Vec<Arc<Partition>>,
    payload_bytes_max: usize,
    role: Role,
}

enum Role {
    Write(Writers),
    /// Another process may be writing to this directory.
    Look,
}

struct Writers {
    queues: Arc<Queues>,
    /// Closed when all writers have ended.
    alive: watch::Sender<()>,
    lock: Arc<Lock>,
    retention: Duration,
}

impl LocalLog {
    /// Opens a log for writing and reading, and makes it if the directory has none. Blocks: reads the last
    /// segments, and waits for the disk.
    ///
    /// Close it before it is dropped. The directory is free for another when log and writers are gone.
    ///
    /// # Errors
    /// [`LogError::Config`] if another process writes to it, or it has another number of partitions;
    /// [`LogError::PartitionDamaged`] if acknowledged records are missing or unreadable, [`LogError::Damaged`] if what
    /// names the log is; [`LogError::Unavailable`].
    pub fn open(config: LocalConfig) -> Result<Self, LogError> {
        Self::open_on(config, Disk::real())
    }

    fn open_on(config: LocalConfig, disk: Disk) -> Result<Self, LogError> {
        let payload_bytes_max = config.payload_bytes_max;
        if payload_bytes_max > PAYLOAD_BYTES_MAX {
            return Err(LogError::Config(format!(
                "a local log can't have records of {payload_bytes_max} bytes: {PAYLOAD_BYTES_MAX} are the most"
            )));
        }
        directory::make(&config.dir)?;
        let lock = Arc::new(Lock::take(&config.dir)?);
        let meta = match directory::read_meta(&config.dir)? {
            Some(meta) => meta,
            None => directory::create(&config.dir, config.partitions)?,
        };
        if meta.partitions != config.partitions {
            return Err(LogError::Config(format!(
                "the log in {} was made with {} partitions, which can't change, and is to be opened with {}",
                config.dir.display(),
                meta.partitions,
                config.partitions
            )));
        }
        let recovered: Vec<_> = (0..meta.partitions)
            .map(|partition| recover(&config.dir, partition, meta.identity, &disk))
            .collect::<Result<_, _>>()?;
        let (alive, writers_alive) = watch::channel(());
        let shared = Shared {
            identity: meta.identity,
            queues: Arc::new(Queues::new(recovered.len(), config.queue_bytes_max)),
            disk,
            segment_bytes_max: config.segment_bytes_max,
            disk_free_bytes_min: config.disk_free_bytes_min,
        };
        let queues = Arc::clone(&shared.queues);
        let mut partitions = Vec::with_capacity(recovered.len());
        for recovered in recovered {
            let (writer, partition) = Writer::new(shared.clone(), recovered);
            let thread = std::thread::Builder::new().name(format!("weir-log-{}", partition.number));
            // Dropped in this order: who has seen the last writer end may open the directory.
            let held = (Arc::clone(&lock), writers_alive.clone());
            let run = move || {
                writer.run();
                drop(held);
            };
            if let Err(error) = thread.spawn(run) {
                queues.close();
                return Err(LogError::Unavailable(format!("could not start a writer: {error}")));
            }
            partitions.push(partition);
        }
        let role = Role::Write(Writers { queues, alive, lock, retention: config.retention });
        let (dir, identity) = (config.dir, meta.identity.to_string());
        Ok(Self { dir, meta, identity, partitions, payload_bytes_max, role })
    }

    /// Opens a log for reading only, while another process may write to it. What is durable is looked at now,
    /// and again whenever [`bounds`](EventLog::bounds) or [`reader`](EventLog::reader) is called. Blocks.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`LogError::Config`] if there is no log.
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<Self, LogError> {
        let dir = dir.as_ref();
        let meta = directory::read_meta(dir)?
            .ok_or_else(|| LogError::Config(format!("there is no log in {}", dir.display())))?;
        let mut partitions = Vec::new();
        for partition in 0..meta.partitions {
            let (segments, end) = look(dir, partition, meta.identity)?;
            partitions.push(Arc::new(Partition::new(partition, segments, end)));
        }
        let (dir, identity) = (dir.to_owned(), meta.identity.to_string());
        Ok(Self { dir, meta, identity, partitions, payload_bytes_max: FRAME_BYTES_MAX, role: Role::Look })
    }

    /// Why a partition has failed, if one has: the process has to end; the next one opens the log again.
    pub fn fatal(&self) -> Option<String> {
        self.watch_fatal().borrow().clone()
    }

    /// To wait for the error of [`fatal`](Self::fatal).
    pub fn watch_fatal(&self) -> watch::Receiver<Option<String>> {
        match &self.role {
            Role::Write(Writers { queues, .. }) => queues.fatal(),
            Role::Look => watch::Sender::new(None).subscribe(),
        }
    }

    /// The bounds of partition 0, which every log has.
    pub(crate) fn bounds_of_first(&self) -> Bounds {
        self.partitions.first().map_or(Bounds { start: 0, end: 0 }, |partition| partition.bounds())
    }

    /// Where another process writes, sees what it has written meanwhile.
    async fn look_again(&self) -> Result<(), LogError> {
        let Role::Look = &self.role else { return Ok(()) };
        let (dir, identity, partitions) = (self.dir.clone(), self.meta.identity, self.partitions.clone());
        let look_at_all = move || {
            for partition in partitions {
                let (segments, end) = look(&dir, partition.number, identity)?;
                partition.replace(segments, end);
            }
            Ok(())
        };
        blocking(look_at_all).await
    }

    fn partition(&self, number: u32) -> Result<&Arc<Partition>, LogError> {
        self.partitions.get(number as usize).ok_or_else(|| {
            LogError::Config(format!("there is no partition {number}: the log has {}", self.meta.partitions))
        })
    }

    fn check(&self, records: &[Append]) -> Result<(), AppendError> {
        for record in records {
            if record.partition >= self.meta.partitions {
                return Err(AppendError::Rejected(format!("there is no partition {}", record.partition)));
            }
            if record.payload.len() > self.payload_bytes_max {
                let (len, max) = (record.payload.len(), self.payload_bytes_max);
                return Err(AppendError::Rejected(format!("a record of {len} bytes, above {max}")));
            }
        }
        Ok(())
    }

    async fn append_all(&self, records: Vec<Append>, deadline: Duration) -> Result<(), AppendError> {
        self.check(&records)?;
        let Role::Write(Writers { queues, .. }) = &self.role else {
            return Err(AppendError::Refused("it is open for reading only".to_owned()));
        };
        if records.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        match tokio::time::timeout(deadline, queues.offer(records)?).await {
            Ok(Ok(outcome)) => {
                if outcome.is_ok() {
                    histogram!(ACK_SECONDS).record(begun.elapsed().as_secs_f64());
                }
                outcome
            }
            Ok(Err(_)) => Err(AppendError::Unknown("a writer has died".to_owned())),
            Err(_) => Err(AppendError::Unknown(format!("the disk did not answer within {deadline:?}"))),
        }
    }

    async fn open_reader(&self, from: Vec<(u32, u64)>) -> Result<Box<dyn LogReader>, LogError> {
        self.look_again().await?;
        let mut positions = Vec::with_capacity(from.len());
        for (number, wanted) in from {
            let partition = self.partition(number)?;
            let bounds = partition.bounds();
            if wanted < bounds.start || wanted > bounds.end {
                let why = if wanted < bounds.start { BELOW_START } else { BEYOND_END };
                return Err(LogError::OutOfRange { partition: number, wanted, bounds, why });
            }
            positions.push((Arc::clone(partition), wanted));
        }
        Ok(Box::new(LocalReader::new(positions)))
    }
}

impl EventLog for LocalLog {
    fn partitions(&self) -> u32 {
        self.meta.partitions
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn append(&self, records: Vec<Append>, deadline: Duration) -> BoxFuture<'_, Result<(), AppendError>> {
        self.append_all(records, deadline).boxed()
    }

    fn reader(&self, from: &[(u32, u64)]) -> BoxFuture<'_, Result<Box<dyn LogReader>, LogError>> {
        self.open_reader(from.to_vec()).boxed()
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Vec<Bounds>, LogError>> {
        async {
            self.look_again().await?;
            Ok(self.partitions.iter().map(|partition| partition.bounds()).collect())
        }
        .boxed()
    }

    fn trim(&self, partition: u32, before: u64) -> BoxFuture<'_, Result<(), LogError>> {
        async move {
            let partition = Arc::clone(self.partition(partition)?);
            let Role::Write(Writers { lock, retention, .. }) = &self.role else {
                return Err(LogError::Config("the log is open for reading only".to_owned()));
            };
            let (lock, retention) = (Arc::clone(lock), *retention);
            blocking(move || {
                let now = lock.now().map_err(|error| LogError::Unavailable(error.to_string()))?;
                partition.trim(before, now, retention).map(drop)
            })
            .await
        }
        .boxed()
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.dir)
    }

    fn close(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        async move {
            let Role::Write(Writers { queues, alive, .. }) = &self.role else { return };
            queues.close();
            if tokio::time::timeout(deadline, alive.closed()).await.is_err() {
                tracing::warn!(?deadline, "the log's writers are still waiting for the disk");
            }
        }
        .boxed()
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        if let Role::Write(Writers { queues, .. }) = &self.role {
            queues.close();
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    spawn_blocking(work).await.map_err(|error| LogError::Unavailable(error.to_string()))?
}

#[cfg(test)]
mod tests;
