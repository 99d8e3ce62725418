//! The copy on the disk.
//!
//! ```text
//! weir directory 2\n
//! saved_at, identity of the log, offset at which each of its partitions ended
//! T tenant ...
//! K key ...
//! E how many keys and tenants, CRC-32C of all before
//! ```
//!
//! Numbers are little-endian. What version 1 wrote is read too: its tenants keep whole addresses. A key that was made
//! with its tenant while the file was written may stand there without it, and is left out when it is read; the next
//! file has both. It holds hashes of keys, no keys; only the owner may read it. A new file is written, synced, and put
//! in the place of the old one, so there is always a whole one.

mod read;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use eventlog::EventLog;
use schemas::time::Micros;
use service::clock::Clock;
use service::error::Chain;
use service::shutdown::Shutdown;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Directory, Source};
use crate::metrics;

/// A change is on the disk so much later, if writing all of it takes no longer than a twentieth of that.
const SAVE_EVERY: Duration = Duration::from_secs(5);
const SAVE_SHARE: u32 = 20;
/// Written again after this even without a change, so that its age says how long Postgres has been away.
const RENEW_EVERY: Duration = Duration::from_secs(300);
/// An older copy is not used: who was let in then says nothing of today.
const AGE_MAX: Duration = Duration::from_secs(7 * 86_400);
/// How long the log may take to say where it ends.
const BOUNDS_DEADLINE: Duration = Duration::from_secs(2);

const HEAD: &[u8; 17] = b"weir directory 2\n";
/// Without the tenants' policies for addresses.
const HEAD_V1: &[u8; 17] = b"weir directory 1\n";

/// Where the copy is, and the log that it belongs to: the database that it was read from is bound to that log.
#[derive(Clone)]
pub struct DirectoryFile {
    /// The file.
    pub path: PathBuf,
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// What time it is.
    pub clock: Clock,
}

/// What stands first in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    saved_at: Micros,
    log: String,
    /// Where each partition of the log ended, or a moment earlier.
    ends: Vec<u64>,
}

/// Why there is no copy that could be used.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// It can't be read or written; in particular, there is none.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Another version wrote it.
    #[error("it is of another version of weir")]
    Version,
    /// It is not what was written.
    #[error("it is damaged")]
    Damaged,
    /// It was written for another log, so it may come from another database.
    #[error("it belongs to the log {0}, not to this one")]
    OtherLog(String),
    /// The log ends before where it ended then: it is an older copy, and appending to it would lose events.
    #[error(
        "partition {partition} of the log ends at {end}, but it had reached {reached}: the log has lost its end"
    )]
    LogBehind {
        /// The partition.
        partition: usize,
        /// Where it ends.
        end: u64,
        /// Where it had ended.
        reached: u64,
    },
    /// The log does not say where it ends.
    #[error("the log does not say where it ends")]
    NoBounds,
    /// It is too old.
    #[error("it is {0} days old, 7 is the most")]
    TooOld(u64),
}

impl Directory {
    /// Fills an empty directory from the disk. How old it is.
    ///
    /// # Errors
    /// [`SavedError`]; the directory is empty then.
    pub async fn load_saved(&self, file: &DirectoryFile) -> Result<Duration, SavedError> {
        let path = file.path.clone();
        let read = spawn_blocking(move || read::from_file(&path)).await.map_err(|_| SavedError::Damaged)?;
        let (head, mut entries) = read?;
        let age = file.check(&head).await?;
        entries.source = Source::Disk;
        self.replace(entries);
        Ok(age)
    }
}

impl DirectoryFile {
    /// Whether a copy with this head may be used; its age.
    async fn check(&self, head: &Head) -> Result<Duration, SavedError> {
        if head.log != self.log.identity() {
            return Err(SavedError::OtherLog(head.log.clone()));
        }
        // Nothing goes to a log that was not reached yet, and it is looked at before anything does.
        let unreached = self.log.spool().is_some_and(|spool| !spool.is_connected());
        let ends =
            if unreached { head.ends.clone() } else { self.ends().await.ok_or(SavedError::NoBounds)? };
        if ends.len() != head.ends.len() {
            return Err(SavedError::OtherLog(format!("{} with {} partitions", head.log, head.ends.len())));
        }
        for (partition, (end, reached)) in ends.into_iter().zip(&head.ends).enumerate() {
            if end < *reached {
                return Err(SavedError::LogBehind { partition, end, reached: *reached });
            }
        }
        // It was read from Postgres by then.
        self.clock.has_reached(head.saved_at.0);
        let age = self.clock.now_micros().saturating_sub(head.saved_at.0);
        let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
        if age > AGE_MAX { Err(SavedError::TooOld(age.as_secs() / 86_400)) } else { Ok(age) }
    }

    async fn ends(&self) -> Option<Vec<u64>> {
        let bounds = timeout(BOUNDS_DEADLINE, self.log.bounds()).await.ok()?.ok()?;
        Some(bounds.into_iter().map(|bounds| bounds.end).collect())
    }

    /// Writes the directory to the disk.
    ///
    /// # Errors
    /// If that fails; the copy that was there stays.
    pub async fn save(&self, directory: &Arc<Directory>) -> Result<(), SavedError> {
        let head = Head {
            saved_at: Micros(self.clock.read().held()),
            log: self.log.identity().to_owned(),
            ends: self.ends().await.ok_or(SavedError::NoBounds)?,
        };
        let (directory, path) = (Arc::clone(directory), self.path.clone());
        let written = spawn_blocking(move || write::to_file(&directory, &head, &path)).await;
        Ok(written.map_err(std::io::Error::other)??)
    }
}

/// Writes the directory to the disk some seconds after it has changed, from when the database is `bound` to the log
/// until `shutdown` is ordered, and a last time then.
pub async fn keep_saved(
    directory: Arc<Directory>,
    file: DirectoryFile,
    mut bound: watch::Receiver<bool>,
    shutdown: Shutdown,
) {
    tokio::select! {
        Ok(_) = bound.wait_for(|bound| *bound) => {}
        () = shutdown.ordered() => return,
    }
    let mut saved: Option<(u64, Instant)> = None;
    let mut failed = false;
    let mut pause = SAVE_EVERY;
    loop {
        let changes = directory.changes.load(Ordering::Relaxed);
        let is_due = saved.is_none_or(|(then, at)| then != changes || at.elapsed() >= RENEW_EVERY);
        // Its time of saving is Postgres's.
        let is_timed = file.clock.read().skew().is_some();
        if is_due && is_timed && directory.entries.read().source == Source::Postgres {
            let begun = Instant::now();
            match file.save(&directory).await {
                Ok(()) => (saved, failed) = (Some((changes, Instant::now())), false),
                Err(error) if !failed => {
                    failed = true;
                    tracing::warn!(
                        error = %Chain(&error), path = %shown(&file.path),
                        "keys and tenants were not saved: without Postgres, this node could not start"
                    );
                }
                Err(_) => {}
            }
            ::metrics::histogram!(metrics::DIRECTORY_SAVE_SECONDS).record(begun.elapsed().as_secs_f64());
            pause = SAVE_EVERY.max(begun.elapsed() * SAVE_SHARE);
        }
        if shutdown.is_ordered() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.ordered() => {}
        }
    }
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}

#[cfg(test)]
mod tests;
