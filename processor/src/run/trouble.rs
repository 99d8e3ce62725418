//! What keeps one partition from being processed, while the others are.

use std::fmt;

use eventlog::LogError;
use service::error::Chain;
use service::store::StoreError;

use crate::batch::Failed;
use crate::fill;

/// A partition, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) partition: u32,
    pub(super) cause: Cause,
}

/// What is wrong, and so what becomes of the partition.
#[derive(Debug)]
pub(super) enum Cause {
    /// Its records can't be processed. No other processor could, so it is halted: a person is needed.
    Halts(String),
    /// A store failed that it needs, the disk of its ids for instance. That passes by itself, or is not so for another
    /// processor, so it is released, and taken again.
    Fails(StoreError),
    /// Rows were brought back below its cursor, so its ids must be read again.
    IdsChanged,
}

impl Trouble {
    /// A reason to halt the partition.
    pub(super) fn halts(partition: u32, reason: impl fmt::Display) -> Self {
        Self { partition, cause: Cause::Halts(reason.to_string()) }
    }
}

impl Cause {
    /// What an error of the log means for `partition`, whose records alone were asked for.
    pub(super) fn of_log(partition: u32, error: LogError) -> Self {
        if error.partition() == Some(partition) {
            Self::Halts(Chain(&error).to_string())
        } else {
            Self::Fails(error.into())
        }
    }
}

impl From<StoreError> for Cause {
    fn from(error: StoreError) -> Self {
        Self::Fails(error)
    }
}

impl From<Failed> for Trouble {
    fn from(failed: Failed) -> Self {
        let Failed { partition, cause } = failed;
        Self { partition, cause: Cause::Fails(fill::disk_failed(cause)) }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Halts(reason) => f.write_str(reason),
            Cause::Fails(error) => write!(f, "partition {}: {}", self.partition, Chain(error)),
            Cause::IdsChanged => write!(f, "rows of partition {} were brought back", self.partition),
        }
    }
}
