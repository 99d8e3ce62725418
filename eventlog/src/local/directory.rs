//! What stands where:
//!
//! ```text
//! meta                          identity and number of partitions, written once
//! lock                          locked by the process that writes; holds its id
//! p000/00000000000000000000.log a segment, named by its first offset
//! p000/synced                   offsets below this number have been durable
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use super::disk::{read_up_to, sync_dir};
use super::record::{SEGMENT_HEAD_LEN, segment_head};
use crate::LogError;

/// Threads and descriptors that one log may take.
const PARTITIONS_MAX: u32 = 1000;

/// What `meta` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) identity: Uuid,
    pub(super) partitions: u32,
}

/// The lock on a directory, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    pub(super) fn take(dir: &Path) -> Result<Self, LogError> {
        let path = dir.join("lock");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| unavailable(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {
                let lock = Self(file);
                lock.now().map_err(|error| unavailable(&path, &error))?;
                Ok(lock)
            }
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                Err(LogError::Config(format!(
                    "the log in {} is being written by another process ({}): one directory, one writer",
                    dir.display(),
                    holder.trim(),
                )))
            }
            Err(TryLockError::Error(error)) => Err(unavailable(&path, &error)),
        }
    }

    /// The time by the clock that also stamps the segments: the file system's.
    pub(super) fn now(&self) -> io::Result<SystemTime> {
        self.0.write_all_at(format!("pid {:<10}\n", std::process::id()).as_bytes(), 0)?;
        self.0.metadata()?.modified()
    }
}

/// Makes the directory if there is none.
pub(super) fn make(dir: &Path) -> Result<(), LogError> {
    if dir.is_dir() {
        return Ok(());
    }
    let made = fs::create_dir_all(dir).and_then(|()| dir.canonicalize()?.parent().map_or(Ok(()), sync_dir));
    made.map_err(|error| unavailable(dir, &error))
}

/// Reads `meta`; `None` if there is none.
pub(super) fn read_meta(dir: &Path) -> Result<Option<Meta>, LogError> {
    let path = dir.join("meta");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unavailable(&path, &error)),
    };
    if !text.starts_with("weir log 1\n") {
        return Err(LogError::Config(format!(
            "{} is not of a version that this program reads: use the version of weir that made it, or a later one",
            path.display()
        )));
    }
    let meta = parse_meta(&text).ok_or_else(|| {
        LogError::Damaged(format!(
            "{} is damaged: restore it from a backup; without it the log's offsets mean nothing",
            path.display()
        ))
    })?;
    Ok(Some(meta))
}

/// Makes an empty log. `meta` comes last: without it, nothing was made.
pub(super) fn create(dir: &Path, partitions: u32) -> Result<Meta, LogError> {
    if !(1..=PARTITIONS_MAX).contains(&partitions) {
        return Err(LogError::Config(format!(
            "a log can't have {partitions} partitions: 1 to {PARTITIONS_MAX}"
        )));
    }
    let meta = Meta { identity: Uuid::now_v7(), partitions };
    for partition in 0..partitions {
        create_partition(dir, meta.identity, partition)?;
    }
    write_meta(dir, &meta).map_err(|error| unavailable(&dir.join("meta"), &error))?;
    Ok(meta)
}

/// The directory of a partition.
pub(super) fn partition_dir(dir: &Path, partition: u32) -> PathBuf {
    dir.join(format!("p{partition:03}"))
}

/// The file of the segment that begins with the offset `first`.
pub(super) fn segment_path(partition_dir: &Path, first: u64) -> PathBuf {
    partition_dir.join(format!("{first:020}.log"))
}

/// First offset and file of each segment, in order.
pub(super) fn segments(partition_dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(partition_dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 20);
        if let Some(first) = digits.and_then(|digits| digits.parse().ok()) {
            found.push((first, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The files of all segments of the first partition.
pub(crate) fn segment_files(dir: &Path) -> Result<Vec<PathBuf>, LogError> {
    let partition_dir = partition_dir(dir, 0);
    let found = segments(&partition_dir).map_err(|error| unavailable(&partition_dir, &error))?;
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The number in `synced`: the offsets below it have been durable. It is rewritten after each group and not
/// synced, so after a power loss it may lag behind, or be gone; it never runs ahead.
#[derive(Debug)]
pub(super) struct SyncedMark {
    file: File,
    seed: u32,
}

const MARK_LEN: usize = 12;

impl SyncedMark {
    pub(super) fn open(partition_dir: &Path, identity: Uuid, partition: u32) -> io::Result<Self> {
        let path = partition_dir.join("synced");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file, seed: mark_seed(identity, partition) })
    }

    pub(super) fn write(&self, end: u64) -> io::Result<()> {
        let end = end.to_le_bytes();
        let mut bytes = [0; MARK_LEN];
        bytes[..8].copy_from_slice(&end);
        bytes[8..].copy_from_slice(&crc32c::crc32c_append(self.seed, &end).to_le_bytes());
        self.file.write_all_at(&bytes, 0)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// The number in `synced`, 0 if there is none that is whole.
pub(super) fn read_mark(partition_dir: &Path, identity: Uuid, partition: u32) -> io::Result<u64> {
    let file = match File::open(partition_dir.join("synced")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut bytes = [0; MARK_LEN];
    let len = read_up_to(&file, &mut bytes, 0)?;
    let (end, crc) = bytes.split_at(8);
    let whole = crc32c::crc32c_append(mark_seed(identity, partition), end).to_le_bytes() == crc;
    let end = end.try_into().map_or(0, u64::from_le_bytes);
    Ok(if len == MARK_LEN && whole { end } else { 0 })
}

/// The error for what the file system does not let us do.
pub(super) fn unavailable(path: &Path, error: &io::Error) -> LogError {
    LogError::Unavailable(format!("{}: {error}", path.display()))
}

fn mark_seed(identity: Uuid, partition: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(identity.as_bytes()), &partition.to_le_bytes())
}

fn create_partition(dir: &Path, identity: Uuid, partition: u32) -> Result<(), LogError> {
    let partition_dir = partition_dir(dir, partition);
    let failed = |error: io::Error| unavailable(&partition_dir, &error);
    fs::create_dir_all(&partition_dir).map_err(failed)?;
    for (_, path) in segments(&partition_dir).map_err(failed)? {
        if fs::metadata(&path).map_err(failed)?.len() > SEGMENT_HEAD_LEN as u64 {
            return Err(LogError::Damaged(format!(
                "{} holds records, but {} is missing: restore it from a backup, or use an empty directory",
                path.display(),
                dir.join("meta").display(),
            )));
        }
        fs::remove_file(&path).map_err(failed)?;
    }
    let (head, _) = segment_head(identity, partition, 0);
    let mut file = File::create(segment_path(&partition_dir, 0)).map_err(failed)?;
    file.write_all(&head).and_then(|()| file.sync_all()).map_err(failed)?;
    sync_dir(&partition_dir).map_err(failed)
}

fn write_meta(dir: &Path, meta: &Meta) -> io::Result<()> {
    let mut text = format!("weir log 1\nidentity {}\npartitions {}\n", meta.identity, meta.partitions);
    text += &format!("crc32c {:08x}\n", crc32c::crc32c(text.as_bytes()));
    let temporary = dir.join("meta.tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join("meta"))?;
    sync_dir(dir)
}

fn parse_meta(text: &str) -> Option<Meta> {
    let body_len = text.rfind("crc32c ")?;
    let crc = u32::from_str_radix(text[body_len..].strip_prefix("crc32c ")?.trim_end(), 16).ok()?;
    (crc == crc32c::crc32c(&text.as_bytes()[..body_len])).then_some(())?;
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Some(Meta { identity: value("identity")?.parse().ok()?, partitions: value("partitions")?.parse().ok()? })
}
