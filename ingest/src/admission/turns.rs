//! Turns: of bodies that take long to work on, one of each tenant at a time, and only so many in all.
//!
//! Ten megabytes of JSON take a core for tens of milliseconds, and a log for as long again. A tenant that sends many of
//! them waits for its own; small bodies never wait for a turn, and find a worker that is free. What counts is the plain
//! body: a small one that turns out to be large while it is decompressed or read is begun again, in its turn.
//!
//! Large bodies are worked on with [`block_in_place`]: another thread takes over what the worker had to do, so that
//! timers and heartbeats go on where there is one worker, too. It lets the work borrow what the request holds, which
//! a pool would not, and threads are no more than turns.

use std::num::NonZero;

use schemas::problem::{Code, Problem};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout_at};

use crate::tenant::{Tenant, Turn};

/// Bytes of a plain body that takes no turn: it is read in about a millisecond.
pub const SMALL_BYTES_MAX: usize = 256 * 1024;

/// All turns of the node.
#[derive(Debug)]
pub struct Turns {
    /// Of all senders whose key is not known yet.
    keyless: Turn,
    /// Half of the cores.
    cores: Semaphore,
}

/// How a body is worked on.
#[derive(Debug, Default)]
pub enum Work {
    /// At once.
    #[default]
    Small,
    /// When a core is free for it, and none of the tenant's others is, for as long as this is kept.
    Large(OwnedSemaphorePermit),
}

impl Default for Turns {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { keyless: Turn::default(), cores: Semaphore::new(cores.div_ceil(2).max(1)) }
    }
}

impl Turns {
    /// Waits for the turn of a large body.
    ///
    /// # Errors
    /// If the ones before took so long that it did not come by `deadline`: 429 where they were the tenant's own, 503
    /// where they were anybody's.
    pub async fn wait(&self, tenant: Option<&Tenant>, deadline: Instant) -> Result<Work, Problem> {
        let turn = tenant.map_or(&self.keyless, |tenant| &tenant.turn);
        match timeout_at(deadline, turn.take()).await {
            Ok(Some(turn)) => Ok(Work::Large(turn)),
            Ok(None) | Err(_) => Err(Problem::new(
                if tenant.is_some() { Code::RateLimited } else { Code::Overloaded },
                "large requests are worked on one after the other, and the ones before took all the time \
                 there was: send fewer at once",
            )),
        }
    }

    /// Does what takes a large body long. A core is left for those who are small.
    pub async fn run<T>(&self, work: &Work, job: impl FnOnce() -> T) -> T {
        match work {
            Work::Small => job(),
            Work::Large(_) => {
                // Never closed, so always a permit.
                let _core = self.cores.acquire().await.ok();
                off_the_workers(job)
            }
        }
    }
}

/// Tests have runtimes of one thread, which no other can stand in for.
fn off_the_workers<T>(job: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => block_in_place(job),
        RuntimeFlavor::CurrentThread | _ => job(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_large_body_waits_for_the_one_before() {
        let (turns, soon) = (Turns::default(), Duration::from_millis(20));
        let large = async || turns.wait(None, Instant::now() + soon).await;
        let first = large().await.unwrap();
        assert_eq!(large().await.unwrap_err().code, Code::Overloaded);
        drop(first);
        assert_eq!(turns.run(&large().await.unwrap(), || 7).await, 7);
    }

    /// Where the work is done on the only worker, its heart stands still until the work gives up.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_large_body_does_not_stop_heartbeats_on_a_node_with_one_worker() {
        let working = tokio::spawn(async {
            let (beat, beats) = std::sync::mpsc::channel();
            let heart = tokio::spawn(async move {
                let mut interval = tokio::time::interval(Duration::from_millis(5));
                while beat.send(()).is_ok() {
                    interval.tick().await;
                }
            });
            let turns = Turns::default();
            let work = turns.wait(None, Instant::now() + Duration::from_secs(5)).await.unwrap();
            let beat = move || (0..10).all(|_| beats.recv_timeout(Duration::from_secs(5)).is_ok());
            let lives = turns.run(&work, beat).await;
            heart.await.unwrap();
            lives
        });
        assert!(working.await.unwrap());
    }
}
