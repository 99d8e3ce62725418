//! Kills, and suspends, processes that do jobs, at each step of one: every job is done, and what it changes in its own
//! transaction is changed once.

#![expect(clippy::unwrap_used, reason = "a test, though with a main of its own")]

use std::process::Stdio;
use std::time::Duration;

use jobs::kind::run;
use jobs::{Ended, Kind, NewJob, Timing, Worker, insert};
use rustix::process::{Pid, Signal, kill_process};
use service::config::Secret;
use service::postgres::{Role, pool};
use service::shutdown::Shutdown;
use sqlx::PgPool;
use testkit::{Database, eventually};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const WAIT: Duration = Duration::from_secs(40);
/// Where a run may be killed: before it has done anything, when it has changed something, when it has ended in the
/// transaction, after the commit. What is outside of the transaction, as a mail is: before it, and after it.
const STEPS: [&str; 6] = ["begun", "changed", "finished", "committed", "unsent", "sent"];
/// Kills under load.
const ROUNDS: u64 = 12;
const JOBS: usize = 400;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "work", url, step, millis] => runtime.block_on(work(url, step, millis.parse().unwrap())),
        _ => runtime.block_on(async {
            for step in STEPS {
                killed_at(&arguments[0], step).await;
            }
            for step in ["changed", "finished"] {
                suspended_at(&arguments[0], step).await;
            }
            killed_under_load(&arguments[0]).await;
        }),
    }
}

/// A process that does jobs; at `step` it says so, and stands there for so long.
async fn work(url: &str, step: &str, millis: u64) {
    let pool = pool(&Secret::from(url), 10, Some(Role::Api)).unwrap();
    let (step, pause) = (step.to_owned(), Duration::from_millis(millis));
    let stand = move |at: &'static str| {
        let is_here = at == step;
        async move {
            if is_here {
                println!("{at}");
                // Until the process is killed or suspended.
                tokio::time::sleep(pause).await;
            }
        }
    };
    let book = run({
        let (pool, stand) = (pool.clone(), stand.clone());
        move |job| {
            let (pool, stand) = (pool.clone(), stand.clone());
            async move {
                stand("begun").await;
                let mut tx = pool.begin().await?;
                let effect = sqlx::query("INSERT INTO effect (job, kind) VALUES ($1, $2)");
                effect.bind(job.id.uuid()).bind(&job.kind).execute(&mut *tx).await?;
                stand("changed").await;
                let ended = job.finish(&mut tx).await?;
                stand("finished").await;
                tx.commit().await?;
                stand("committed").await;
                Ok(ended)
            }
        }
    });
    let send = run({
        let pool = pool.clone();
        move |job| {
            let (pool, stand) = (pool.clone(), stand.clone());
            async move {
                stand("unsent").await;
                let effect = sqlx::query("INSERT INTO effect (job, kind) VALUES ($1, $2)");
                effect.bind(job.id.uuid()).bind(&job.kind).execute(&pool).await?;
                stand("sent").await;
                Ok(Ended::DONE)
            }
        }
    });
    let kind = |name, run| Kind { name, concurrency: 4, deadline: WAIT, attempts_max: 100, run };
    let kinds = vec![kind("book", book), kind("send", send)];
    let timing =
        Timing { lease: Duration::from_secs(1), look_every: Duration::from_millis(50), ..Timing::default() };
    let (_until_killed, shutdown) = Shutdown::new();
    Worker { pool, kinds, schedules: Vec::new(), timing }.run(shutdown).await.unwrap();
}

/// A process under test, and what it says.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(program: &str, database: &Database, step: &str, millis: u64) -> Self {
        let mut child = Command::new(program)
            .args(["work", &database.url, step, &millis.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn says(&mut self, what: &str) {
        let line = tokio::time::timeout(WAIT, self.lines.next_line()).await;
        assert_eq!(line.unwrap_or_else(|_| panic!("it did not say {what}")).unwrap().as_deref(), Some(what));
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

async fn fresh() -> Database {
    let database = Database::fresh().await;
    for statement in [
        "CREATE TABLE effect (job uuid NOT NULL, kind text NOT NULL)",
        "GRANT SELECT, INSERT ON effect TO weir_api",
    ] {
        sqlx::query(statement).execute(&database.pool).await.unwrap();
    }
    database
}

async fn order(pool: &PgPool, kind: &str) {
    let new = NewJob { kind, payload: &(), not_before: None, key: None };
    insert(&mut pool.acquire().await.unwrap(), new).await.unwrap().unwrap();
}

async fn number(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

async fn until_none_is_left(pool: &PgPool) {
    eventually("no job is left", WAIT, async || number(pool, "SELECT count(*) FROM job").await == 0).await;
}

const EFFECTS: &str = "SELECT count(*) FROM effect";

async fn killed_at(program: &str, step: &str) {
    let database = fresh().await;
    let is_sending = matches!(step, "unsent" | "sent");
    order(&database.pool, if is_sending { "send" } else { "book" }).await;
    let mut first = Process::start(program, &database, step, 3_600_000);
    first.says(step).await;
    first.kill().await;
    let second = Process::start(program, &database, "nowhere", 0);
    until_none_is_left(&database.pool).await;
    second.kill().await;
    // What no transaction holds is done again, if it was killed between that and its note.
    let expected = if step == "sent" { 2 } else { 1 };
    assert_eq!(number(&database.pool, EFFECTS).await, expected, "{step}");
    println!("killed when it had {step}: the job is done, its effect is there {expected} times");
}

async fn suspended_at(program: &str, step: &str) {
    let database = fresh().await;
    order(&database.pool, "book").await;
    // It stands there for a moment, and would go on by itself.
    let mut first = Process::start(program, &database, step, 300);
    first.says(step).await;
    first.signal(Signal::STOP);
    let second = Process::start(program, &database, "nowhere", 0);
    until_none_is_left(&database.pool).await;
    assert_eq!(number(&database.pool, EFFECTS).await, 1, "{step}");
    first.signal(Signal::CONT);
    // It does jobs again, and has not done that one twice.
    second.kill().await;
    order(&database.pool, "send").await;
    until_none_is_left(&database.pool).await;
    assert_eq!(number(&database.pool, EFFECTS).await, 2, "{step}");
    first.kill().await;
    println!("suspended when it had {step}: another did the job, and it did not do it again");
}

async fn killed_under_load(program: &str) {
    let database = fresh().await;
    for _ in 0..JOBS {
        order(&database.pool, "book").await;
    }
    let steady = Process::start(program, &database, "nowhere", 0);
    for round in 0..ROUNDS {
        let process = Process::start(program, &database, "changed", 5);
        // Not always at the same place.
        tokio::time::sleep(Duration::from_millis(40 + 17 * round)).await;
        process.kill().await;
    }
    until_none_is_left(&database.pool).await;
    steady.kill().await;
    let count = i64::try_from(JOBS).unwrap();
    assert_eq!(number(&database.pool, EFFECTS).await, count);
    assert_eq!(number(&database.pool, "SELECT count(DISTINCT job) FROM effect").await, count);
    println!("{JOBS} jobs under {ROUNDS} kills: each is done once");
}
