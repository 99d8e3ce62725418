//! Where the log is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use eventlog::kafka::{KafkaConfig, KafkaLog};
use eventlog::local::{LocalConfig, LocalLog};
use eventlog::{EventLog, Record};

/// How long a read waits: all that is to be read is there.
const READ_WAIT: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 16 << 20;

#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Folder of the log, if it is on the local disk
    #[arg(long, required_unless_present = "brokers")]
    dir: Option<PathBuf>,
    /// Kafka's brokers, if it is there
    #[arg(long, conflicts_with = "dir", requires = "topic")]
    brokers: Option<String>,
    /// Its topic, which must be there
    #[arg(long)]
    topic: Option<String>,
}

impl Place {
    /// For appending. A log on the local disk is made with so many partitions.
    pub(crate) async fn open(self, partitions: u32) -> anyhow::Result<Arc<dyn EventLog>> {
        match self.dir {
            Some(dir) => Ok(Arc::new(LocalLog::open(LocalConfig::new(dir, partitions))?)),
            None => Self::kafka(self.brokers, self.topic).await,
        }
    }

    /// Every record, in the order of partition and offset.
    pub(crate) async fn read_all(self) -> anyhow::Result<Vec<Record>> {
        let log = match self.dir {
            Some(dir) => Arc::new(LocalLog::open_read_only(dir)?),
            None => Self::kafka(self.brokers, self.topic).await?,
        };
        let bounds = log.bounds().await?;
        let wanted: u64 = bounds.iter().map(|each| each.end - each.start).sum();
        let from: Vec<(u32, u64)> = (0..).zip(&bounds).map(|(number, each)| (number, each.start)).collect();
        let mut reader = log.reader(&from).await?;
        let mut records = Vec::new();
        while (records.len() as u64) < wanted {
            let read = reader.read(READ_BYTES, READ_WAIT).await?;
            anyhow::ensure!(!read.is_empty(), "the log ends before its end");
            records.extend(read);
        }
        records.sort_unstable_by_key(|record| (record.partition, record.offset));
        Ok(records)
    }

    async fn kafka(brokers: Option<String>, topic: Option<String>) -> anyhow::Result<Arc<dyn EventLog>> {
        let config =
            KafkaConfig { topic: topic.unwrap_or_default(), ..KafkaConfig::new(brokers.unwrap_or_default()) };
        Ok(Arc::new(KafkaLog::open(config).await?))
    }
}
