//! The part of a store that is on disk, and what threads do to it while batches are judged.

mod open;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use service::error::Chain;

use crate::background::Background;
use crate::folder::Folder;
use crate::hours::Hours;
use crate::manifest::{Listed, Manifest};
use crate::memory::Memory;
use crate::merge::merge;
use crate::run::{Run, RunWriter};
use crate::table::Table;
use crate::tiers::{Size, choose};
pub(super) use open::open;

/// Runs of a store at most. Tables wait for merges before there are more.
const RUNS_MAX: usize = 64;
/// After a merge that the disk had no room for.
const MERGE_PAUSE: Duration = Duration::from_secs(60);
/// How long a store that is dropped waits for the job that is under way.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// Runs, oldest first.
pub(super) type Runs = Arc<Vec<Arc<Run>>>;

#[derive(Debug)]
pub(super) struct Disk {
    folder: Folder,
    memory: Arc<Memory>,
    background: Background,
    /// What look-ups ask. Locked for moments.
    runs: Mutex<Runs>,
    /// As it was written last. Locked for as long as the next one is being written.
    manifest: Mutex<Manifest>,
    next_run: AtomicU64,
    keep_from: AtomicU64,
    span: AtomicI64,
    /// Runs up to so many ids are of the lowest tier.
    smallest: u64,
    work: Mutex<Work>,
    changed: Condvar,
}

/// What the threads have to do, and how it went.
#[derive(Debug, Default)]
struct Work {
    /// A job of that kind waits or is under way.
    flushing: bool,
    merging: bool,
    /// Jobs under way.
    running: u32,
    merge_not_before: Option<Instant>,
    closed: bool,
    failed: Option<(io::ErrorKind, String)>,
}

/// The kinds of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flush,
    Merge,
}

/// What the manifest will say when a table is on disk.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) below: u64,
    pub(super) hours: Hours,
    pub(super) span: i64,
}

impl Disk {
    pub(super) fn runs(&self) -> Runs {
        Arc::clone(&self.runs.lock())
    }

    /// The span that ids now belong to: runs of earlier ones are merged into one.
    pub(super) fn set_span(&self, span: i64) {
        self.span.store(span, Ordering::Relaxed);
    }

    /// Fails if anything has failed before. Whether a table is on its way to disk.
    pub(super) fn is_flushing(&self) -> io::Result<bool> {
        let work = self.work.lock();
        work.result().map(|()| work.flushing)
    }

    /// Waits until no table is on its way to disk.
    pub(super) fn wait_for_flush(&self) -> io::Result<()> {
        self.wait(|work| work.flushing)
    }

    /// Waits until nothing is written or merged.
    pub(super) fn wait_for_all(&self) -> io::Result<()> {
        self.wait(|work| work.flushing || work.merging)
    }

    fn wait(&self, mut busy: impl FnMut(&Work) -> bool) -> io::Result<()> {
        let mut work = self.work.lock();
        while work.failed.is_none() && busy(&work) {
            self.changed.wait(&mut work);
        }
        work.result()
    }

    /// Brings a table to disk, in the background. The caller has waited for the one before.
    pub(super) fn flush(self: &Arc<Self>, table: Arc<Table>, held: Held) -> io::Result<()> {
        self.wait(|work| work.merging && self.runs().len() >= RUNS_MAX)?;
        if self.runs().len() >= RUNS_MAX {
            let full = "the disk has no room to merge the ids that are there";
            return Err(self.fail(io::Error::new(io::ErrorKind::StorageFull, full)));
        }
        self.in_flush_thread(move |disk| disk.write_table(&table, held))
    }

    /// Removes what stands before `keep_from`, in the background, as far as whole runs do.
    pub(super) fn forget_before(self: &Arc<Self>, keep_from: u64) -> io::Result<()> {
        self.keep_from.store(keep_from, Ordering::Relaxed);
        let expired = self.runs().iter().any(|run| run.header.last_position < keep_from);
        if expired && !self.is_flushing()? {
            return self.in_flush_thread(|disk| disk.publish(|_, _| true).map(drop));
        }
        Ok(())
    }

    fn in_flush_thread(
        self: &Arc<Self>,
        job: impl FnOnce(&Arc<Self>) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        self.work.lock().flushing = true;
        let disk = Arc::clone(self);
        self.background.flush(move || disk.perform(Kind::Flush, || job(&disk)))
    }

    fn perform(self: &Arc<Self>, kind: Kind, job: impl FnOnce() -> io::Result<()>) {
        let mut work = self.work.lock();
        let is_open = !work.closed;
        if is_open {
            work.running += 1;
            MutexGuard::unlocked(&mut work, || job().map_err(|error| self.fail(error)).is_ok());
            work.running -= 1;
        }
        match kind {
            Kind::Flush => work.flushing = false,
            Kind::Merge => work.merging = false,
        }
        let go_on = is_open && work.failed.is_none();
        drop(work);
        if go_on {
            self.merge_if_due();
        }
        self.changed.notify_all();
    }

    fn write_table(&self, table: &Table, held: Held) -> io::Result<()> {
        let keep_from = self.keep_from.load(Ordering::Relaxed);
        let number = self.next_run.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.run(number);
        let mut writer = RunWriter::create(&path, table.len() as u64)?;
        for entry in table.sorted().iter().filter(|entry| entry.position >= keep_from) {
            writer.push(entry)?;
        }
        let run = match writer.finish()? {
            Some(_) => Some(Arc::new(Run::open(&path, number, held.span, &self.memory)?)),
            None => {
                std::fs::remove_file(&path)?;
                None
            }
        };
        self.publish(|runs, manifest| {
            runs.extend(run);
            (manifest.holds_below, manifest.hours) = (held.below, held.hours);
            true
        })
        .map(drop)
    }

    fn merge_if_due(self: &Arc<Self>) {
        let runs = self.runs();
        let sizes: Vec<Size> = runs.iter().map(|run| Size { span: run.span, ids: run.header.ids }).collect();
        let Some(chosen) = choose(&sizes, self.span.load(Ordering::Relaxed), self.smallest) else { return };
        let mut work = self.work.lock();
        let waits = work.merge_not_before.is_some_and(|at| Instant::now() < at);
        if work.closed || work.merging || waits {
            return;
        }
        work.merging = true;
        drop(work);
        let (disk, chosen) = (Arc::clone(self), runs[chosen].to_vec());
        let sent = self.background.merge(move || disk.perform(Kind::Merge, || disk.merge(&chosen)));
        if let Err(error) = sent {
            self.fail(error);
        }
    }

    fn merge(&self, chosen: &[Arc<Run>]) -> io::Result<()> {
        let number = self.next_run.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.run(number);
        match self.merge_into(chosen, number, &path) {
            Ok(true) => Ok(()),
            Ok(false) => std::fs::remove_file(&path),
            Err(error) if is_no_room(&error) => {
                tracing::warn!(
                    error = %Chain(&error),
                    "seen ids are not merged, and take longer to look up: the disk is full"
                );
                self.work.lock().merge_not_before = Some(Instant::now() + MERGE_PAUSE);
                std::fs::remove_file(&path)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the new file is of use.
    fn merge_into(&self, chosen: &[Arc<Run>], number: u64, path: &Path) -> io::Result<bool> {
        let is_closed = || self.work.lock().closed;
        let merged = merge(chosen, path, self.keep_from.load(Ordering::Relaxed), is_closed)?;
        if merged.is_none() && is_closed() {
            return Ok(false);
        }
        let (span, mut run) = (chosen.first().map_or(0, |run| run.span), None);
        if merged.is_some() {
            run = Some(Arc::new(Run::open(path, number, span, &self.memory)?));
        }
        let is_of_use = run.is_some();
        let replaced = self.publish(|runs, _| {
            let Some(first) = runs.iter().position(|run| run.number == chosen[0].number) else {
                return false;
            };
            let same = runs[first..].iter().zip(chosen).filter(|(a, b)| a.number == b.number).count();
            if same == chosen.len() {
                runs.splice(first..first + same, run);
            }
            same == chosen.len()
        })?;
        Ok(replaced && is_of_use)
    }

    /// Changes the runs, and the manifest with them, and removes what has expired. Whether `change` did anything.
    fn publish(&self, change: impl FnOnce(&mut Vec<Arc<Run>>, &mut Manifest) -> bool) -> io::Result<bool> {
        let mut manifest = self.manifest.lock();
        // Another thread may have found damage: then there is to be no manifest.
        self.work.lock().result()?;
        let mut next = manifest.clone();
        let mut runs = Vec::clone(&self.runs());
        if !change(&mut runs, &mut next) {
            return Ok(false);
        }
        let keep_from = self.keep_from.load(Ordering::Relaxed);
        runs.retain(|run| run.header.last_position >= keep_from);
        next.next_run = self.next_run.load(Ordering::Relaxed);
        next.runs = runs.iter().map(|run| listed(run)).collect();
        next.write(self.folder.path())?;
        *manifest = next;
        let runs = Arc::new(runs);
        let before = std::mem::replace(&mut *self.runs.lock(), Arc::clone(&runs));
        for gone in before.iter().filter(|run| runs.iter().all(|kept| kept.number != run.number)) {
            std::fs::remove_file(self.folder.run(gone.number))?;
        }
        // The memory of what is gone may be free for the filters of others, youngest first.
        drop(before);
        runs.iter().rev().filter(|run| !run.has_filter()).try_for_each(|run| run.load_filter())?;
        Ok(true)
    }

    /// Notes a failure: nothing works from now on. What is damaged must not be found again by the next session: it goes
    /// by the manifest, after which none is written any more.
    pub(super) fn fail(&self, error: io::Error) -> io::Error {
        self.work.lock().failed.get_or_insert_with(|| (error.kind(), error.to_string()));
        self.changed.notify_all();
        if is_damage(&error) {
            let folder = self.folder.path().display();
            tracing::error!(
                error = %Chain(&error), %folder,
                "seen ids on disk are damaged, and will be read from ClickHouse again"
            );
            let _no_other_is_written = self.manifest.lock();
            if let Err(error) = self.folder.disown() {
                tracing::error!(error = %Chain(&error), %folder, "remove this folder: its manifest can't be removed");
            }
        }
        error
    }

    /// Ends what the threads do here, and lets others have the folder.
    pub(super) fn close(&self) {
        let mut work = self.work.lock();
        work.closed = true;
        let until = Instant::now() + CLOSE_PATIENCE;
        while work.running > 0 {
            if self.changed.wait_until(&mut work, until).timed_out() {
                tracing::warn!("a store of seen ids is still being written, and keeps its folder");
                return;
            }
        }
        self.folder.unlock();
    }
}

impl Work {
    fn result(&self) -> io::Result<()> {
        self.failed.as_ref().map_or(Ok(()), |(kind, why)| Err(io::Error::new(*kind, why.clone())))
    }
}

fn is_damage(error: &io::Error) -> bool {
    /// The device could not read or write.
    const EIO: i32 = 5;
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        || error.raw_os_error() == Some(EIO)
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn listed(run: &Run) -> Listed {
    Listed { number: run.number, span: run.span, header_crc: run.header.crc() }
}
