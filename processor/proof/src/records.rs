//! Records of the log below the cursors.

use std::time::Duration;

use eventlog::{EventLog, LogError, LogReader, Record};

const READ_BYTES: usize = 8 << 20;
const READ_WAIT: Duration = Duration::from_secs(10);

/// Reads the records of a partition at `[lo, hi)`, which are below its cursor, once.
pub(crate) struct Records {
    reader: Box<dyn LogReader>,
    next: u64,
    hi: u64,
}

impl Records {
    pub(crate) async fn open(
        log: &dyn EventLog,
        partition: u32,
        (lo, hi): (u64, u64),
    ) -> Result<Self, LogError> {
        Ok(Self { reader: log.reader(&[(partition, lo)]).await?, next: lo, hi })
    }

    /// The next of them; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Vec<Record>, LogError> {
        if self.next >= self.hi {
            return Ok(Vec::new());
        }
        let mut records = self.reader.read(READ_BYTES, READ_WAIT).await?;
        records.retain(|record| record.offset < self.hi);
        let Some(last) = records.last() else {
            let why = "the log does not bring records that stand below the cursor";
            return Err(LogError::Unavailable(why.to_owned()));
        };
        self.next = last.offset + 1;
        Ok(records)
    }
}
