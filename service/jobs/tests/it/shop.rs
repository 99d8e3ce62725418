//! A place where jobs are made and done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jobs::kind::{Run, run};
use jobs::{Ended, Filter, JobState, Kind, NewJob, Schedule, SeenJob, Timing, Worker, insert, list};
use schemas::public_id::JobId;
use service::postgres::Role;
use service::shutdown::{Shutdown, ShutdownTrigger};
use sqlx::PgPool;
use testkit::{Database, eventually};
use tokio::task::JoinHandle;

pub(crate) const WAIT: Duration = Duration::from_secs(20);

pub(crate) struct Shop {
    pub(crate) database: Database,
    pub(crate) pool: PgPool,
}

/// A worker that runs.
pub(crate) struct Running {
    pub(crate) trigger: ShutdownTrigger,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.trigger.order();
        self.task.await.unwrap();
    }
}

/// Short, so that tests do not wait.
pub(crate) fn quick() -> Timing {
    Timing {
        lease: Duration::from_secs(2),
        look_every: Duration::from_millis(50),
        grace: Duration::from_millis(200),
    }
}

pub(crate) fn kind(name: &'static str, run: Run) -> Kind {
    Kind { name, concurrency: 4, deadline: Duration::from_secs(20), attempts_max: 3, run }
}

/// A function that counts how often it is run.
pub(crate) fn counting(count: &Arc<AtomicUsize>) -> Run {
    let count = Arc::clone(count);
    run(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Ok(Ended::DONE) }
    })
}

impl Shop {
    pub(crate) async fn fresh() -> Self {
        let database = Database::fresh().await;
        for statement in [
            "CREATE TABLE effect (job uuid NOT NULL, by_whom text NOT NULL)",
            "GRANT SELECT, INSERT ON effect TO weir_api",
        ] {
            sqlx::query(statement).execute(&database.pool).await.unwrap();
        }
        let pool = database.pool_of(20, Role::Api);
        Self { database, pool }
    }

    pub(crate) fn start(&self, kinds: Vec<Kind>, schedules: Vec<Schedule>) -> Running {
        self.start_with(kinds, schedules, quick())
    }

    pub(crate) fn start_with(&self, kinds: Vec<Kind>, schedules: Vec<Schedule>, timing: Timing) -> Running {
        let worker = Worker { pool: self.database.pool_of(10, Role::Api), kinds, schedules, timing };
        let (trigger, shutdown) = Shutdown::new();
        Running { trigger, task: tokio::spawn(async move { worker.run(shutdown).await.unwrap() }) }
    }

    pub(crate) async fn insert(&self, kind: &str) -> JobId {
        let mut tx = self.pool.begin().await.unwrap();
        let id = insert(&mut tx, NewJob { kind, payload: &(), not_before: None, key: None }).await.unwrap();
        tx.commit().await.unwrap();
        id.unwrap()
    }

    pub(crate) async fn all(&self) -> Vec<SeenJob> {
        list(&mut self.pool.acquire().await.unwrap(), &Filter::default(), 1_000).await.unwrap()
    }

    pub(crate) async fn of_state(&self, state: JobState) -> Vec<SeenJob> {
        let filter = Filter { state: Some(state), ..Filter::default() };
        list(&mut self.pool.acquire().await.unwrap(), &filter, 1_000).await.unwrap()
    }

    pub(crate) async fn until_none_is_open(&self) {
        eventually("no job is open", WAIT, async || {
            self.all().await.iter().all(|job| job.state == JobState::Dead)
        })
        .await;
    }

    /// The one number that a query returns, asked as a superuser.
    pub(crate) async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.database.pool).await.unwrap()
    }

    /// Something done as a superuser.
    pub(crate) async fn forge(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.database.pool).await.unwrap();
    }

    /// A function whose effect and end are in one transaction.
    pub(crate) fn booking(&self, by_whom: &'static str) -> Run {
        let pool = self.pool.clone();
        run(move |job| {
            let pool = pool.clone();
            async move {
                let mut tx = pool.begin().await?;
                let effect = sqlx::query("INSERT INTO effect (job, by_whom) VALUES ($1, $2)");
                effect.bind(job.id.uuid()).bind(by_whom).execute(&mut *tx).await?;
                let ended = job.finish(&mut tx).await?;
                tx.commit().await?;
                Ok(ended)
            }
        })
    }
}
