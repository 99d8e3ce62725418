//! The local log on a real directory and a disk that fails on command.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

use super::directory::partition_dir;
use super::disk::Disk;
use super::{LocalConfig, LocalLog};
use crate::{Append, AppendError, EventLog, LogError, Record};

mod record;
mod append;
mod faults;
mod recovery;
mod reading;
mod looking;

const SOON: Duration = Duration::from_secs(20);
const NOW: Duration = Duration::ZERO;
const MANY: usize = usize::MAX >> 1;

fn config(dir: &TempDir, partitions: u32) -> LocalConfig {
    LocalConfig { disk_free_bytes_min: 0, ..LocalConfig::new(dir.path().join("log"), partitions) }
}

fn record(partition: u32, payload: impl Into<Bytes>) -> Append {
    let payload = payload.into();
    Append { partition, timestamp_ms: 1_700_000_000_000, payload }
}

async fn append(log: &LocalLog, partition: u32, payload: &str) {
    log.append(vec![record(partition, payload.to_owned())], SOON).await.unwrap();
}

/// All records of a partition from `offset` on.
async fn read_from(log: &LocalLog, partition: u32, offset: u64) -> Result<Vec<Record>, LogError> {
    let end = log.bounds().await?[partition as usize].end;
    let mut reader = log.reader(&[(partition, offset)]).await?;
    let mut records: Vec<Record> = Vec::new();
    while records.last().map_or(offset, |record| record.offset + 1) < end {
        records.extend(reader.read(MANY, SOON).await?);
    }
    Ok(records)
}

/// The payloads of a partition's records, after a check of their offsets.
async fn texts(log: &LocalLog, partition: u32) -> Vec<String> {
    let start = log.bounds().await.unwrap()[partition as usize].start;
    let records = read_from(log, partition, start).await.unwrap();
    for (record, offset) in records.iter().zip(start..) {
        assert_eq!(record.offset, offset);
        assert_eq!(record.partition, partition);
    }
    records.iter().map(|record| String::from_utf8(record.payload.to_vec()).unwrap()).collect()
}

/// Closes the log as a process does that ends well.
async fn close(log: LocalLog) {
    log.close(SOON).await;
}

/// A segment's file; `at` counts from the oldest.
fn segment(config: &LocalConfig, partition: u32, at: usize) -> PathBuf {
    super::directory::segments(&partition_dir(&config.dir, partition)).unwrap()[at].1.clone()
}

/// What a power loss may do to the mark of what is durable.
fn lose_mark(config: &LocalConfig, partition: u32) {
    std::fs::remove_file(partition_dir(&config.dir, partition).join("synced")).unwrap();
}

fn flip(path: &Path, byte: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut value = [0];
    file.read_exact_at(&mut value, byte).unwrap();
    file.write_all_at(&[value[0] ^ 0x10], byte).unwrap();
}

fn len(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

/// A disk that fails, hangs or is full on command.
struct Faults {
    syncs: AtomicUsize,
    hang: Mutex<bool>,
    hang_changed: Condvar,
    /// Notified when a sync begins to hang.
    hangs: tokio::sync::Notify,
    sync_fails: AtomicBool,
    write_fails: Mutex<Option<io::ErrorKind>>,
    /// Only this partition's writer meets faults.
    only: Mutex<Option<&'static str>>,
    free_bytes: AtomicU64,
}

impl Faults {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            syncs: AtomicUsize::new(0),
            hang: Mutex::new(false),
            hang_changed: Condvar::new(),
            hangs: tokio::sync::Notify::new(),
            sync_fails: AtomicBool::new(false),
            write_fails: Mutex::new(None),
            only: Mutex::new(None),
            free_bytes: AtomicU64::new(u64::MAX),
        })
    }

    fn disk(self: &Arc<Self>) -> Disk {
        let (write, sync, free) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        Disk {
            write: Arc::new(move |file, bytes, position| write.write(file, bytes, position)),
            sync: Arc::new(move |_| sync.sync()),
            free_bytes: Arc::new(move |_| Ok(free.free_bytes.load(Ordering::SeqCst))),
        }
    }

    fn set_hang(&self, hang: bool) {
        *self.hang.lock() = hang;
        self.hang_changed.notify_all();
    }

    fn concerned(&self) -> bool {
        self.only.lock().is_none_or(|only| std::thread::current().name() == Some(only))
    }

    fn write(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        match *self.write_fails.lock() {
            Some(kind) if self.concerned() => {
                file.write_all_at(&bytes[..bytes.len() / 2], position)?;
                Err(kind.into())
            }
            Some(_) | None => file.write_all_at(bytes, position),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        let mut hang = self.hang.lock();
        while *hang {
            self.hangs.notify_one();
            self.hang_changed.wait(&mut hang);
        }
        if self.sync_fails.load(Ordering::SeqCst) && self.concerned() {
            return Err(io::Error::other("the disk is gone"));
        }
        Ok(())
    }
}

/// Polls the future once, as a caller does that then loses interest.
async fn poll_once<F: Future + Unpin>(future: F) {
    assert!(tokio::time::timeout(NOW, future).await.is_err());
}

async fn read_once(log: &LocalLog, from: &[(u32, u64)], bytes_max: usize) -> Vec<Record> {
    log.reader(from).await.unwrap().read(bytes_max, SOON).await.unwrap()
}

async fn ends(log: &LocalLog) -> Vec<u64> {
    log.bounds().await.unwrap().iter().map(|bounds| bounds.end).collect()
}

/// Waits for what comes by itself.
async fn eventually<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    for _ in 0..2000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came");
}
