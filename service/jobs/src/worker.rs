//! Claims jobs and runs them, and fires schedules.

use std::collections::HashMap;
use std::time::Duration;

use service::error::Chain;
use service::shutdown::Shutdown;
use service::store::StoreError;
use service::task::{Pace, TaskError, Tasks, every};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::db::{job, schedule};
use crate::kind::Kind;
use crate::metrics;
use crate::run::run;
use crate::schedule::Schedule;
use crate::timing::Timing;

/// What the trigger of the table `job` announces on.
const CHANNEL: &str = "weir_job";
const MEASURE_EVERY: Duration = Duration::from_secs(15);

/// Runs jobs of its kinds, as one of any number of workers.
pub struct Worker {
    /// Connections: one for announcements, and for each run that needs one.
    pub pool: PgPool,
    /// What it runs.
    pub kinds: Vec<Kind>,
    /// What comes again and again. Every worker has all of them.
    pub schedules: Vec<Schedule>,
    /// How it keeps time.
    pub timing: Timing,
}

/// Runs under way.
#[derive(Default)]
struct Runs {
    tasks: JoinSet<()>,
    kinds: HashMap<Id, &'static str>,
}

impl Worker {
    /// Works until `shutdown` is ordered; then runs under way have a grace, and what is not done is due again at once.
    ///
    /// # Errors
    /// [`TaskError`] if a task of it ended by itself.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), TaskError> {
        let mut tasks = Tasks::default();
        let names: Vec<&'static str> = self.kinds.iter().map(|kind| kind.name).collect();
        tasks.spawn("measuring jobs", measure(self.pool.clone(), names, tasks.shutdown()));
        tasks.spawn(
            "schedules",
            fire(self.pool.clone(), self.schedules.clone(), self.timing, tasks.shutdown()),
        );
        tasks.spawn("jobs", self.work(tasks.shutdown()));
        tasks.run(&shutdown).await
    }

    async fn work(self, shutdown: Shutdown) {
        let mut runs = Runs::default();
        let mut listener = None;
        let mut looked = Instant::now();
        let mut failing = None;
        while !shutdown.is_ordered() {
            match self.look(&mut runs, &shutdown).await {
                Ok(()) => (looked, failing) = (Instant::now(), None),
                Err(error) => {
                    let error = Chain(&error).to_string();
                    if failing.as_ref() != Some(&error) {
                        tracing::warn!(error, "jobs could not be looked for, trying again");
                    }
                    failing = Some(error);
                }
            }
            ::metrics::gauge!(metrics::LOOK_AGE_SECONDS).set(looked.elapsed().as_secs_f64());
            tokio::select! {
                () = announced(&mut listener, &self.pool) => {}
                Some(ended) = runs.tasks.join_next_with_id(), if failing.is_none() => runs.ended(ended),
                () = tokio::time::sleep(self.timing.look_every) => {}
                () = shutdown.ordered() => {}
            }
            // All that ended meanwhile make room for one look.
            while let Some(ended) = runs.tasks.try_join_next_with_id() {
                runs.ended(ended);
            }
        }
        // Each of them gives up at the end of its grace.
        while runs.tasks.join_next().await.is_some() {}
    }

    /// Claims what is due, as far as there is room, and starts it.
    async fn look(&self, runs: &mut Runs, shutdown: &Shutdown) -> Result<(), StoreError> {
        let (mut names, mut rooms) = (Vec::new(), Vec::new());
        for kind in &self.kinds {
            let room = kind.concurrency.saturating_sub(runs.of(kind.name));
            if room > 0 {
                names.push(kind.name);
                rooms.push(i64::try_from(room).unwrap_or(i64::MAX));
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        let claimed_at = Instant::now();
        let claimed = {
            let mut connection = self.pool.acquire().await?;
            job::claim(&mut connection, &names, &rooms, self.timing.lease).await?
        };
        for job in claimed {
            let Some(kind) = self.kinds.iter().find(|kind| kind.name == job.kind) else { continue };
            let name = kind.name;
            let running =
                run(self.pool.clone(), kind.clone(), job, claimed_at, self.timing, shutdown.clone());
            let id = runs.tasks.spawn(running).id();
            runs.kinds.insert(id, name);
        }
        Ok(())
    }
}

impl Runs {
    fn of(&self, kind: &str) -> usize {
        self.kinds.values().filter(|name| **name == kind).count()
    }

    /// A panic leaves the claim: the job is due again when its lease ends, and that attempt counts.
    fn ended(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(error = %Chain(&error), "a job panicked");
                error.id()
            }
        };
        self.kinds.remove(&id);
    }
}

/// Until a job is announced. A lost connection is made again; what came before is found by the look that follows.
async fn announced(listener: &mut Option<PgListener>, pool: &PgPool) {
    match listener {
        Some(connected) => {
            if connected.recv().await.is_err() {
                *listener = None;
            }
        }
        None => match listen(pool).await {
            Ok(connected) => *listener = Some(connected),
            Err(_) => std::future::pending().await,
        },
    }
}

async fn listen(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Makes the jobs of schedules that are due.
async fn fire(pool: PgPool, schedules: Vec<Schedule>, timing: Timing, shutdown: Shutdown) {
    let mut begun = false;
    let mut rounds = every("firing schedules", Pace::at_once(timing.look_every), shutdown);
    while rounds.due().await {
        let round = async {
            if !begun {
                schedule::begin(&pool, &schedules).await?;
                begun = true;
            }
            let mut connection = pool.acquire().await?;
            schedule::fire(&mut connection, &schedules).await?;
            Ok::<_, sqlx::Error>(())
        };
        rounds.attempt(round).await;
    }
}

async fn measure(pool: PgPool, kinds: Vec<&'static str>, shutdown: Shutdown) {
    let mut rounds = every("measuring jobs", Pace::at_once(MEASURE_EVERY), shutdown);
    while rounds.due().await {
        let round = async {
            for waiting in job::waiting(&pool, &kinds).await? {
                let count = |n: i64| f64::from(i32::try_from(n).unwrap_or(i32::MAX));
                let labels = [("kind", waiting.kind)];
                ::metrics::gauge!(metrics::DUE, &labels).set(count(waiting.due));
                ::metrics::gauge!(metrics::DUE_AGE_SECONDS, &labels).set(waiting.age);
                ::metrics::gauge!(metrics::DEAD, &labels).set(count(waiting.dead));
            }
            Ok::<_, sqlx::Error>(())
        };
        rounds.attempt(round).await;
    }
}
