//! Finding the end of a partition again.
//!
//! Only the last group can be incomplete: a group is written when the one before it is durable, and a segment is
//! begun when the one before it is. So the last segment is read from end to end, the others are taken at their
//! names. A bad record there is what a crash left of the last group, *unless* something says that it had been
//! durable: a later record (`synced_before`), or the file `synced`. Then it is damage, and nothing is changed.
//!
//! The last group is written once more and synced before anyone may read it: its writer may have died after a
//! failed sync, and then the kernel shows bytes that the disk does not have and that another sync would not write.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::directory::{SyncedMark, partition_dir, read_mark, segments, unavailable};
use super::disk::{Disk, read_up_to, sync_dir};
use super::partition::{Partition, Segment};
use super::record::{CHUNK_BYTES, SEGMENT_HEAD_LEN, segment_head};
use super::scan::{Damage, Scan, Step, behind};
use crate::LogError;

const HEAD_LEN: u64 = SEGMENT_HEAD_LEN as u64;

/// A partition that can be written to.
pub(super) struct Recovered {
    pub(super) partition: Partition,
    pub(super) dir: PathBuf,
    /// The last segment, its file, and the position at which the next record goes.
    pub(super) segment: Arc<Segment>,
    pub(super) file: File,
    pub(super) position: u64,
    pub(super) mark: SyncedMark,
}

/// Recovers a partition for writing.
pub(super) fn recover(dir: &Path, number: u32, identity: Uuid, disk: &Disk) -> Result<Recovered, LogError> {
    let dir = partition_dir(dir, number);
    let found = find(&dir, number, identity)?;
    let failed = |error: io::Error| unavailable(&found.last.path, &error);
    let file = OpenOptions::new().read(true).write(true).open(&found.last.path).map_err(failed)?;
    let tail = if found.headless {
        write_head(&file, disk, identity, number, found.last.first).map_err(failed)?;
        Tail {
            end: found.last.first,
            position: HEAD_LEN,
            group: HEAD_LEN,
            synced: found.last.first,
            torn: None,
        }
    } else {
        scan(&file, &found.last).map_err(failed)?
    };
    judge(&file, number, &found, &tail)?;
    let make_durable = || {
        rewrite(&file, disk, tail.group, tail.position)?;
        file.set_len(tail.position)?;
        (disk.sync)(&file)?;
        sync_dir(&dir)
    };
    make_durable().map_err(failed)?;
    let mark = SyncedMark::open(&dir, identity, number).map_err(failed)?;
    mark.write(tail.end).map_err(failed)?;
    let segment = Arc::clone(&found.last);
    let partition = Partition::new(number, found.segments, tail.end);
    Ok(Recovered { partition, dir, segment, file, position: tail.position, mark })
}

/// What another process may see of a partition that may be being written: its segments, and the end of what is
/// known to be durable.
pub(super) fn look(dir: &Path, number: u32, identity: Uuid) -> Result<(Vec<Arc<Segment>>, u64), LogError> {
    let dir = partition_dir(dir, number);
    let found = find(&dir, number, identity)?;
    if found.headless {
        return Ok((found.segments, found.last.first));
    }
    let failed = |error: io::Error| unavailable(&found.last.path, &error);
    let file = File::open(&found.last.path).map_err(failed)?;
    let tail = scan(&file, &found.last).map_err(failed)?;
    // What is bad and not below the mark is being written.
    lost_below_mark(&found, number, &tail)?;
    Ok((found.segments, tail.synced.max(found.mark)))
}

struct Found {
    segments: Vec<Arc<Segment>>,
    last: Arc<Segment>,
    /// The last segment was being made: it has no whole header and no record.
    headless: bool,
    mark: u64,
}

struct Tail {
    /// One past the last whole record, and where it ends.
    end: u64,
    position: u64,
    /// Where the last group begins, and its `synced_before`.
    group: u64,
    synced: u64,
    /// What is wrong with the bytes at `position`, if there are any.
    torn: Option<&'static str>,
}

fn find(dir: &Path, number: u32, identity: Uuid) -> Result<Found, LogError> {
    // The mark first: a running writer moves it when the records are in place.
    let mark = read_mark(dir, identity, number).map_err(|error| unavailable(dir, &error))?;
    let files = match segments(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        files => files.map_err(|error| unavailable(dir, &error))?,
    };
    let lost = |from, segment: &Path, why: &str| {
        LogError::from(Damage { partition: number, segment, byte: 0, from, to: None, why: why.to_owned() })
    };
    let mut found = Vec::with_capacity(files.len());
    let mut headless = false;
    for (at, (first, path)) in files.iter().enumerate() {
        let (head, seed) = segment_head(identity, number, *first);
        let is_last = at + 1 == files.len();
        let (len, same) = match read_head(path, &head) {
            // The writer's process has trimmed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && found.is_empty() && !is_last => continue,
            read => read.map_err(|error| unavailable(path, &error))?,
        };
        headless = !same && is_last && len <= HEAD_LEN;
        if !same && !headless {
            return Err(lost(*first, path, "its header is damaged or that of another log"));
        }
        if !is_last && len <= HEAD_LEN {
            return Err(lost(*first, path, "it is empty, but it is not the last one"));
        }
        found.push(Arc::new(Segment::new(*first, path.clone(), seed)));
    }
    let last = found.last().map(Arc::clone).ok_or_else(|| lost(0, dir, "all its segments are missing"))?;
    Ok(Found { segments: found, last, headless, mark })
}

fn read_head(path: &Path, expected: &[u8; SEGMENT_HEAD_LEN]) -> io::Result<(u64, bool)> {
    let file = File::open(path)?;
    let mut head = [0; SEGMENT_HEAD_LEN];
    let read = read_up_to(&file, &mut head, 0)?;
    Ok((fs::metadata(path)?.len(), read == head.len() && head == *expected))
}

fn scan(file: &File, segment: &Segment) -> io::Result<Tail> {
    let mut scan = Scan::new(file, segment.seed, HEAD_LEN, segment.first)?;
    let mut tail =
        Tail { end: segment.first, position: HEAD_LEN, group: HEAD_LEN, synced: segment.first, torn: None };
    loop {
        match scan.step()? {
            Step::Record(head, position) => {
                if head.synced_before != tail.synced {
                    tail.group = position;
                    tail.synced = head.synced_before;
                }
                segment.note(head.offset, position);
            }
            Step::End => break,
            Step::Bad(why) => {
                tail.torn = Some(why);
                break;
            }
        }
    }
    Ok(Tail { end: scan.next, position: scan.position, ..tail })
}

/// Whether what is wrong with the tail can be the work of a crash.
fn judge(file: &File, number: u32, found: &Found, tail: &Tail) -> Result<(), LogError> {
    let path = &found.last.path;
    if let Some(why) = tail.torn {
        let behind = behind(file, found.last.seed, tail.position, tail.end)
            .map_err(|error| unavailable(path, &error))?;
        if let Some(voucher) = behind.voucher {
            let why = format!("{why}, and the record {voucher} says that it had been durable");
            let to = behind.first;
            return Err(Damage {
                partition: number,
                segment: path,
                byte: tail.position,
                from: tail.end,
                to,
                why,
            }
            .into());
        }
        lost_below_mark(found, number, tail)?;
        tracing::warn!(
            partition = number, segment = %path.display(), byte = tail.position, from = tail.end,
            to_at_least = behind.first.unwrap_or(tail.end + 1), why,
            "cutting off the last group from this offset on: a crash interrupted it before it was acknowledged"
        );
    }
    lost_below_mark(found, number, tail)
}

fn lost_below_mark(found: &Found, number: u32, tail: &Tail) -> Result<(), LogError> {
    if tail.end >= found.mark {
        return Ok(());
    }
    let why =
        format!("{}, and `synced` says that it had been durable", tail.torn.unwrap_or("the file ends there"));
    let (segment, byte) = (found.last.path.as_path(), tail.position);
    Err(Damage { partition: number, segment, byte, from: tail.end, to: Some(found.mark), why }.into())
}

fn rewrite(file: &File, disk: &Disk, from: u64, to: u64) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = from;
    while at < to {
        let len = usize::try_from(to - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let read = read_up_to(file, &mut chunk[..len], at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (disk.write)(file, &chunk[..read], at)?;
        at += read as u64;
    }
    Ok(())
}

/// Writes a segment's header and makes it durable.
pub(super) fn write_head(
    file: &File,
    disk: &Disk,
    identity: Uuid,
    partition: u32,
    first: u64,
) -> io::Result<()> {
    let (head, _) = segment_head(identity, partition, first);
    (disk.write)(file, &head, 0)?;
    (disk.sync)(file)
}
