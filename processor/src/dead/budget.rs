//! How many events may be dead before somebody has to look.
//!
//! A few records that nobody can read are no reason to hold up the others. Many are: most likely this weir is older
//! than the one that wrote them, and every event that goes by is one to be replayed. The count stands in the commit's
//! transaction, so that the cursor stays before them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use eventlog::EventLog;
use schemas::id::Position;
use schemas::letter::LetterId;
use service::config::Settings;
use service::store::StoreError;
use sqlx::{PgConnection, PgPool};

use crate::db::{dead_letter, partition_cursor};
use crate::letter::DeadLetter;

/// Dead events of a partition that are allowed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Events at most, of dead letters that were neither replayed nor discarded.
    pub events_max: i64,
    /// Of records appended within so long of one another.
    pub window: Duration,
}

impl Budget {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Self {
        Self {
            events_max: settings.number(
                "WEIR_DEAD_EVENTS_MAX",
                1_000,
                0..=1_000_000_000_000,
                "events of a partition, received within WEIR_DEAD_WINDOW_MINUTES, that can't be read before \
                 it is halted",
            ),
            window: Duration::from_mins(settings.number(
                "WEIR_DEAD_WINDOW_MINUTES",
                60,
                1..=60 * 24 * 366,
                "minutes for WEIR_DEAD_EVENTS_MAX, by the time of receipt",
            )),
        }
    }
}

/// A batch that would pass the budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdrawn {
    /// Its last unreadable frame, or rest of one.
    pub last: LetterId,
    /// What is wrong with that.
    pub reason: String,
    /// Dead events that there would be.
    pub events: i64,
    /// And may be.
    pub budget: Budget,
}

impl fmt::Display for Overdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { last, reason, events, budget } = self;
        let (partition, offset, minutes) =
            (last.partition, last.position.offset(), budget.window.as_secs() / 60);
        write!(
            f,
            "{events} events of partition {partition} within {minutes} minutes can't be read, and \
             WEIR_DEAD_EVENTS_MAX allows {}. The last is at offset {offset}: {reason}. Nothing is lost: \
             they are in the log, and the cursor stands before them. If another version of weir wrote them, \
             start that one. To let what is in the log by now become dead letters: weir dead resume. After either: \
             weir partition resume {partition}",
            budget.events_max
        )
    }
}

/// Whether committing `dead` would pass the budget of a partition, counted in the commit's transaction after its
/// cursors were moved. The same batch gives the same answer until somebody replays, discards or resumes.
pub(crate) async fn overdrawn(
    tx: &mut PgConnection,
    dead: &[DeadLetter],
    budget: Budget,
) -> Result<Option<Overdrawn>, sqlx::Error> {
    let mut by_partition: BTreeMap<u32, Vec<&DeadLetter>> = BTreeMap::new();
    for letter in dead {
        by_partition.entry(letter.partition).or_default().push(letter);
    }
    for of_one in by_partition.values() {
        let Some(last) = of_one.last() else { continue };
        let newest = of_one.iter().map(|letter| letter.appended_at()).max().unwrap_or_default();
        let forgiven_below = partition_cursor::dead_forgiven_below(&mut *tx, last.partition).await?;
        let forgiven_below = Position::first_of(forgiven_below);
        let span = (newest, budget.window);
        let before = dead_letter::open_events(&mut *tx, last.partition, forgiven_below, span).await?;
        let counted = of_one.iter().filter(|letter| letter.position >= forgiven_below);
        let events = before + counted.map(|letter| i64::from(letter.events)).sum::<i64>();
        if events > budget.events_max && last.position >= forgiven_below {
            let id = LetterId { partition: last.partition, position: last.position };
            return Ok(Some(Overdrawn { last: id, reason: last.reason.clone(), events, budget }));
        }
    }
    Ok(None)
}

/// Lets all that is in the log now become dead letters without counting against the budget. What comes later counts.
/// By partition: the end of what is forgiven.
///
/// # Errors
/// [`StoreError`].
pub async fn resume(pool: &PgPool, log: &dyn EventLog) -> Result<Vec<u64>, StoreError> {
    let ends: Vec<u64> = log.bounds().await?.into_iter().map(|bounds| bounds.end).collect();
    partition_cursor::forgive_dead(pool, &ends).await?;
    Ok(ends)
}
