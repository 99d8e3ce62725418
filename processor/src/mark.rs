//! The last record that was processed of a partition: by it, the log is known to be the one that the cursor is for.
//!
//! A topic that was deleted and made again has the name that it had, and soon as many records. So has a log that was
//! put back to an older state and written on. Their offsets mean other events, and what stands below the cursor would
//! never be processed.

use std::collections::BTreeMap;
use std::time::Duration;

use eventlog::{EventLog, LogError, Record};
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

/// How long the log may take to hand out the record.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long until it is asked whether it has the record at all.
const READ_WAIT: Duration = Duration::from_secs(1);

/// A record that was processed, as the books keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Its offset.
    pub offset: u64,
    /// XXH3 over partition, offset, time and payload.
    pub hash: i64,
}

impl Mark {
    /// Of a record.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&record.partition.to_le_bytes());
        hash.update(&record.offset.to_le_bytes());
        hash.update(&record.timestamp_ms.to_le_bytes());
        hash.update(&record.payload);
        Self { offset: record.offset, hash: hash.digest().cast_signed() }
    }
}

/// The last record of each partition, in the order of partitions.
pub(crate) fn of_last(records: &[Record]) -> Vec<Mark> {
    let last: BTreeMap<u32, &Record> = records.iter().map(|record| (record.partition, record)).collect();
    last.into_values().map(Mark::of).collect()
}

/// Looks at the last record that was processed, before the cursor's, `wanted`, is. If retention has dropped it, nothing
/// can be found out, and processing goes on.
///
/// # Errors
/// [`LogError::PartitionDamaged`] if the log has another record there, [`LogError::OutOfRange`] if it does not have
/// what the cursor asks for, or another [`LogError`].
pub(crate) async fn check(
    log: &dyn EventLog,
    partition: u32,
    mark: Mark,
    wanted: u64,
) -> Result<(), LogError> {
    let mut reader = match log.reader(&[(partition, mark.offset)]).await {
        Err(LogError::OutOfRange { bounds, why, .. }) => {
            let has_next = (bounds.start..=bounds.end).contains(&wanted);
            return if has_next {
                Ok(())
            } else {
                Err(LogError::OutOfRange { partition, wanted, bounds, why })
            };
        }
        opened => opened?,
    };
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(record) = reader.read(1, READ_WAIT).await?.first() {
            return if Mark::of(record) == mark { Ok(()) } else { Err(other_log(partition, mark)) };
        }
        // It may be the log's end.
        drop(log.reader(&[(partition, wanted)]).await?);
    }
    Err(LogError::Unavailable(format!("the record {} of partition {partition} does not come", mark.offset)))
}

fn other_log(partition: u32, mark: Mark) -> LogError {
    let why = format!(
        "partition {partition} has another record at offset {} than the one that was processed: the topic was \
         deleted and made again, or the log was put back to an older state and written on. Nothing of it was \
         taken. Restore the log that the cursors are for",
        mark.offset
    );
    LogError::PartitionDamaged { partition, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::record;

    #[test]
    fn a_mark_is_of_a_records_place_time_and_bytes_and_of_the_last_of_each_partition() {
        let records = [record(4, 9, &["c"]), record(3, 7, &["a"]), record(4, 10, &["d"])];
        assert_eq!(of_last(&records), [Mark::of(&records[1]), Mark::of(&records[2])]);
        let of = |change: fn(&mut Record)| {
            let mut record = records[0].clone();
            change(&mut record);
            Mark::of(&record).hash
        };
        let same = of(|_| {});
        for change in [
            (|record| record.partition += 1) as fn(&mut Record),
            |record| record.offset += 1,
            |record| record.timestamp_ms += 1,
            |record| record.payload = record.payload.slice(1..),
        ] {
            assert_ne!(of(change), same);
        }
    }
}
