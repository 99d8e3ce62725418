//! The thread that writes a partition: takes what waits, writes it, syncs once, lets readers see it, answers.
//!
//! | what fails | the group | the partition |
//! |---|---|---|
//! | no room, seen before writing | refused | refuses until there is room |
//! | write: no space, and cutting the file back succeeds | refused | refuses until there is room |
//! | a new segment can't be made | refused | goes on |
//! | any other write; any sync | unknown | refuses until the log is opened again; the file is never synced again |

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use metrics::{counter, histogram};
use uuid::Uuid;

use super::directory::{SyncedMark, segment_path};
use super::disk::{Disk, sync_dir};
use super::partition::{Partition, Segment};
use super::queue::{Queues, Refusing, Request, WriterStep};
use super::record::{SEGMENT_HEAD_LEN, encode, segment_head};
use super::recover::{Recovered, write_head};
use crate::AppendError;
use crate::metrics::{APPEND_BYTES, FSYNC_SECONDS};

/// Bytes that are handed to one write call.
const WRITE_BYTES: usize = 1 << 20;

/// What the writers of all partitions share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) identity: Uuid,
    pub(super) queues: Arc<Queues>,
    pub(super) disk: Disk,
    pub(super) segment_bytes_max: u64,
    pub(super) disk_free_bytes_min: u64,
}

/// Writes one partition.
pub(super) struct Writer {
    shared: Shared,
    partition: Arc<Partition>,
    dir: PathBuf,
    segment: Arc<Segment>,
    file: File,
    /// Where the next record goes; all before it is durable.
    position: u64,
    mark: SyncedMark,
    buffer: Vec<u8>,
}

/// Why a group was not made durable.
struct Failure {
    /// It may be in the file.
    perhaps_written: bool,
    /// What this means for the records to come.
    refusing: Option<Refusing>,
    reason: String,
}

impl Failure {
    fn refused(reason: String) -> Self {
        Self { perhaps_written: false, refusing: None, reason }
    }

    fn full(reason: String) -> Self {
        Self { perhaps_written: false, refusing: Some(Refusing::Full(reason.clone())), reason }
    }

    fn failed(what: &str, path: &Path, error: &io::Error) -> Self {
        let reason =
            format!("{what} {}: {error}; nothing more is written there before a restart", path.display());
        Self { perhaps_written: true, refusing: Some(Refusing::Failed(reason.clone())), reason }
    }
}

impl Writer {
    pub(super) fn new(shared: Shared, recovered: Recovered) -> (Self, Arc<Partition>) {
        let Recovered { partition, dir, segment, file, position, mark } = recovered;
        let partition = Arc::new(partition);
        let writer = Self {
            shared,
            partition: Arc::clone(&partition),
            dir,
            segment,
            file,
            position,
            mark,
            buffer: Vec::new(),
        };
        (writer, partition)
    }

    /// Works until the log is closed or the partition has failed.
    pub(super) fn run(mut self) {
        let lane = self.partition.number as usize;
        loop {
            match self.shared.queues.take(lane) {
                WriterStep::Group(group) => {
                    if !self.write(group) {
                        return;
                    }
                }
                WriterStep::LookForRoom => {
                    if self.lacks_room().is_none() {
                        tracing::info!(partition = lane, "there is room again");
                        self.shared.queues.resume(lane);
                    }
                }
                WriterStep::End => break,
            }
        }
        if let Err(error) = self.mark.sync() {
            tracing::warn!(partition = lane, %error, "could not sync the mark of what is durable");
        }
    }

    /// Writes a group and answers it. False if nothing more can be written.
    fn write(&mut self, group: Vec<Request>) -> bool {
        let outcome = self.commit(&group);
        self.shared.queues.done(&group);
        let mut usable = true;
        if let Err(Failure { refusing: Some(refusing), .. }) = &outcome {
            usable = matches!(refusing, Refusing::Full(_));
            self.shared.queues.refuse(self.partition.number as usize, refusing);
        }
        if let Err(failure) = &outcome {
            tracing::error!(partition = self.partition.number, requests = group.len(), "{}", failure.reason);
        }
        for request in group {
            request.settle(match &outcome {
                Ok(()) => Ok(()),
                Err(failure) if failure.perhaps_written => Err(AppendError::Unknown(failure.reason.clone())),
                Err(failure) => Err(AppendError::Refused(failure.reason.clone())),
            });
        }
        usable
    }

    fn commit(&mut self, group: &[Request]) -> Result<(), Failure> {
        if let Some(reason) = self.lacks_room() {
            return Err(Failure::full(reason));
        }
        let bytes = group.iter().map(|request| request.bytes as u64).sum::<u64>();
        let fits = self.position + bytes <= self.shared.segment_bytes_max;
        if !fits && self.position > SEGMENT_HEAD_LEN as u64 {
            self.begin_segment()?;
        }
        faults::point("log.taken");
        let (end, position) = self.write_records(group)?;
        faults::point("log.written");
        let started = Instant::now();
        (self.shared.disk.sync)(&self.file)
            .map_err(|error| Failure::failed("could not sync", &self.segment.path, &error))?;
        histogram!(FSYNC_SECONDS).record(started.elapsed().as_secs_f64());
        faults::point("log.synced");
        let payloads =
            group.iter().flat_map(|request| &request.records).map(|record| record.payload.len() as u64);
        counter!(APPEND_BYTES).increment(payloads.sum());
        self.position = position;
        if let Err(error) = self.mark.write(end) {
            // It may lag behind: it only distinguishes damage from a torn tail.
            tracing::warn!(partition = self.partition.number, %error, "could not move the mark of what is durable");
        }
        self.partition.publish(end);
        Ok(())
    }

    /// Returns the end of the group, as offset and as position.
    fn write_records(&mut self, group: &[Request]) -> Result<(u64, u64), Failure> {
        let synced = self.partition.bounds().end;
        let mut next = synced;
        let mut position = self.position;
        self.buffer.clear();
        for record in group.iter().flat_map(|request| &request.records) {
            if next == synced {
                self.segment.note(next, position);
            }
            encode(&mut self.buffer, self.segment.seed, next, synced, record.timestamp_ms, &record.payload);
            next += 1;
            if self.buffer.len() >= WRITE_BYTES {
                position = self.write_buffer(position)?;
            }
        }
        position = self.write_buffer(position)?;
        Ok((next, position))
    }

    fn write_buffer(&mut self, position: u64) -> Result<u64, Failure> {
        match (self.shared.disk.write)(&self.file, &self.buffer, position) {
            Ok(()) => {
                let position = position + self.buffer.len() as u64;
                self.buffer.clear();
                Ok(position)
            }
            Err(error) if is_full(&error) => Err(self.cut_back(&error)),
            Err(error) => Err(Failure::failed("could not write", &self.segment.path, &error)),
        }
    }

    /// Takes the group that did not fit out of the file, so that it is known not to be in the log.
    fn cut_back(&self, full: &io::Error) -> Failure {
        let cut = self.file.set_len(self.position).and_then(|()| (self.shared.disk.sync)(&self.file));
        match cut {
            Ok(()) => Failure::full(format!("{}: {full}", self.segment.path.display())),
            Err(error) => {
                Failure::failed("the disk is full, and could not cut back", &self.segment.path, &error)
            }
        }
    }

    fn begin_segment(&mut self) -> Result<(), Failure> {
        let first = self.partition.bounds().end;
        let path = segment_path(&self.dir, first);
        let (_, seed) = segment_head(self.shared.identity, self.partition.number, first);
        let make = || -> io::Result<File> {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
            write_head(&file, &self.shared.disk, self.shared.identity, self.partition.number, first)?;
            sync_dir(&self.dir)?;
            Ok(file)
        };
        match make() {
            Ok(file) => {
                self.file = file;
                self.position = SEGMENT_HEAD_LEN as u64;
                self.segment = Arc::new(Segment::new(first, path, seed));
                self.partition.add_segment(Arc::clone(&self.segment));
                faults::point("log.rotated");
                Ok(())
            }
            Err(error) => {
                // A new attempt makes a new file: what could not be synced is not synced again.
                fs::remove_file(&path).ok();
                Err(Failure::refused(format!("could not begin the segment {}: {error}", path.display())))
            }
        }
    }

    /// Why nothing should be written now, if so.
    fn lacks_room(&self) -> Option<String> {
        match (self.shared.disk.free_bytes)(&self.dir) {
            Ok(free) if free < self.shared.disk_free_bytes_min => Some(format!(
                "the disk of {} is full: {free} bytes left, {} are kept free",
                self.dir.display(),
                self.shared.disk_free_bytes_min
            )),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(dir = %self.dir.display(), %error, "could not ask for the room on the disk");
                None
            }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
