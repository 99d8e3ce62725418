//! One run of a claimed job, from its begin to the note of its end.

use std::task::Poll;
use std::time::Duration;

use service::error::Chain;
use service::shutdown::Shutdown;
use service::store::StoreError;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::back_off;
use crate::db::job::{Job, Put, delete_claimed, give_up, put_off, renew};
use crate::ended::{Ended, Failure, Where};
use crate::kind::{Kind, Running};
use crate::metrics;
use crate::timing::Timing;

/// Between two attempts to note an end.
const NOTE_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Letters of an error that are kept.
const ERROR_CHARACTERS_MAX: usize = 1_000;

/// No run ended within its time.
#[derive(Debug, thiserror::Error)]
enum Unended {
    #[error("it did not end within {} s", .0.as_secs_f64())]
    Late(Duration),
    #[error("its process was killed, or hung, at each of its attempts")]
    Killed,
}

/// What became of a job, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Done,
    Retried,
    Later,
    Dead,
    Lost,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retried => "retried",
            Self::Later => "later",
            Self::Dead => "dead",
            Self::Lost => "lost",
        }
    }
}

/// Runs a job that was claimed at `claimed`, at the latest.
pub(crate) async fn run(
    pool: PgPool,
    kind: Kind,
    job: Job,
    claimed: Instant,
    timing: Timing,
    shutdown: Shutdown,
) {
    let ended = if job.attempt > kind.attempts_max {
        Err(Failure::Dead(Unended::Killed.into()))
    } else {
        attempt(&pool, &kind, &job, claimed, timing, shutdown).await
    };
    let verdict = loop {
        match note(&pool, &kind, &job, &ended).await {
            Ok(verdict) => break verdict,
            // Nothing is lost: when the lease ends, the job is due again.
            Err(error) if claimed.elapsed() > kind.deadline + timing.lease => {
                let error = Chain(&error).to_string();
                tracing::warn!(job = %job.id, kind = kind.name, error, "the end of a job could not be noted");
                break Verdict::Lost;
            }
            Err(_) => tokio::time::sleep(NOTE_AGAIN_AFTER).await,
        }
    };
    ::metrics::counter!(metrics::ENDED, "kind" => kind.name, "result" => verdict.as_str()).increment(1);
    ::metrics::histogram!(metrics::SECONDS, "kind" => kind.name).record(claimed.elapsed().as_secs_f64());
}

async fn attempt(
    pool: &PgPool,
    kind: &Kind,
    job: &Job,
    claimed: Instant,
    timing: Timing,
    shutdown: Shutdown,
) -> Result<Ended, Failure> {
    let held_until = watch::Sender::new(claimed + timing.lease);
    let stopped = async {
        shutdown.ordered().await;
        tokio::time::sleep(timing.grace).await;
    };
    let job_itself = while_held(held_until.subscribe(), (kind.run)(job.clone()));
    tokio::select! {
        biased;
        () = claim_is_lost(pool, job, &held_until, timing) => Err(Failure::Lost),
        ended = tokio::time::timeout(kind.deadline, job_itself) => {
            ended.unwrap_or_else(|_| Err(Failure::Retry(Unended::Late(kind.deadline).into())))
        }
        () = stopped => Err(Failure::Later(Duration::ZERO)),
    }
}

/// The job goes no step further once its lease may have ended: a process that was suspended wakes up here.
async fn while_held(held_until: watch::Receiver<Instant>, mut running: Running) -> Result<Ended, Failure> {
    std::future::poll_fn(|context| {
        if Instant::now() >= *held_until.borrow() {
            return Poll::Ready(Err(Failure::Lost));
        }
        running.as_mut().poll(context)
    })
    .await
}

/// Renews the lease as long as that works, and returns when the claim does not hold any more, or may not.
async fn claim_is_lost(pool: &PgPool, job: &Job, held_until: &watch::Sender<Instant>, timing: Timing) {
    loop {
        let (now, until) = (Instant::now(), *held_until.borrow());
        if now >= until {
            return;
        }
        tokio::time::sleep_until((now + timing.lease / 3).min(until)).await;
        let asked = Instant::now();
        match tokio::time::timeout_at(until, renew(pool, job, timing.lease)).await {
            Ok(Ok(true)) => drop(held_until.send_replace(asked + timing.lease)),
            Ok(Ok(false)) => return,
            // Postgres is away: the lease that was granted last still runs.
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

/// Notes how a run ended.
async fn note(
    pool: &PgPool,
    kind: &Kind,
    job: &Job,
    ended: &Result<Ended, Failure>,
) -> Result<Verdict, StoreError> {
    let mut connection = pool.acquire().await?;
    let (held, verdict) = match ended {
        Ok(Ended(Where::Transaction)) => (true, Verdict::Done),
        Ok(Ended(Where::Worker)) => (delete_claimed(&mut connection, job).await?, Verdict::Done),
        Err(Failure::Lost) => (false, Verdict::Lost),
        Err(Failure::Later(wait)) => {
            (put_off(&mut connection, job, whole_millis(*wait), Put::Untried, None).await?, Verdict::Later)
        }
        Err(Failure::Retry(_)) if job.attempt < kind.attempts_max => {
            let (wait, why) = (back_off::after(job.attempt, rand::random()), why(ended));
            tracing::warn!(job = %job.id, kind = kind.name, attempt = job.attempt, why, "a job failed");
            (put_off(&mut connection, job, wait, Put::Failed, Some(&why)).await?, Verdict::Retried)
        }
        Err(Failure::Retry(_) | Failure::Dead(_)) => {
            let why = why(ended);
            tracing::error!(job = %job.id, kind = kind.name, attempt = job.attempt, why, "a job is dead");
            (give_up(&mut connection, job, &why).await?, Verdict::Dead)
        }
    };
    Ok(if held { verdict } else { Verdict::Lost })
}

/// What an operator reads of a failure.
fn why(ended: &Result<Ended, Failure>) -> String {
    let Err(Failure::Retry(cause) | Failure::Dead(cause)) = ended else { return String::new() };
    let text = Chain(&**cause).to_string();
    // Postgres stores no U+0000.
    text.chars().filter(|letter| *letter != '\0').take(ERROR_CHARACTERS_MAX).collect()
}

fn whole_millis(wait: Duration) -> Duration {
    Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}
