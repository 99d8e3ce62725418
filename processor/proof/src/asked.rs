//! Proofs and repairs that operators ask for over HTTP: accounts writes what is asked for, and a processor carries it
//! out with the functions that `weir verify` calls.
//!
//! # What holds
//! * One process is at it. Its claim is prolonged while it works; when the process dies the claim runs out, and another
//!   one begins again: a proof changes nothing, and a repair stands that.
//! * A Postgres that is away for a moment ends nothing: what was found is noted once it answers, while the claim holds.
//! * A process that is ordered to stop gives its claim back, and the attempt.
//! * It ends: with a verdict, with why there is none, or after [`ATTEMPTS_MAX`] processes that did not come to an end.

use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use eventlog::EventLog;
use parking_lot::Mutex;
use processor::ProcessorConfig;
use serde::Serialize;
use service::error::Chain;
use service::shutdown::Shutdown;
use service::store::{POSTGRES, StoreError, in_time};
use service::task::{Pace, every};
use sqlx::PgPool;
use tokio::time::{Instant, timeout_at};

use crate::db::verification::{self, End, Taken};
use crate::repair::{Repair, repair};
use crate::replay::Report;
use crate::stores::Stores;
use crate::verdict::Verdict;
use crate::verify::verify;

/// How often to look for one.
const EVERY: Duration = Duration::from_secs(1);
/// For how long a claim holds, and how often it is prolonged.
const CLAIM: Duration = Duration::from_secs(30);
const PROLONG_EVERY: Duration = Duration::from_secs(10);
/// How soon what failed is tried again while the claim holds.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long Postgres has to take a claim back.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);
/// Processes that may begin it.
const ATTEMPTS_MAX: i32 = 3;
/// Notes of a repair that are kept.
const NOTES_MAX: usize = 100;

/// Carries out what is asked for. Any number of processes may have one.
pub struct Verifier {
    pool: PgPool,
    clickhouse: Client,
    log: Arc<dyn EventLog>,
    config: ProcessorConfig,
    /// What it is at.
    at: Mutex<Option<Taken>>,
}

/// Why a claim does not hold any more.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("another process has taken it, or it has ended")]
    Taken,
    #[error("Postgres did not prolong it in time")]
    RanOut,
}

/// What is kept of an end.
#[derive(Serialize)]
struct Kept {
    verdict: Verdict,
    done: Option<Report>,
}

impl Verifier {
    /// `log` must be the one that the database is bound to.
    pub fn new(pool: PgPool, clickhouse: Client, log: Arc<dyn EventLog>, config: ProcessorConfig) -> Self {
        Self { pool, clickhouse, log, config, at: Mutex::new(None) }
    }

    /// Carries out what is asked for until `shutdown` is ordered.
    pub async fn run(self, shutdown: Shutdown) {
        let mut rounds = every("verification", Pace::at_once(EVERY), shutdown);
        while rounds.due().await {
            rounds.attempt(self.round()).await;
        }
        let at = self.at.lock().take();
        if let Some(taken) = at {
            let released = in_time(POSTGRES, RELEASE_WITHIN, verification::release(&self.pool, taken)).await;
            if let Err(error) = released {
                tracing::warn!(error = %Chain(&error), "a verification's claim has to run out");
            }
        }
    }

    /// Carries out what is asked for now, unless another process is at it.
    ///
    /// # Errors
    /// [`StoreError`] if what was found can't be noted while the claim holds: it is begun again when the claim has run
    /// out.
    pub async fn round(&self) -> Result<(), StoreError> {
        let asked = Instant::now();
        let Some(taken) = verification::take(&self.pool, CLAIM).await? else { return Ok(()) };
        *self.at.lock() = Some(taken);
        let lost = tokio::select! {
            biased;
            ended = self.carried_out(taken) => ended.err(),
            lost = held(asked + CLAIM, || verification::prolong(&self.pool, taken, CLAIM)) => Some(lost),
        };
        *self.at.lock() = None;
        lost.map_or(Ok(()), |lost| Err(StoreError::retry("the claim of a verification", lost)))
    }

    async fn carried_out(&self, taken: Taken) -> Result<(), Lost> {
        let end = if taken.attempts > ATTEMPTS_MAX {
            End::Unknown(format!("{ATTEMPTS_MAX} processes began and did not come to an end"))
        } else {
            ended(self.found(taken.mends).await)
        };
        loop {
            match verification::end(&self.pool, taken, &end).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(Lost::Taken),
                Err(error) => tracing::debug!(error = %Chain(&error), "an end can't be noted, trying again"),
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    async fn found(&self, mends: bool) -> Result<Kept, StoreError> {
        let stores = Stores::new(&self.pool, &self.clickhouse, &*self.log, &self.config);
        if !mends {
            return Ok(Kept { verdict: verify(&stores).await?, done: None });
        }
        let Repair { mut done, verdict } = repair(&stores).await?;
        done.notes.truncate(NOTES_MAX);
        Ok(Kept { verdict, done: Some(done) })
    }
}

/// Prolongs a claim that holds until `until`, as long as it holds.
async fn held<F>(mut until: Instant, prolong: impl Fn() -> F) -> Lost
where
    F: Future<Output = Result<bool, sqlx::Error>>,
{
    let mut pause = PROLONG_EVERY;
    loop {
        let asked = match timeout_at(until, tokio::time::sleep(pause)).await {
            Ok(()) => Instant::now(),
            Err(_) => return Lost::RanOut,
        };
        match timeout_at(until, prolong()).await {
            Ok(Ok(true)) => (until, pause) = (asked + CLAIM, PROLONG_EVERY),
            Ok(Ok(false)) => return Lost::Taken,
            Ok(Err(error)) => {
                tracing::debug!(error = %Chain(&error), "a claim can't be prolonged, trying again");
                pause = AGAIN_AFTER;
            }
            Err(_) => return Lost::RanOut,
        }
    }
}

fn ended(found: Result<Kept, StoreError>) -> End {
    let kept = match found {
        Ok(kept) => kept,
        Err(error) => return End::Unknown(Chain(&error).to_string()),
    };
    match serde_json::to_string(&kept) {
        Ok(result) => End::Found { holds: kept.verdict.holds(), result },
        Err(error) => End::Unknown(Chain(&error).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_claim_is_held_over_failures_until_it_has_run_out_or_another_process_has_it() {
        let (begun, tries) = (Instant::now(), Cell::new(0));
        // Postgres is away from the 15th second to the 35th, and for good from the 100th.
        let away = |second: u64| (15..35).contains(&second) || second >= 100;
        let prolong = || {
            tries.set(tries.get() + 1);
            let answer =
                if away(begun.elapsed().as_secs()) { Err(sqlx::Error::PoolTimedOut) } else { Ok(true) };
            std::future::ready(answer)
        };
        assert!(matches!(held(begun + CLAIM, prolong).await, Lost::RanOut));
        let (took, tries) = (begun.elapsed().as_secs(), tries.get());
        assert!((120..130).contains(&took), "30 s after the last success: {took}");
        assert!(tries > 40, "each second while it fails: {tries}");
        assert!(matches!(held(Instant::now() + CLAIM, || std::future::ready(Ok(false))).await, Lost::Taken));
        let begun = Instant::now();
        let hangs = held(begun + CLAIM, std::future::pending::<Result<bool, sqlx::Error>>).await;
        assert!(matches!(hangs, Lost::RanOut) && begun.elapsed() == CLAIM, "{hangs}");
    }
}
