//! The log: records that come one after the other, handed out in pieces of any size.

use std::pin::Pin;
use std::time::Duration;

use eventlog::{Append, AppendError, Bounds, EventLog, LogError, LogReader, Record};
use tokio::time::{Instant, sleep_until};

use crate::world::Handle;

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How long it takes until the last record is there.
pub(crate) const APPENDED_WITHIN: Duration = Duration::from_secs(25);

#[derive(Debug)]
pub(crate) struct Log(pub(crate) Handle);

struct Reader {
    handle: Handle,
    from: Vec<(u32, u64)>,
}

impl Handle {
    /// How many records of a partition are there by now.
    fn visible(&self, partition: u32) -> u64 {
        let state = self.state();
        let end = state.journal.end(partition);
        let passed = state.began_at.elapsed().as_millis() as u64;
        (end * passed / APPENDED_WITHIN.as_millis() as u64).min(end)
    }

    fn records(&self, from: &mut [(u32, u64)]) -> Vec<Record> {
        let mut records = Vec::new();
        for (partition, next) in from {
            let visible = self.visible(*partition);
            let state = &mut *self.state();
            let most = state.rng.range(0, 12);
            while *next < visible && (records.len() as u64) < most {
                records.push(state.journal.records[*partition as usize][*next as usize].clone());
                *next += 1;
            }
        }
        records
    }
}

impl EventLog for Log {
    fn partitions(&self) -> u32 {
        self.0.state().journal.records.len() as u32
    }

    fn identity(&self) -> &'static str {
        "simulated"
    }

    fn append(&self, _: Vec<Append>, _: Duration) -> Answer<'_, Result<(), AppendError>> {
        Box::pin(async { Err(AppendError::Refused("the log is written already".to_owned())) })
    }

    fn reader(&self, from: &[(u32, u64)]) -> Answer<'_, Result<Box<dyn LogReader>, LogError>> {
        let reader = Reader { handle: self.0.clone(), from: from.to_vec() };
        Box::pin(async move {
            reader.handle.pass().await;
            reader.handle.is_up()?;
            Ok(Box::new(reader) as Box<dyn LogReader>)
        })
    }

    fn bounds(&self) -> Answer<'_, Result<Vec<Bounds>, LogError>> {
        Box::pin(async {
            let bounds =
                (0..self.partitions()).map(|partition| Bounds { start: 0, end: self.0.visible(partition) });
            Ok(bounds.collect())
        })
    }

    fn trim(&self, partition: u32, before: u64) -> Answer<'_, Result<(), LogError>> {
        Box::pin(async move {
            self.0.pass().await;
            let state = &mut *self.0.state();
            if before > state.books.cursors[partition as usize].next_offset {
                state
                    .wrong
                    .push(format!("partition {partition} is trimmed before {before}, beyond its cursor"));
            }
            Ok(())
        })
    }

    fn close(&self, _: Duration) -> Answer<'_, ()> {
        Box::pin(async {})
    }
}

impl Handle {
    fn is_up(&self) -> Result<(), LogError> {
        let state = &mut *self.state();
        if state.faulty && state.rng.permille(3) {
            state.note(self.process, || "cannot read the log".to_owned());
            return Err(LogError::Unavailable("the simulation says no".to_owned()));
        }
        Ok(())
    }
}

impl LogReader for Reader {
    fn read(&mut self, _: usize, wait: Duration) -> Answer<'_, Result<Vec<Record>, LogError>> {
        Box::pin(async move {
            let until = Instant::now() + wait;
            self.handle.pass().await;
            self.handle.is_up()?;
            let mut records = self.handle.records(&mut self.from);
            if records.is_empty() {
                sleep_until(until).await;
                self.handle.pass().await;
                records = self.handle.records(&mut self.from);
            }
            Ok(records)
        })
    }
}
