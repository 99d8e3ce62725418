//! Settings of the processor.

use std::time::Duration;

use service::config::Settings;

use crate::dead::budget::Budget;

/// How a processor works. [`ProcessorConfig::read`] has the defaults.
#[derive(Debug, Clone)]
pub struct ProcessorConfig {
    /// A partition whose owner has not renewed for so long may be taken.
    pub lease_time: Duration,
    /// Payload bytes that end a batch.
    pub batch_bytes_max: usize,
    /// How long a batch that is not full waits for more.
    pub linger: Duration,
    /// How long ClickHouse may take over one insert.
    pub insert_deadline: Duration,
    /// For how long an id is remembered, from its receipt.
    pub dedup_window: Duration,
    /// How many events may be dead.
    pub dead: Budget,
    /// How often rows and ledger are compared; zero: never.
    pub reconcile_every: Duration,
}

impl ProcessorConfig {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Self {
        const DAY: u64 = 24 * 3600;
        Self {
            lease_time: settings.millis(
                "WEIR_PROCESSOR_LEASE_MS",
                Duration::from_secs(10),
                "milliseconds after which a silent processor's partitions may be taken by another",
            ),
            batch_bytes_max: settings.number(
                "WEIR_BATCH_BYTES_MAX",
                16 << 20,
                1 << 16..=256 << 20,
                "bytes of log records that end a batch",
            ),
            linger: settings.millis(
                "WEIR_BATCH_LINGER_MS",
                Duration::from_millis(250),
                "milliseconds that a batch waits for more before it is stored",
            ),
            insert_deadline: settings.millis(
                "WEIR_INSERT_DEADLINE_MS",
                Duration::from_secs(30),
                "milliseconds that ClickHouse may take over one insert",
            ),
            dedup_window: Duration::from_secs(
                DAY * settings.number(
                    "WEIR_DEDUP_DAYS",
                    7,
                    7..=400,
                    "days, from receipt, in which a repeated id is a duplicate",
                ),
            ),
            dead: Budget::read(settings),
            reconcile_every: Duration::from_mins(settings.number(
                "WEIR_RECONCILE_MINUTES",
                60,
                0..=24 * 60,
                "minutes between two comparisons of rows and ledger; 0: none",
            )),
        }
    }
}
