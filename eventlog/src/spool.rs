//! What takes events while the log is away: segments on the local disk, drained into the log when it is back.
//!
//! # Path of a record
//! [`SpooledLog`] hands an append to the log. If the log refuses it, it goes into the spool, and is `Ok` when it is
//! on disk there. If the log does not confirm within [`SpoolConfig::patience`], the append is
//! [`Unknown`](AppendError::Unknown), and its caller may put a copy into the spool ([`Spool::append`]) once that copy
//! is paid for. Either way the [gate](gate) closes, and everybody else's appends go into the spool at once.
//! [`Spool::drain`] asks the log every second whether it answers, hands over one record, then two, then more; the
//! first that are confirmed open the gate, and appends go to the log again while the rest of the spool follows.
//!
//! # What holds
//! * `Ok` means: on disk, in the log or in the spool. What is in the spool stays there until the log has confirmed it.
//! * Every record of the spool reaches the log at least once. It may reach it more often; then every copy but one has
//!   been *charged* before it was handed over: records whose outcome is not known, in this process or a dead one
//!   ([`drained`](progress)), are given to [`ChargeCopies`] first. Without it, the processor's refund of the duplicate
//!   would be a gift, and a cap could be passed.
//! * A record that the log will never take is [kept aside](aside) and reported; it does not hold up the others.
//! * The spool is bounded in bytes; beyond them appends are refused.
//! * A spool belongs to one log ([`binding`]). Its records are for no other.
//!
//! # After a crash
//! The segments are recovered as any [local log](crate::local) is. Records between `drained` and `handed` may be in
//! the log or not, so they are charged once more and handed over again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use service::store::StoreError;
use tokio::sync::watch;
use uuid::Uuid;

use self::binding::Binding;
use self::gate::Gate;
use self::level::Level;
use self::progress::Progress;
use crate::local::{LocalConfig, LocalLog};
use crate::{Append, AppendError, EventLog, LogError};

mod log;
mod gate;
mod level;
mod record;
mod file;
mod binding;
mod progress;
mod drain;
mod aside;

pub use self::log::SpooledLog;

/// Charges tenants for the events of these frames once more, and returns when that is durable. An error says why it
/// could not be done; it is tried again.
pub type ChargeCopies = Box<dyn Fn(Vec<Bytes>) -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync>;

/// Bytes of a segment, unless the spool is so small that it would hold few of them.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Segments that the smallest spool has.
const SEGMENTS_MIN: u64 = 8;

/// How a spool is kept.
#[derive(Debug, Clone)]
pub struct SpoolConfig {
    /// The folder; made if it is missing. It must outlast the process.
    pub dir: PathBuf,
    /// Bytes on disk of records that are not drained; beyond them appends are refused.
    pub bytes_max: u64,
    /// How long an append waits for the log to confirm.
    pub patience: Duration,
    /// Whether new records are taken; if not, only what is there is drained.
    pub takes: bool,
}

/// What a spool says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Whether appends go to the spool.
    pub spooling: bool,
    /// Bytes on disk of records that are not drained. After a start, somewhat more until all of them are.
    pub bytes: u64,
    /// Records that are not drained.
    pub records: u64,
    /// When the oldest of them was received, in milliseconds since 1970; `None`: there is none, or it was not read yet.
    pub oldest_ms: Option<i64>,
}

/// A spool and the log that it is for.
pub struct Spool {
    id: Uuid,
    dir: PathBuf,
    binding: Binding,
    segments: LocalLog,
    level: Level,
    gate: Gate,
    patience: Duration,
    takes: bool,
    log: OnceLock<Arc<dyn EventLog>>,
    connected: watch::Sender<bool>,
    /// Offset below which all records are in the log.
    drained: watch::Sender<u64>,
    /// Of the oldest record in the hands of the drain; [`i64::MIN`]: none.
    oldest_ms: AtomicI64,
    progress: Arc<Mutex<Progress>>,
    /// Held by the one drain there is.
    draining: tokio::sync::Mutex<()>,
    fatal: watch::Sender<Option<String>>,
}

impl Spool {
    /// Opens the spool for `log`, and makes it if the folder has none. Without a log, the spool must be there: it
    /// says which log it is for, and takes records until that one is [connected](Self::connect). Blocks.
    ///
    /// # Errors
    /// [`LogError::Config`] if another process has the folder, or it holds records for another log;
    /// [`LogError::Damaged`]; [`LogError::Unavailable`], also if there is neither log nor spool.
    pub fn open(config: SpoolConfig, log: Option<Arc<dyn EventLog>>) -> Result<Self, LogError> {
        let SpoolConfig { dir, bytes_max, patience, takes } = config;
        let found = log.as_ref().map(|log| Binding::of(&**log));
        if found.is_none() && !Self::is_in(&dir)? {
            return Err(LogError::Unavailable(format!("there is no spool in {}", dir.display())));
        }
        let segments = LocalLog::open(LocalConfig {
            segment_bytes_max: SEGMENT_BYTES_MAX.min(bytes_max / SEGMENTS_MIN),
            payload_bytes_max: record::PAYLOAD_BYTES_MAX,
            retention: Duration::ZERO,
            ..LocalConfig::new(&dir, 1)
        })?;
        let id = segments.identity().parse();
        let id = id.map_err(|error| LogError::Damaged(format!("the spool's id: {error}")))?;
        let progress = Progress::open(&dir, segments.bounds_of_first())?;
        let is_empty = progress.drained() == segments.bounds_of_first().end;
        let binding = binding::bind(&dir, found.as_ref(), is_empty)?;
        let bytes = if is_empty { 0 } else { level::bytes_on_disk(&dir)? };
        let spool = Self {
            id,
            dir,
            binding,
            segments,
            level: Level::new(bytes, bytes_max),
            gate: Gate::new(log.is_some()),
            patience,
            takes,
            log: log.map_or_else(OnceLock::new, OnceLock::from),
            connected: watch::Sender::new(found.is_some()),
            drained: watch::Sender::new(progress.drained()),
            oldest_ms: AtomicI64::new(i64::MIN),
            progress: Arc::new(Mutex::new(progress)),
            draining: tokio::sync::Mutex::new(()),
            fatal: watch::Sender::new(None),
        };
        Ok(spool)
    }

    /// Gives the spool the log that it is for. The gate stays closed until the log has confirmed something.
    ///
    /// # Errors
    /// [`LogError::Config`] if it is for another one.
    pub fn connect(&self, log: Arc<dyn EventLog>) -> Result<(), LogError> {
        self.binding.check(&self.dir, &Binding::of(&*log))?;
        // The second of two is the same log, opened twice.
        let _first = self.log.set(log);
        self.connected.send_replace(true);
        Ok(())
    }

    /// Whether the log is known; if not, all appends go to the spool.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.log.get().is_some()
    }

    /// Whether there is a spool in `dir`, so that it can be opened without its log.
    ///
    /// # Errors
    /// If that can't be found out.
    pub fn is_in(dir: &Path) -> Result<bool, LogError> {
        Ok(binding::read(dir)?.is_some())
    }

    /// The name of this very spool, made with its folder.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// What is in it.
    #[must_use]
    pub fn status(&self) -> Status {
        let oldest_ms = self.oldest_ms.load(Ordering::Relaxed);
        let drained = *self.drained.borrow();
        Status {
            spooling: self.gate.is_closed(),
            bytes: self.level.bytes(),
            records: self.segments.bounds_of_first().end.saturating_sub(drained),
            oldest_ms: (oldest_ms != i64::MIN).then_some(oldest_ms),
        }
    }

    /// Puts records into the spool. If the log may have an earlier copy of them, this one must be charged already.
    ///
    /// # Errors
    /// As [`EventLog::append`].
    pub async fn append(&self, records: Vec<Append>, deadline: Duration) -> Result<(), AppendError> {
        if !self.takes {
            return Err(AppendError::Refused("nothing is spooled here".to_owned()));
        }
        for record in &records {
            record::check(record, self.binding.partitions)?;
        }
        self.store(records.iter().map(record::spooled).collect(), deadline).await
    }

    async fn store(&self, records: Vec<Append>, deadline: Duration) -> Result<(), AppendError> {
        let room = self.level.take(&records)?;
        let outcome = self.segments.append(records, deadline).await;
        match &outcome {
            Err(AppendError::Refused(_) | AppendError::Rejected(_)) => room.give_back(),
            Ok(()) | Err(AppendError::Unknown(_)) => room.keep(),
        }
        outcome
    }

    /// Waits until all is drained that was put into the spool before this call, by whomever: also what a caller gave
    /// up waiting for. False if that is not so by the deadline.
    pub async fn drained_by(&self, deadline: Duration) -> bool {
        let begun = Instant::now();
        // One lane: what was handed over before stands before the mark.
        if self.store(vec![record::mark()], deadline).await.is_err() {
            return false;
        }
        let end = self.segments.bounds_of_first().end;
        let mut drained = self.drained.subscribe();
        let all = drained.wait_for(|drained| *drained >= end);
        tokio::time::timeout(deadline.saturating_sub(begun.elapsed()), all).await.is_ok()
    }

    /// To wait for a reason for which the process has to end: the spool's disk has failed, its records can't be read,
    /// or the log is another one.
    #[must_use]
    pub fn watch_fatal(&self) -> [watch::Receiver<Option<String>>; 2] {
        [self.segments.watch_fatal(), self.fatal.subscribe()]
    }

    fn log(&self) -> Option<&Arc<dyn EventLog>> {
        self.log.get()
    }
}
