//! Replay of dead letters that operators asked for: a processor appends their events to the log again.
//!
//! # What holds
//! * *Stored once.* A copy is a record like any other: it is stored unless its id stands earlier in the log. So a
//!   letter that is appended twice, since a process died before it could note the first time, costs one more duplicate.
//!   That takes ids that are still known: a letter older than the dedup window is refused.
//! * *Charged once.* A copy has no lease: it counts against its period's quota when it is stored, even where that
//!   passes a cap, since its event was accepted; its duplicates cost nothing.
//! * *Nothing erased comes back.* A process first claims the letter in Postgres, and then asks what was erased; an
//!   erasure that is asked for later notes the ends of the log when no letter is claimed. So either the copy is
//!   not made, or it stands before these ends, where the erasure finds its row.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eventlog::{AppendError, EventLog};
use schemas::time::Micros;
use service::clock::Clock;
use service::shutdown::Shutdown;
use service::store::{LOG, StoreError};
use service::task::{Pace, every};
use sqlx::PgPool;

use super::copy::{Terms, copies};
use crate::db::dead_letter::{self, Claimed};
use crate::erased::Erased;
use crate::metrics;

/// How often Postgres is asked whether something is to be replayed.
const EVERY: Duration = Duration::from_millis(500);
/// For how long a letter belongs to the process that replays it: until every append that was begun for it has ended, in
/// the log or nowhere.
const CLAIM: Duration = Duration::from_secs(30);
/// No append begins later after the claim.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);
/// How long the log may take to confirm. Kafka's client gives a record up after 6 s.
const APPEND_DEADLINE: Duration = Duration::from_secs(8);
/// A letter must be within the dedup window by this much: its copy is judged a little later.
const MARGIN: Duration = Duration::from_secs(60);

/// Replays letters. Any number of processes may have one.
pub struct Replayer {
    pool: PgPool,
    log: Arc<dyn EventLog>,
    clock: Clock,
    dedup_window: Duration,
}

impl Replayer {
    /// `log` must be the one that the database is bound to. Letters received longer ago than `dedup_window` are
    /// refused.
    pub fn new(pool: PgPool, log: Arc<dyn EventLog>, clock: Clock, dedup_window: Duration) -> Self {
        Self { pool, log, clock, dedup_window }
    }

    /// Replays what is asked for until `shutdown` is ordered.
    pub async fn run(self, shutdown: Shutdown) {
        let mut rounds = every("replay of dead letters", Pace::at_once(EVERY), shutdown);
        while rounds.due().await {
            rounds.attempt(self.round()).await;
        }
    }

    /// Replays all that is asked for now and that nobody else is at.
    ///
    /// # Errors
    /// [`StoreError`]: to be tried again. What was appended may not be noted; then it is appended once more.
    pub async fn round(&self) -> Result<(), StoreError> {
        loop {
            let claimed_at = Instant::now();
            let Some(letter) = dead_letter::claim(&self.pool, CLAIM).await? else { return Ok(()) };
            self.replay(&letter, claimed_at).await?;
        }
    }

    async fn replay(&self, letter: &Claimed, claimed_at: Instant) -> Result<(), StoreError> {
        let id = letter.id;
        let erased = Erased::read(&mut *self.pool.acquire().await?).await?;
        let terms = Terms {
            partitions: self.log.partitions(),
            erased: &erased,
            window: self.dedup_window,
            oldest: self.oldest(),
        };
        let copies = match copies(letter, terms) {
            Ok(copies) => copies,
            Err(reason) => return self.refuse(letter, &reason).await,
        };
        if claimed_at.elapsed() > BEGIN_WITHIN {
            // Suspended meanwhile: another process may have the letter by now.
            return Ok(());
        }
        match self.log.append(copies.records, APPEND_DEADLINE).await {
            Ok(()) => {}
            Err(AppendError::Rejected(why)) => return self.refuse(letter, &why).await,
            Err(error @ AppendError::Refused(_)) => {
                dead_letter::release(&self.pool, id).await?;
                return Err(StoreError::retry(LOG, error));
            }
            // It is tried again when the claim has run out.
            Err(error @ AppendError::Unknown(_)) => return Err(StoreError::retry(LOG, error)),
        }
        dead_letter::note_replayed(&self.pool, id, copies.events).await?;
        tracing::info!(letter = %id, events = copies.events, "appended the events of a dead letter again");
        ::metrics::counter!(metrics::DEAD_REPLAYED)
            .increment(u64::try_from(copies.events).unwrap_or_default());
        Ok(())
    }

    async fn refuse(&self, letter: &Claimed, reason: &str) -> Result<(), StoreError> {
        dead_letter::refuse_replay(&self.pool, letter.id, reason).await?;
        tracing::warn!(letter = %letter.id, reason, "a dead letter could not be replayed");
        Ok(())
    }

    /// When a letter must have been received at the earliest.
    fn oldest(&self) -> Micros {
        let window = self.dedup_window.saturating_sub(MARGIN);
        let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
        Micros(self.clock.read().held().saturating_sub(window))
    }
}
