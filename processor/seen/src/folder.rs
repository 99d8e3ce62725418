//! Where a partition's store is, and that nobody else writes there.
//!
//! ```text
//! 3/lock       locked by the process that has the store
//! 3/manifest   which runs count
//! 3/7.ids      a run
//! 3-2/ ...     of another process on the same disk, while the first one holds 3/
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use service::error::Chain;

use crate::manifest::MANIFEST;

/// Processes that can have a store of one partition in one folder: the owner, and former ones that have not noticed.
const PLACES: u32 = 4;
/// How long a store of this very process may take to end before another place is used.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);
const SUFFIX: &str = "ids";

/// A folder that is locked until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    /// Takes the first place of the partition that nobody has. What unused places hold is removed: the next time they
    /// would be far behind.
    ///
    /// # Errors
    /// If the file system fails, or all places are taken.
    pub(super) fn take(root: &Path, partition: u32) -> io::Result<Self> {
        let until = Instant::now() + PATIENCE;
        let first = place(root, partition, 1);
        let mut taken = Self::try_take(&first)?;
        while taken.is_none() && is_held_by_this_process(&first) && Instant::now() < until {
            std::thread::sleep(PAUSE);
            taken = Self::try_take(&first)?;
        }
        for number in 2..=PLACES {
            let path = place(root, partition, number);
            if taken.is_none() {
                taken = Self::try_take(&path)?;
            } else if path.is_dir()
                && let Some(unused) = Self::try_take(&path)?
            {
                unused.clear()?;
            }
        }
        taken.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::WouldBlock,
                format!(
                    "other processes hold all stores of the ids of partition {partition} in {}",
                    root.display()
                ),
            )
        })
    }

    /// Locks a folder, which is made if there is none; `None` if another has it.
    fn try_take(path: &Path) -> io::Result<Option<Self>> {
        fs::create_dir_all(path)?;
        let name = path.join("lock");
        let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&name)?;
        match lock.try_lock() {
            Ok(()) => {
                fs::write(&name, std::process::id().to_string())?;
                Ok(Some(Self { path: path.to_owned(), lock }))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn run(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number}.{SUFFIX}"))
    }

    /// Removes the manifest: what else is there does not count any more.
    pub(super) fn disown(&self) -> io::Result<()> {
        match fs::remove_file(self.path.join(MANIFEST)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Removes everything but the lock.
    pub(super) fn clear(&self) -> io::Result<()> {
        self.disown()?;
        self.remove_runs_but(&[])
    }

    /// Removes runs that are not among `kept`: leftovers of a crash, and what has expired.
    pub(super) fn remove_runs_but(&self, kept: &[u64]) -> io::Result<()> {
        for number in self.runs()?.into_iter().filter(|number| !kept.contains(number)) {
            fs::remove_file(self.run(number))?;
        }
        Ok(())
    }

    /// The numbers of all runs that are there.
    pub(super) fn runs(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == SUFFIX) {
                let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
                numbers.extend(stem.parse::<u64>().ok());
            }
        }
        Ok(numbers)
    }

    /// Lets others have it, although somebody may still hold this value.
    pub(super) fn unlock(&self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(error = %Chain(&error), folder = %self.path.display(), "the ids' folder was not unlocked");
        }
    }
}

fn place(root: &Path, partition: u32, number: u32) -> PathBuf {
    root.join(if number == 1 { partition.to_string() } else { format!("{partition}-{number}") })
}

fn is_held_by_this_process(path: &Path) -> bool {
    fs::read_to_string(path.join("lock")).is_ok_and(|holder| holder == std::process::id().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_has_a_place_of_its_own_and_unused_ones_are_emptied() {
        let root = tempfile::tempdir().unwrap();
        let mut held: Vec<Folder> = (0..PLACES).map(|_| Folder::take(root.path(), 7).unwrap()).collect();
        let names: Vec<_> = held.iter().map(|folder| folder.path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["7", "7-2", "7-3", "7-4"]);
        let refused = Folder::take(root.path(), 7).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock, "{refused}");
        assert!(Folder::take(root.path(), 8).is_ok());
        fs::write(held[1].run(3), "ids").unwrap();
        drop(held.drain(..2));
        assert_eq!(Folder::take(root.path(), 7).unwrap().path, root.path().join("7"));
        assert!(!root.path().join("7-2/3.ids").exists());
    }
}
