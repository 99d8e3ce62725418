//! What a run was promised, in a file that outlives it.
//!
//! Text, one line each, appended: a header, then for each request its intent and, if a reply came, its outcome.
//! Times are milliseconds since the run began; a range is the first sequence number and how many follow.
//!
//! ```text
//! {"journal":1,"seed":"00000000000000ab","prefix":"l-00000000000000ab-","connections":8,...}
//! sent 12 3 400+90,17+10            at 12 ms connection 3 sent events 400..490 and, once more, 17..27
//! acknowledged 15 3                 all of its last request
//! partly 15 3 0,7-9                 all but those at these indexes of the request
//! refused 15 3 402 quota_exceeded   none
//! unknown 15 3 deadline             may or may not be stored; so is what has no outcome line
//! ```
//!
//! A connection has one request under way at a time, so an outcome belongs to its last intent. Ids are not
//! written: they follow from seed, connection and sequence. Keys are not written either.
//!
//! An id sent more than once has the strongest of its outcomes: acknowledged, then unknown, then refused. (A
//! refusal after an unknown does not undo what the unknown attempt may have stored.)

mod line;
mod write;
mod states;
mod read;
mod check;

use serde::{Deserialize, Serialize};

use super::LoadOptions;
use super::options::LoadPlan;

pub use check::{Check, CheckReport, Violations, check};
pub(crate) use line::{Entry, Line};
pub use read::Journal;
pub(crate) use write::JournalWriter;

/// The version of the format that is written and read.
const VERSION: u32 = 1;

/// The parameters of the run, for readers of the file, and for the ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunHeader {
    /// Version of the format.
    pub journal: u32,
    /// The run's seed in hex.
    pub seed: String,
    /// How every id of the run begins.
    pub prefix: String,
    /// How many connections there were.
    pub connections: u16,
    /// Events in a request.
    pub batch: u32,
    /// About how many bytes an event had.
    pub event_bytes: usize,
    /// Whether bodies were compressed.
    pub gzip: bool,
    /// Percent of deliberate re-sends.
    pub retry_share: u8,
    /// Whether unknown batches were sent again.
    pub retry: bool,
    /// `host:port` of each target.
    pub targets: Vec<String>,
}

impl RunHeader {
    pub(crate) fn of(plan: &LoadPlan, options: &LoadOptions) -> Self {
        Self {
            journal: VERSION,
            seed: format!("{:016x}", plan.run_id.0),
            prefix: plan.run_id.prefix(),
            connections: options.connections,
            batch: options.batch,
            event_bytes: options.event_bytes,
            gzip: options.gzip,
            retry_share: options.retry_share,
            retry: options.retry,
            targets: plan.targets.iter().map(|target| target.address().to_owned()).collect(),
        }
    }
}

/// What was promised about one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// Every attempt was refused: it must not be stored.
    Refused,
    /// No promise: it may be stored once.
    Unknown,
    /// It must be stored, once.
    Acknowledged,
}

/// Consecutive events of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdRange {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl IdRange {
    /// The sequence numbers in it.
    pub(crate) fn sequences(self) -> std::ops::Range<u32> {
        self.first..self.first.saturating_add(self.count)
    }
}
