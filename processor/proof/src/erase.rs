//! Erasure: events are taken out of `events`, because somebody has a right to it or because a plan keeps them no
//! longer, and every total stays provable.
//!
//! # The path of an erasure
//! ```text
//!     0 asked     a row in Postgres, by the admin API, or by [`crate::retain`]
//!     1 ends      where the log ends now is noted: what was accepted before is covered, what comes later is not
//!     2 begin     once the cursors have passed these ends: a round of all that wait, with a new number
//!     3 note      ClickHouse notes under that number where the rows stand (`erased_ids`)
//!     4 count     rows and xor of hashes by range of the batch ledger and by hour, each position once
//!     5 write     ONE Postgres tx: these sums, and that the round is to be deleted; refused if there is a newer round
//!     6 delete    one mutation of `events`, of exactly the rows noted; then none is left
//!     7 end       the subject's name is dropped; a salted hash of it stays while such events can come back
//! ```
//!
//! # What holds
//! * `verify` expects stored - erased rows from the moment of step 5, and does not look at those of a round that is
//!   being deleted, whether they are still there or not.
//! * A crash before step 5 leaves rows in `erased_ids` that nobody asks about, and the round begins again under another
//!   number. A crash after it repeats the deletion, which deletes nothing else the second time.
//! * Rows ahead of the cursors are never touched: what a processor reads back is as it left it.
//! * Usage, quota and batch ledger are not touched: they hold no personal data.
//! * Rows of a subject are deleted by their positions, those of retention by their age; nobody may bring back an event
//!   that [`Erased`] covers.

mod books;
mod count;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clickhouse::Client;
use eventlog::EventLog;
use schemas::lock::ERASER_TURN;
use service::clock::Clock;
use service::shutdown::Shutdown;
use service::store::{CLICKHOUSE, in_time};
use service::task::{Pace, every};
use service::trace::Span;
use sqlx::PgPool;

use processor::ProcessorConfig;

use crate::db::{dead_letter, erased_ids, erasure, events};
use crate::error::EraseError;
use crate::round::Round;
use crate::turn::Turn;
use crate::{metrics, retain};

/// How often to look for erasures.
const EVERY: Duration = Duration::from_secs(1);
/// How often to look for events that are too old, and for subjects of which nothing can come back.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// How long ClickHouse may take over one statement; after that it is looked at again.
const STATEMENT_DEADLINE: Duration = Duration::from_secs(3600);

/// Carries out erasures. Any number of processes may have one. Its steps are separate so that tests can stop between
/// them.
pub struct Eraser {
    pool: PgPool,
    clickhouse: Client,
    log: Arc<dyn EventLog>,
    clock: Clock,
    dedup_window: Duration,
}

impl Eraser {
    /// An eraser. `log` must be the one that the database is bound to.
    pub fn new(
        pool: PgPool,
        clickhouse: Client,
        log: Arc<dyn EventLog>,
        clock: Clock,
        config: &ProcessorConfig,
    ) -> Self {
        Self { pool, clickhouse, log, clock, dedup_window: config.dedup_window }
    }

    /// Erases until `shutdown` is ordered. What is under way then is carried on by the next process.
    pub async fn run(self, shutdown: Shutdown) {
        let mut tidied_at: Option<Instant> = None;
        let mut rounds = every("erasure", Pace::at_once(EVERY), shutdown);
        while rounds.due().await {
            let round = async {
                let is_due = tidied_at.is_none_or(|at| at.elapsed() > TIDY_EVERY);
                if is_due {
                    self.tidy().await?;
                }
                self.turn().await?;
                if is_due {
                    tidied_at = Some(Instant::now());
                }
                Ok::<_, EraseError>(())
            };
            rounds.attempt(round).await;
        }
    }

    /// Looks for events that are too old, and forgets the hashes of subjects of which nothing can come back.
    ///
    /// # Errors
    /// [`EraseError`]: to be tried again.
    pub async fn tidy(&self) -> Result<(), EraseError> {
        let asked = retain::ask(&self.pool, &self.clickhouse, &self.clock, self.dedup_window).await?;
        let letters = dead_letter::discard_erased(&self.pool).await?;
        let forgotten = books::forget(&self.pool, &*self.log).await?;
        if asked + letters + forgotten > 0 {
            tracing::info!(
                tenants = asked,
                letters,
                subjects = forgotten,
                "events are too old; letters of erased tenants were discarded; subjects were forgotten"
            );
        }
        Ok(())
    }

    /// Carries out all that can be, unless another process does.
    ///
    /// # Errors
    /// [`EraseError`]: to be tried again.
    pub async fn turn(&self) -> Result<(), EraseError> {
        let (open, age) = erasure::backlog(&self.pool).await?;
        ::metrics::gauge!(metrics::ERASURES_OPEN).set(f64::from(u32::try_from(open).unwrap_or(u32::MAX)));
        ::metrics::gauge!(metrics::ERASURE_AGE_SECONDS).set(age);
        if open == 0 {
            return Ok(());
        }
        books::note_ends(&self.pool, &*self.log).await?;
        let Some(turn) = Turn::take(&self.pool, ERASER_TURN).await? else { return Ok(()) };
        while let Some(round) = self.begin().await? {
            let _span = Span::job("erase");
            if self.count(&round).await? {
                self.delete(&round).await?;
                self.end(&round).await?;
            }
        }
        turn.end().await?;
        Ok(())
    }

    /// Steps 1 and 2: the round to carry on, or a new one.
    ///
    /// # Errors
    /// [`EraseError`].
    pub async fn begin(&self) -> Result<Option<Round>, EraseError> {
        books::note_ends(&self.pool, &*self.log).await?;
        Ok(books::begin(&self.pool).await?)
    }

    /// Step 3: which rows they are.
    ///
    /// # Errors
    /// [`EraseError`]: this round is over.
    pub async fn note(&self, round: &Round) -> Result<(), EraseError> {
        Ok(in_time(CLICKHOUSE, STATEMENT_DEADLINE, erased_ids::note(&self.clickhouse, round)).await?)
    }

    /// Steps 3 to 5, unless they were done. Whether the round is counted now: not if there is a newer one.
    ///
    /// # Errors
    /// [`EraseError`]: this round is over, unless it is counted, which is not known.
    pub async fn count(&self, round: &Round) -> Result<bool, EraseError> {
        if round.is_counted {
            return Ok(true);
        }
        self.note(round).await?;
        let taken = count::count(&self.pool, &self.clickhouse, round).await?;
        let is_written = books::write(&self.pool, round, &taken).await?;
        if is_written {
            let events: i64 = taken.events.values().sum();
            ::metrics::counter!(metrics::ERASED).increment(u64::try_from(events).unwrap_or_default());
            tracing::info!(
                round = round.number,
                erasures = round.erasures.len(),
                events,
                "counted what is erased"
            );
        }
        Ok(is_written)
    }

    /// Step 6, as often as it takes.
    ///
    /// # Errors
    /// [`EraseError`]: rows may be left.
    pub async fn delete(&self, round: &Round) -> Result<(), EraseError> {
        if events::count(&self.clickhouse, round).await? == 0 {
            return Ok(());
        }
        // One that ClickHouse can't finish would stand before ours, and the next one behind that.
        if let Some(unfinished) = events::unfinished_mutation(&self.clickhouse).await? {
            return Err(EraseError::Mutating(unfinished));
        }
        in_time(CLICKHOUSE, STATEMENT_DEADLINE, events::delete(&self.clickhouse, round)).await?;
        let left = events::count(&self.clickhouse, round).await?;
        if left == 0 { Ok(()) } else { Err(EraseError::Mutating(format!("{left} rows are left"))) }
    }

    /// Step 7.
    ///
    /// # Errors
    /// [`EraseError`].
    pub async fn end(&self, round: &Round) -> Result<(), EraseError> {
        Ok(books::end(&self.pool, round.number).await?)
    }
}
