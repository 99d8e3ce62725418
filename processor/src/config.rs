//! Settings of the processor.

use std::path::{Path, PathBuf};
use std::time::Duration;

use service::config::Settings;
use service::ops::Readiness;

use crate::dead::budget::Budget;
use crate::enrich::Enricher;

/// How a processor works. [`ProcessorConfig::read`] has the defaults.
#[derive(Debug, Clone)]
pub struct ProcessorConfig {
    /// A partition whose owner has not renewed for so long may be taken.
    pub lease_time: Duration,
    /// Payload bytes that end a batch.
    pub batch_bytes_max: usize,
    /// Events that end a batch; one record may pass it.
    pub batch_events_max: usize,
    /// How long a batch that is not full waits for more.
    pub linger: Duration,
    /// How long ClickHouse may take over one insert.
    pub insert_deadline: Duration,
    /// For how long an id is remembered, from its receipt.
    pub dedup_window: Duration,
    /// Where seen ids are kept.
    pub ids_folder: PathBuf,
    /// Where a proof sets aside what does not fit into memory.
    pub scratch: PathBuf,
    /// Bytes of memory that tables and filters of seen ids take.
    pub ids_memory_max: u64,
    /// What says where addresses are, and reads user agents.
    pub enricher: Enricher,
    /// How many events may be dead.
    pub dead: Budget,
    /// Is hindered while every partition is halted.
    pub readiness: Readiness,
    /// How often rows and ledger are compared; zero: never.
    pub reconcile_every: Duration,
    /// Whether erasures are carried out. Only tests that take their steps themselves do without.
    pub erases: bool,
    /// Whether hours are rolled up. Only tests that do it themselves do without.
    pub rolls_up: bool,
}

impl ProcessorConfig {
    /// Reads the settings. Seen ids are kept in `ids` in the folder `data_dir`.
    pub fn read(settings: &mut Settings, data_dir: &Path) -> Self {
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
            batch_events_max: settings.number(
                "WEIR_BATCH_EVENTS_MAX",
                100_000,
                1..=1_000_000,
                "events that end a batch",
            ),
            linger: settings.millis(
                "WEIR_BATCH_LINGER_MS",
                Duration::from_millis(500),
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
            ids_folder: data_dir.join("ids"),
            scratch: data_dir.join("proof"),
            ids_memory_max: settings.number(
                "WEIR_IDS_MEMORY_MAX",
                512 << 20,
                16 << 20..=1 << 40,
                "bytes of memory for looking up seen ids; beyond 10 to 16 bits for each of them, look-ups \
                 read the disk",
            ),
            enricher: Enricher::read(settings),
            dead: Budget::read(settings),
            readiness: Readiness::default(),
            reconcile_every: Duration::from_mins(settings.number(
                "WEIR_RECONCILE_MINUTES",
                60,
                0..=24 * 60,
                "minutes between two comparisons of rows and ledger; 0: none",
            )),
            erases: true,
            rolls_up: true,
        }
    }
}
