//! Which log a spool is for: the file `log` in its folder. An event's partition depends on how many there are, and
//! the books know the log by its name; so records of one log mean nothing to another.

use std::path::Path;

use super::file;
use crate::{EventLog, LogError};

const FILE: &str = "log";
const HEAD: &str = "weir spool 1\n";

/// A log's name and number of partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) identity: String,
    pub(super) partitions: u32,
}

impl Binding {
    pub(super) fn of(log: &dyn EventLog) -> Self {
        Self { identity: log.identity().to_owned(), partitions: log.partitions() }
    }

    /// Whether `found` is the same log.
    pub(super) fn check(&self, dir: &Path, found: &Self) -> Result<(), LogError> {
        if self == found {
            return Ok(());
        }
        Err(LogError::Config(format!(
            "the spool in {} holds events for the log {} with {} partitions, but the log here is {} with {}: give \
             weir the log that it had (KAFKA_BROKERS, KAFKA_TOPIC) until the spool is drained, or \
             another WEIR_DATA_DIR",
            dir.display(),
            self.identity,
            self.partitions,
            found.identity,
            found.partitions
        )))
    }
}

/// What the file says; `None` if there is none.
pub(super) fn read(dir: &Path) -> Result<Option<Binding>, LogError> {
    let Some(lines) = file::read(dir, FILE)? else { return Ok(None) };
    let unreadable = || {
        LogError::Config(format!(
            "{} is not of a version that this program reads: use the version of weir that made it, or a later one",
            dir.join(FILE).display()
        ))
    };
    let lines = lines.strip_prefix(HEAD).ok_or_else(unreadable)?;
    let identity = file::value(lines, "identity").ok_or_else(unreadable)?.to_owned();
    let partitions = file::value(lines, "partitions").and_then(|n| n.parse().ok()).ok_or_else(unreadable)?;
    Ok(Some(Binding { identity, partitions }))
}

/// Binds the spool to the log that was found. One that is empty may be bound to another; without a log, it stays as
/// it is.
pub(super) fn bind(dir: &Path, found: Option<&Binding>, is_empty: bool) -> Result<Binding, LogError> {
    let bound = read(dir)?;
    match (bound, found) {
        (Some(bound), None) => Ok(bound),
        (Some(bound), Some(found)) if bound == *found => Ok(bound),
        (Some(bound), Some(found)) if !is_empty => bound.check(dir, found).map(|()| bound),
        (_, Some(found)) => {
            let Binding { identity, partitions } = found;
            file::write(dir, FILE, &format!("{HEAD}identity {identity}\npartitions {partitions}\n"))?;
            Ok(found.clone())
        }
        (None, None) => Err(LogError::Unavailable(format!("there is no spool in {}", dir.display()))),
    }
}
