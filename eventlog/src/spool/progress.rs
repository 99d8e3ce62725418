//! How far the spool is drained: the file `drained` in its folder.
//!
//! ```text
//! drained  records below this offset are in the log
//! handed   records from this offset on were never handed to the log
//! ```
//!
//! What is between may be in the log or not. `handed` is durable before a record is handed over, `drained` is
//! written after it was confirmed; so a crash can only make the range between too large.

use std::path::{Path, PathBuf};

use super::file;
use crate::{Bounds, LogError};

const FILE: &str = "drained";
const HEAD: &str = "weir spool drained 1\n";

/// The file, and what it says.
#[derive(Debug)]
pub(super) struct Progress {
    dir: PathBuf,
    drained: u64,
    handed: u64,
}

impl Progress {
    /// Reads the file, or makes it. Without one, no record that is there is known not to have been handed over.
    pub(super) fn open(dir: &Path, bounds: Bounds) -> Result<Self, LogError> {
        let path = dir.join(FILE);
        let Some(lines) = file::read(dir, FILE)? else {
            if bounds.end > bounds.start {
                tracing::warn!(
                    path = %path.display(), records = bounds.end - bounds.start,
                    "it is missing: all that is spooled is handed over once more"
                );
            }
            let progress = Self { dir: dir.to_owned(), drained: bounds.start, handed: bounds.end };
            progress.write()?;
            return Ok(progress);
        };
        let number = |name| file::value(&lines, name).and_then(|number| number.parse().ok());
        let (Some(drained), Some(handed)) = (number("drained"), number("handed")) else {
            return Err(LogError::Damaged(format!("{} is damaged", path.display())));
        };
        if drained < bounds.start || drained > bounds.end {
            return Err(LogError::Damaged(format!(
                "the spool in {} has the records [{}, {}), but is drained up to {drained}: it is an older copy, or \
                 its end is lost. Restore it; without it, remove `drained` there, and all of it is handed \
                 over once more",
                dir.display(),
                bounds.start,
                bounds.end
            )));
        }
        Ok(Self { dir: dir.to_owned(), drained, handed })
    }

    pub(super) fn drained(&self) -> u64 {
        self.drained
    }

    pub(super) fn handed(&self) -> u64 {
        self.handed
    }

    /// Records below `end` are about to be handed over.
    pub(super) fn hand(&mut self, end: u64) -> Result<(), LogError> {
        if end > self.handed {
            self.handed = end;
            self.write()?;
        }
        Ok(())
    }

    /// Records below `end` are in the log.
    pub(super) fn drain(&mut self, end: u64) -> Result<(), LogError> {
        self.drained = self.drained.max(end);
        self.handed = self.handed.max(end);
        self.write()
    }

    fn write(&self) -> Result<(), LogError> {
        let lines = format!("{HEAD}drained {}\nhanded {}\n", self.drained, self.handed);
        file::write(&self.dir, FILE, &lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { start: 3, end: 9 };

    #[test]
    fn it_is_found_as_it_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut progress = Progress::open(dir.path(), Bounds { start: 0, end: 0 }).unwrap();
        progress.drain(5).unwrap();
        progress.hand(8).unwrap();
        progress.hand(6).unwrap();
        let found = Progress::open(dir.path(), BOUNDS).unwrap();
        assert_eq!((found.drained(), found.handed()), (5, 8));
    }

    #[test]
    fn without_a_file_everything_may_have_been_handed_over() {
        let dir = tempfile::tempdir().unwrap();
        let found = Progress::open(dir.path(), BOUNDS).unwrap();
        assert_eq!((found.drained(), found.handed()), (3, 9));
    }

    #[test]
    fn a_spool_that_lost_its_end_and_a_file_that_was_changed_are_damage() {
        let dir = tempfile::tempdir().unwrap();
        Progress::open(dir.path(), BOUNDS).unwrap().drain(9).unwrap();
        let opened = Progress::open(dir.path(), Bounds { start: 3, end: 8 });
        assert!(matches!(opened, Err(LogError::Damaged(_))));
        let path = dir.path().join(FILE);
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("drained 9", "drained 4"))
            .unwrap();
        assert!(matches!(Progress::open(dir.path(), BOUNDS), Err(LogError::Damaged(_))));
    }
}
