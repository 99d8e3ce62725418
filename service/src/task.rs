//! Tasks of a role: those that run until the role stops, each under its name, and the loop of those that do something
//! again and again.

use std::any::Any;
use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};

use crate::error::Chain;
use crate::shutdown::{Shutdown, ShutdownTrigger};

/// Tasks that run until the order to stop. One that ends before that is a failure of them all. Dropping it ends
/// them wherever they are, as a crash would.
#[derive(Debug)]
pub struct Tasks {
    running: JoinSet<Result<(), BoxError>>,
    names: HashMap<Id, &'static str>,
    trigger: ShutdownTrigger,
    shutdown: Shutdown,
}

type BoxError = Box<dyn Error + Send + Sync>;
type Joined = Result<(Id, Result<(), BoxError>), JoinError>;

/// How a task failed, with its name.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// There was no order to stop.
    #[error("{0} ended by itself")]
    Ended(&'static str),
    /// It gave up.
    #[error("{0} failed")]
    Failed(&'static str, #[source] BoxError),
    /// It panicked.
    #[error("{0} broke")]
    Broke(&'static str, #[source] JoinError),
}

/// When a round comes.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    first: Duration,
    period: Duration,
}

impl Default for Tasks {
    fn default() -> Self {
        let (trigger, shutdown) = Shutdown::new();
        Self { running: JoinSet::new(), names: HashMap::new(), trigger, shutdown }
    }
}

impl Tasks {
    /// The order to stop of these tasks.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Starts a task.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.try_spawn(name, async move {
            task.await;
            Ok::<_, Infallible>(())
        });
    }

    /// Starts a task that may give up.
    pub fn try_spawn<E: Error + Send + Sync + 'static>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let task = self.running.spawn(async move { task.await.map_err(BoxError::from) });
        self.names.insert(task.id(), name);
    }

    /// Runs until `shutdown` is ordered or a task ends by itself; then the others stop, too.
    ///
    /// # Errors
    /// [`TaskError`] of the first task that failed.
    pub async fn run(mut self, shutdown: &Shutdown) -> Result<(), TaskError> {
        let failure = tokio::select! {
            failure = self.failure() => Err(failure),
            () = shutdown.ordered() => Ok(()),
        };
        let stopped = self.stop().await;
        failure.and(stopped)
    }

    /// Waits until a task ends by itself.
    pub async fn failure(&mut self) -> TaskError {
        match self.running.join_next_with_id().await {
            Some(joined) => {
                let name = self.name(&joined);
                outcome(name, joined).err().unwrap_or(TaskError::Ended(name))
            }
            None => std::future::pending().await,
        }
    }

    /// Orders the tasks to stop, and waits until they have.
    ///
    /// # Errors
    /// [`TaskError`] of the first task that failed meanwhile; those of others are logged.
    pub async fn stop(mut self) -> Result<(), TaskError> {
        self.trigger.order();
        let mut all = Ok(());
        while let Some(joined) = self.running.join_next_with_id().await {
            let outcome = outcome(self.name(&joined), joined);
            match outcome {
                Err(error) if all.is_err() => tracing::error!(error = %Chain(&error), "one more task failed"),
                outcome => all = all.and(outcome),
            }
        }
        all
    }

    fn name(&mut self, joined: &Joined) -> &'static str {
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        self.names.remove(&id).unwrap_or("a task")
    }
}

fn outcome(name: &'static str, joined: Joined) -> Result<(), TaskError> {
    match joined {
        Ok((_, Ok(()))) => Ok(()),
        Ok((_, Err(error))) => Err(TaskError::Failed(name, error)),
        Err(error) => Err(TaskError::Broke(name, error)),
    }
}

impl Pace {
    /// The first round at once.
    #[must_use]
    pub const fn at_once(period: Duration) -> Self {
        Self { first: Duration::ZERO, period }
    }

    /// The first round after a period.
    #[must_use]
    pub const fn after(period: Duration) -> Self {
        Self { first: period, period }
    }
}

/// A round that panicked.
#[derive(Debug, thiserror::Error)]
#[error("a panic: {0}")]
struct Panicked(String);

/// Rounds of one task, until `shutdown` is ordered:
///
/// ```no_run
/// # use std::time::Duration;
/// # use service::{shutdown::Shutdown, task::{Pace, every}};
/// # async fn sweep() -> std::io::Result<()> { Ok(()) }
/// # async fn run(shutdown: Shutdown) {
/// let mut rounds = every("sweeping", Pace::at_once(Duration::from_secs(60)), shutdown);
/// while rounds.due().await {
///     rounds.attempt(sweep()).await;
/// }
/// # }
/// ```
#[must_use]
pub fn every(name: &'static str, pace: Pace, shutdown: Shutdown) -> Rounds {
    Rounds { name, pause: pace.first, period: pace.period, shutdown, failing: None }
}

/// What [`every`] makes. It takes no async closure: a future that calls one can't be shown to be `Send`.
#[derive(Debug)]
pub struct Rounds {
    name: &'static str,
    pause: Duration,
    period: Duration,
    shutdown: Shutdown,
    /// How the last round failed.
    failing: Option<String>,
}

impl Rounds {
    /// Waits for the next round: `false` if it is to stop. A period begins when a round has ended, so rounds that take
    /// long never follow each other without a pause.
    pub async fn due(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.shutdown.ordered() => false,
            () = tokio::time::sleep(self.pause) => {
                self.pause = self.period;
                true
            }
        }
    }

    /// Carries out a round. The order to stop drops it wherever it is, so it must stand a crash at any point.
    ///
    /// An error or a panic is logged, and the next round comes all the same. A failure that repeats itself is logged
    /// once, until a round succeeds.
    pub async fn attempt<E: Error + 'static>(&mut self, round: impl Future<Output = Result<(), E>>) {
        let ended = tokio::select! {
            biased;
            () = self.shutdown.ordered() => return,
            ended = caught(round) => ended,
        };
        let failure = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Chain(&error).to_string()),
            Err(panicked) => Some(panicked.to_string()),
        };
        let task = self.name;
        match &failure {
            Some(error) if failure != self.failing => {
                tracing::warn!(task, error, "a round failed, trying again")
            }
            Some(error) => tracing::debug!(task, error, "a round failed as the one before did"),
            None if self.failing.is_some() => tracing::info!(task, "a round succeeded again"),
            None => {}
        }
        self.failing = failure;
    }
}

/// Catches a panic, where the build does not abort.
async fn caught<T>(round: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut round = pin!(round);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| round.as_mut().poll(context))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(Panicked(text(&*panic)))),
    })
    .await
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("of no text").to_owned()
}

#[cfg(test)]
mod tests;
