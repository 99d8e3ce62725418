//! Proofs and repairs that operators ask for over HTTP: accounts writes what is asked for, and a processor carries it
//! out with the functions that `weir verify` calls.
//!
//! # What holds
//! * One process is at it. Its claim is prolonged while it works; when the process dies the claim runs out, and another
//!   one begins again: a proof changes nothing, and a repair stands that.
//! * It ends: with a verdict, with why there is none, or after [`ATTEMPTS_MAX`] processes that did not come to an end.

use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use eventlog::EventLog;
use processor::ProcessorConfig;
use serde::Serialize;
use service::error::Chain;
use service::shutdown::Shutdown;
use service::store::StoreError;
use service::task::{Pace, every};
use sqlx::PgPool;

use crate::db::verification::{self, End, Taken};
use crate::repair::{Repair, repair};
use crate::replay::{Report, Stores};
use crate::verdict::Verdict;
use crate::verify::verify;

/// How often to look for one.
const EVERY: Duration = Duration::from_secs(1);
/// For how long a claim holds, and how often it is prolonged.
const CLAIM: Duration = Duration::from_secs(30);
const PROLONG_EVERY: Duration = Duration::from_secs(10);
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
        Self { pool, clickhouse, log, config }
    }

    /// Carries out what is asked for until `shutdown` is ordered.
    pub async fn run(self, shutdown: Shutdown) {
        let mut rounds = every("verification", Pace::at_once(EVERY), shutdown);
        while rounds.due().await {
            rounds.attempt(self.round()).await;
        }
    }

    /// Carries out what is asked for now, unless another process is at it.
    ///
    /// # Errors
    /// [`StoreError`] if what was found can't be noted: it is begun again when the claim has run out.
    pub async fn round(&self) -> Result<(), StoreError> {
        let Some(taken) = verification::take(&self.pool, CLAIM).await? else { return Ok(()) };
        let end = if taken.attempts > ATTEMPTS_MAX {
            End::Unknown(format!("{ATTEMPTS_MAX} processes began and did not come to an end"))
        } else {
            tokio::select! {
                found = self.found(taken.mends) => ended(found),
                lost = self.hold(taken) => return Err(lost.into()),
            }
        };
        Ok(verification::end(&self.pool, taken, &end).await?)
    }

    async fn found(&self, mends: bool) -> Result<Kept, StoreError> {
        let (pool, clickhouse, log) = (&self.pool, &self.clickhouse, &*self.log);
        if !mends {
            return Ok(Kept { verdict: verify(pool, clickhouse, log).await?, done: None });
        }
        let Repair { mut done, verdict } = repair(&Stores::new(pool, clickhouse, log, &self.config)).await?;
        done.notes.truncate(NOTES_MAX);
        Ok(Kept { verdict, done: Some(done) })
    }

    /// Prolongs the claim, until that fails.
    async fn hold(&self, taken: Taken) -> sqlx::Error {
        loop {
            tokio::time::sleep(PROLONG_EVERY).await;
            if let Err(error) = verification::prolong(&self.pool, taken, CLAIM).await {
                return error;
            }
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
