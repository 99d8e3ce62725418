//! What a line of an invoice stands on: a tenant's events of a period, named by sums that can be
//! computed again from the rows.

use clickhouse::Client;
use metering::ledger::Sum;
use schemas::id::TenantId;
use schemas::outcome::METER_EVENTS;
use schemas::time::Micros;
use serde::{Serialize, Serializer};
use service::store::StoreError;
use sqlx::PgPool;

pub use crate::books::Sealed;

use crate::db::events::{self, PartitionSum, Rows};
use crate::db::{erased_hour, erasure, hour_seal, partition_cursor, snapshot, usage_hour};
use crate::round::Round;
use crate::turn::connection;

/// Times that rows are summed up, while rounds of erasures come between.
const TRIES_MAX: usize = 5;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Figure<'a> {
    /// Whose.
    pub tenant: TenantId,
    /// What is counted: [`METER_EVENTS`].
    pub meter: &'a str,
    /// Start of the billing period.
    pub period: Micros,
    /// One past the last offset of each partition that counts, by its number. `None`: all that is processed; only this
    /// can be compared with usage, which does not say what stood where.
    pub below: Option<&'a [u64]>,
}

/// Events, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Total {
    /// How many.
    pub events: u64,
    /// What they come to in the meter: of events, their number.
    pub quantity: u64,
    /// Exclusive or over the low 64 bits of their hashes.
    #[serde(serialize_with = "hexadecimal")]
    pub event_hashes: u64,
    /// Exclusive or over the low 64 bits of the hashes of what is in them.
    #[serde(serialize_with = "hexadecimal")]
    pub content_hashes: u64,
    /// Of them, those that have no hash of what is in them: a version before stored or counted them.
    pub unhashed: u64,
}

impl Total {
    fn of(sum: &Sum) -> Self {
        let events = sum.counts.stored.unsigned_abs();
        Self {
            events,
            quantity: events,
            event_hashes: sum.xor_hash.cast_unsigned(),
            content_hashes: sum.contents.xor.cast_unsigned(),
            unhashed: events.saturating_sub(sum.contents.hashed.unsigned_abs()),
        }
    }
}

/// What stands in one partition of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// Which.
    pub partition: u32,
    /// Position of the first event; `events.position` in ClickHouse.
    pub first: u64,
    /// Position of the last one.
    pub last: u64,
    /// What stands from one to the other of this tenant and period.
    #[serde(flatten)]
    pub total: Total,
}

/// What a figure stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// One past the last offset of each partition that was looked at.
    pub below: Vec<u64>,
    /// By partition, those that have any.
    pub partitions: Vec<Stretch>,
    /// Of which no row and no hash is left, because they were too old: what was noted when they were taken out.
    pub removed_for_age: Total,
    /// All of these together.
    pub total: Total,
    /// The same by usage, where that was asked for.
    pub usage: Option<Total>,
    /// The roots that sign for it.
    pub seals: Vec<Sealed>,
}

impl Evidence {
    /// What differs between the events and usage, a sentence each.
    #[must_use]
    pub fn mismatches(&self) -> Vec<String> {
        let (found, Some(usage)) = (self.total, self.usage) else { return Vec::new() };
        let mut all = Vec::new();
        if found.events != usage.events {
            all.push(format!("there are {} events, and usage counts {}", found.events, usage.events));
        }
        // A version before has counted without hashes.
        if found.unhashed == 0 && usage.unhashed == 0 {
            let hashes = |total: Total| (total.event_hashes, total.content_hashes);
            let (by_rows, by_usage) = (hashes(found), hashes(usage));
            if by_rows.0 != by_usage.0 {
                all.push(format!(
                    "the events' hashes come to {:016x}, and in usage to {:016x}",
                    by_rows.0, by_usage.0
                ));
            }
            if by_rows.1 != by_usage.1 {
                all.push(format!(
                    "what is in them comes to {:016x}, and in usage to {:016x}",
                    by_rows.1, by_usage.1
                ));
            }
        }
        let sealed: u64 = self.seals.iter().map(|seal| seal.events).sum();
        if sealed > found.events {
            all.push(format!("there are {} events, and {sealed} are sealed", found.events));
        }
        all
    }
}

/// What a figure of usage stands on: computed from the rows alone, and from what is kept of those that were erased.
///
/// # Errors
/// [`StoreError`] if a store can't be read, or the meter is none that weir counts.
pub async fn evidence(
    pool: &PgPool,
    clickhouse: &Client,
    figure: Figure<'_>,
) -> Result<Evidence, StoreError> {
    if figure.meter != METER_EVENTS {
        let why = format!("there is no meter {}: weir counts {METER_EVENTS}", figure.meter);
        return Err(StoreError::reject("the meter", std::io::Error::other(why)));
    }
    let mut tries = 0;
    loop {
        let ledger = Ledger::read(pool, figure).await?;
        let rows = Rows::without(ledger.deleting.as_ref().filter(|round| round.is_retention()));
        let found =
            events::sums_of_period(clickhouse, &rows, (figure.tenant, figure.period), &ledger.below).await?;
        tries += 1;
        if tries == TRIES_MAX || erasure::newest_counted(pool).await? == ledger.newest {
            return Ok(ledger.with(&found));
        }
    }
}

/// What Postgres says, as of one snapshot.
struct Ledger {
    below: Vec<u64>,
    removed: Sum,
    usage: Option<Sum>,
    seals: Vec<Sealed>,
    deleting: Option<Round>,
    newest: i64,
}

impl Ledger {
    async fn read(pool: &PgPool, figure: Figure<'_>) -> Result<Self, sqlx::Error> {
        let mut connection = connection(pool).await?;
        let mut tx = snapshot::begin(&mut connection).await?;
        let Figure { tenant, meter, period, below } = figure;
        let mut usage = None;
        let below = match below {
            Some(below) => below.to_vec(),
            None => {
                usage = Some(usage_hour::of_period(&mut *tx, (tenant, period), meter).await?);
                let cursors = partition_cursor::all(&mut *tx).await?;
                let partitions = cursors.keys().next_back().map_or(0, |last| last + 1);
                (0..partitions).map(|partition| cursors.get(&partition).copied().unwrap_or(0)).collect()
            }
        };
        let ledger = Self {
            below,
            removed: erased_hour::of_age(&mut *tx, tenant, period).await?,
            usage,
            seals: hour_seal::of_period(&mut *tx, tenant, period).await?,
            deleting: erasure::counted(&mut *tx).await?,
            newest: erasure::newest_counted(&mut *tx).await?,
        };
        tx.commit().await?;
        Ok(ledger)
    }

    fn with(self, found: &[PartitionSum]) -> Evidence {
        let mut total = self.removed;
        found.iter().for_each(|found| total += found.sum);
        let stretch = |found: &PartitionSum| Stretch {
            partition: found.partition,
            first: found.first.number(),
            last: found.last.number(),
            total: Total::of(&found.sum),
        };
        Evidence {
            below: self.below,
            partitions: found.iter().map(stretch).collect(),
            removed_for_age: Total::of(&self.removed),
            total: Total::of(&total),
            usage: self.usage.as_ref().map(Total::of),
            seals: self.seals,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn hexadecimal<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{number:016x}"))
}
